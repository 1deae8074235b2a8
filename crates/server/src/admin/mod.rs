//! The admin API: metrics, health and what `nodetool` is built on, over HTTP on a loopback address, on its own thread.
//!
//! | path | |
//! |---|---|
//! | `GET /metrics` | Prometheus' text |
//! | `GET /health` | 200 while clients are served, 503 once drained |
//! | `GET /api/v1/info` | who and what this node is |
//! | `GET /api/v1/settings` | every key of the configuration with its value |
//! | `GET /api/v1/shards` | the state of every shard in words |
//! | `POST /api/v1/flush?keyspace=&table=` | write what is in memory to SSTables; both may be left out |
//! | `POST /api/v1/compact?keyspace=&table=` | merge all SSTables of each table into one |
//! | `POST /api/v1/drain` | serve no more, make everything durable |
//!
//! Requests of web pages are refused with 403 ([`guard`]).

mod api;
mod guard;

pub use api::Admin;

use crate::metrics::Counters;
use node::execute::admin::AdminWork;
use tokio::sync::oneshot;

/// What the API asks of the process.
#[derive(Debug)]
pub enum Request {
    /// Every shard's description of itself.
    Describe(oneshot::Sender<Vec<String>>),
    /// What every shard counts.
    Count(oneshot::Sender<Vec<Counters>>),
    /// Flush or compact on every shard.
    Work(AdminWork, oneshot::Sender<Result<(), String>>),
    /// Serve no more and make everything durable.
    Drain(oneshot::Sender<()>),
}

/// Serves the API on its own thread, until the process ends.
pub fn start(listener: std::net::TcpListener, admin: Admin) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => axum::serve(listener, admin.router()).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!(%error, "the admin API ended");
                }
            });
        })?;
    Ok(())
}
