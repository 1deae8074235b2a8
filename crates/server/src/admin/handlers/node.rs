//! This node: who it is, whether it serves, what its shards do.

use super::Answer;
use crate::admin::answer::{Info, Pools, Proxy, ShardText};
use crate::admin::api::{Refused, Shared};
use crate::admin::routes::Access::{Anyone, Guarded};
use crate::admin::routes::Method::Get;
use crate::admin::routes::Route;
use crate::admin::{Request, gather, openapi};
use crate::metrics::Gathered;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

#[rustfmt::skip]
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route { method: Get, path: "/metrics", about: "Metrics, as Prometheus reads them", parameters: &[], access: Anyone, handler: || get(metrics) },
    Route { method: Get, path: "/health", about: "200 while clients are served, 503 once drained", parameters: &[], access: Anyone, handler: || get(health) },
    Route { method: Get, path: "/openapi.json", about: "This document", parameters: &[], access: Anyone, handler: || get(document) },
    Route { method: Get, path: "/api/v1/info", about: "Who and what this node is", parameters: &[], access: Guarded, handler: || get(info) },
    Route { method: Get, path: "/api/v1/settings", about: "Every key of the configuration with its value", parameters: &[], access: Guarded, handler: || get(settings) },
    Route { method: Get, path: "/api/v1/shards", about: "The state of every shard in words", parameters: &[], access: Guarded, handler: || get(shards) },
    Route { method: Get, path: "/api/v1/pools", about: "Stages of work, and what was dropped", parameters: &[], access: Guarded, handler: || get(pools) },
    Route { method: Get, path: "/api/v1/latencies", about: "How long clients waited for reads, range reads and writes", parameters: &[], access: Guarded, handler: || get(latencies) },
];

async fn metrics(State(admin): State<Shared>) -> Result<Response, Refused> {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let counters = admin.ask(Request::Count).await?;
    // A shard that cannot say leaves its part out: the rest is all the more needed.
    let gathered = Gathered {
        shards: admin.facts().await.unwrap_or_default(),
        cluster: admin.cluster().await.ok(),
    };
    let text = admin.metrics.text(counters, gathered);
    let text = text.map_err(|error| Refused::Failed(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
}

async fn health(State(admin): State<Shared>) -> Response {
    if admin.drained.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "drained\n").into_response()
    } else {
        "serving\n".into_response()
    }
}

async fn document() -> Json<Value> {
    Json(openapi::document())
}

async fn info(State(admin): State<Shared>) -> Answer<Info> {
    let (facts, cluster) = (admin.facts().await?, admin.cluster().await?);
    let open = admin.ask(Request::IsOpen).await?;
    Ok(Json(gather::info(&admin, &facts, cluster, open)?))
}

async fn settings(State(admin): State<Shared>) -> Json<BTreeMap<&'static str, Option<String>>> {
    Json(admin.settings.clone())
}

async fn shards(State(admin): State<Shared>) -> Answer<Vec<ShardText>> {
    let texts = admin.ask(Request::Describe).await?;
    let shards = texts.iter().enumerate().map(|(shard, text)| ShardText {
        shard,
        state: text.lines().map(str::to_owned).collect(),
    });
    Ok(Json(shards.collect()))
}

async fn pools(State(admin): State<Shared>) -> Answer<Pools> {
    Ok(Json(gather::pools(&admin.facts().await?)))
}

async fn latencies(State(admin): State<Shared>) -> Answer<Proxy> {
    Ok(Json(gather::proxy(&admin.facts().await?)))
}
