//! What every handler has: the process to ask, and what does not change while it runs.

use super::Request;
use super::routes::{Access, router};
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::process::Addresses;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use node::execute::admin::{AdminAnswer, AdminError, AdminWork, ClusterFacts, ShardFacts};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What handlers are given.
pub(super) type Shared = Arc<Admin>;

/// What the API answers from.
#[derive(Debug)]
pub struct Admin {
    pub(super) metrics: Metrics,
    pub(super) addresses: Addresses,
    /// Whether operators must log in: the API is not on a loopback address.
    pub(super) needs_login: bool,
    pub(super) data_directory: PathBuf,
    pub(super) snitch: String,
    pub(super) shards: u16,
    pub(super) memory_bytes: u64,
    pub(super) cache_bytes: u64,
    pub(super) settings: BTreeMap<&'static str, Option<String>>,
    pub(super) started: Instant,
    pub(super) drained: AtomicBool,
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
        Self {
            metrics,
            addresses: *addresses,
            needs_login: settings
                .admin
                .is_some_and(|address| !address.ip().is_loopback()),
            data_directory: settings.data_directory.clone(),
            snitch: settings.snitch.clone(),
            shards: settings.shards,
            memory_bytes: settings.memory_bytes,
            cache_bytes: u64::from(settings.shards)
                * crate::config::memory::of_shard(settings, crate::config::memory::CACHE) as u64,
            settings: settings.view.iter().cloned().collect(),
            started: Instant::now(),
            drained: AtomicBool::new(false),
            process,
        }
    }

    pub(super) fn router(self) -> Router {
        let admin = Arc::new(self);
        let guard = axum::middleware::from_fn_with_state(admin.clone(), super::guard::guard);
        router(Access::Anyone)
            .merge(router(Access::Guarded).layer(guard))
            .with_state(admin)
    }

    /// Asks the process and waits for its answer.
    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Refused> {
        let (answer, wait) = oneshot::channel();
        let gone = |_| Refused::Ending;
        let sent = self.process.send(request(answer)).await;
        sent.map_err(|_| Refused::Ending)?;
        wait.await.map_err(gone)
    }

    /// Has shards do something.
    pub(super) async fn work(&self, work: AdminWork) -> Result<Vec<AdminAnswer>, Refused> {
        let answers = self.ask(|answer| Request::Work(work, answer)).await?;
        answers.map_err(Refused::Work)
    }

    /// What each shard does and counts.
    pub(super) async fn facts(&self) -> Result<Vec<ShardFacts>, Refused> {
        let answers = self.work(AdminWork::Facts).await?.into_iter();
        let facts = answers.filter_map(|answer| match answer {
            AdminAnswer::Facts(facts) => Some(*facts),
            _ => None,
        });
        Ok(facts.collect())
    }

    /// The members, as this node sees them.
    pub(super) async fn cluster(&self) -> Result<ClusterFacts, Refused> {
        match self.work(AdminWork::Cluster).await?.pop() {
            Some(AdminAnswer::Cluster(facts)) => Ok(*facts),
            _ => Err(Refused::Ending),
        }
    }
}

/// Why a request is not answered with what was asked for.
#[derive(Debug)]
pub(super) enum Refused {
    /// The process ends.
    Ending,
    /// Shards refused or failed.
    Work(AdminError),
    /// It makes no sense.
    Invalid(String),
    /// It went wrong.
    Failed(String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Ending => {
                let text = "the process is ending".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
            Self::Work(AdminError::Invalid(text)) | Self::Invalid(text) => {
                (StatusCode::BAD_REQUEST, text)
            }
            Self::Work(AdminError::NotAllowed(text)) => (StatusCode::UNAUTHORIZED, text),
            Self::Work(AdminError::Failed(text)) | Self::Failed(text) => {
                (StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        };
        (status, Json(json!({ "error": text }))).into_response()
    }
}
