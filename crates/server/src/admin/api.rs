//! The API's paths.

use super::Request;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::process::Addresses;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use node::execute::admin::{AdminAction, AdminWork};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What the API answers from.
#[derive(Debug)]
pub struct Admin {
    metrics: Metrics,
    info: Value,
    settings: BTreeMap<&'static str, String>,
    started: Instant,
    drained: AtomicBool,
    process: mpsc::Sender<Request>,
}

impl Admin {
    /// An API that asks the process through `process`.
    pub fn new(
        settings: &Settings,
        addresses: &Addresses,
        metrics: Metrics,
        process: mpsc::Sender<Request>,
    ) -> Self {
        let info = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "cluster_name": settings.cluster_name,
            "dc": settings.dc,
            "rack": settings.rack,
            "shards": settings.shards,
            "memory_bytes": settings.memory_bytes,
            "data_directory": settings.data_directory.display().to_string(),
            "native_address": addresses.native.to_string(),
            "shard_aware_address": addresses.shard_aware.map(|address| address.to_string()),
            "broadcast_address": settings.broadcast_address.to_string(),
            "num_tokens": settings.ring.num_tokens,
            "process": std::process::id(),
        });
        Self {
            metrics,
            info,
            settings: settings.view.iter().cloned().collect(),
            started: Instant::now(),
            drained: AtomicBool::new(false),
            process,
        }
    }

    pub(super) fn router(self) -> Router {
        let guarded = Router::new()
            .route("/api/v1/info", get(info))
            .route("/api/v1/settings", get(settings))
            .route("/api/v1/shards", get(shards))
            .route("/api/v1/flush", post(flush))
            .route("/api/v1/compact", post(compact))
            .route("/api/v1/drain", post(drain))
            .layer(axum::middleware::from_fn(super::guard::guard));
        Router::new()
            .route("/metrics", get(metrics))
            .route("/health", get(health))
            .merge(guarded)
            .with_state(Arc::new(self))
    }

    /// Asks the process and waits for its answer.
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, StatusCode> {
        let (answer, wait) = oneshot::channel();
        self.process
            .send(request(answer))
            .await
            .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        wait.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }
}

type Shared = State<Arc<Admin>>;

async fn metrics(State(admin): Shared) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let Ok(counters) = admin.ask(Request::Count).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match admin.metrics.text(counters) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn health(State(admin): Shared) -> Response {
    if admin.drained.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "drained\n").into_response()
    } else {
        "serving\n".into_response()
    }
}

async fn info(State(admin): Shared) -> Json<Value> {
    let mut info = admin.info.clone();
    info["uptime_seconds"] = admin.started.elapsed().as_secs().into();
    info["state"] = if admin.drained.load(Ordering::Relaxed) {
        "drained"
    } else {
        "serving"
    }
    .into();
    Json(info)
}

async fn settings(State(admin): Shared) -> Json<Value> {
    Json(json!(admin.settings))
}

async fn shards(State(admin): Shared) -> Result<Json<Value>, StatusCode> {
    let texts = admin.ask(Request::Describe).await?;
    let shards: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(shard, text)| json!({ "shard": shard, "state": text.lines().collect::<Vec<_>>() }))
        .collect();
    Ok(Json(shards.into()))
}

/// Which tables; all that are not ruled out.
#[derive(Debug, Deserialize)]
struct Tables {
    keyspace: Option<String>,
    table: Option<String>,
}

async fn flush(state: Shared, Query(tables): Query<Tables>) -> Response {
    work(&state, AdminAction::Flush, tables).await
}

async fn compact(state: Shared, Query(tables): Query<Tables>) -> Response {
    work(&state, AdminAction::Compact, tables).await
}

async fn work(State(admin): &Shared, action: AdminAction, tables: Tables) -> Response {
    let work = AdminWork {
        action,
        keyspace: tables.keyspace,
        table: tables.table,
    };
    match admin.ask(|answer| Request::Work(work, answer)).await {
        Ok(Ok(())) => Json(json!({ "state": "done" })).into_response(),
        Ok(Err(reason)) => {
            (StatusCode::BAD_REQUEST, Json(json!({ "error": reason }))).into_response()
        }
        Err(status) => status.into_response(),
    }
}

async fn drain(State(admin): Shared) -> Result<Json<Value>, StatusCode> {
    admin.drained.store(true, Ordering::Relaxed);
    admin.ask(Request::Drain).await?;
    Ok(Json(json!({ "state": "drained" })))
}
