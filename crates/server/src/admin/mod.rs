//! The admin API: metrics, health and what `helenus nodetool` is built on, over HTTP, on its own thread.
//!
//! Every path is a line of a table beside its handler ([`routes`]); the router and the OpenAPI document (`/openapi.json`) are both
//! made of it. A handler asks the process, the process asks the shards, each shard answers for itself, and what they
//! say is put together in [`gather`]. The answers' types are in [`answer`], which `nodetool` reads them with.
//!
//! On a loopback address the API answers whoever is on this machine, but no web page; elsewhere superusers ([`guard`]).

pub mod answer;
mod api;
mod base64;
pub mod client;
mod gather;
mod guard;
mod handlers;
mod openapi;
mod routes;

pub use api::Admin;

use crate::metrics::Counters;
use node::execute::admin::{AdminAnswer, AdminError, AdminWork};
use tokio::sync::oneshot;

/// What the API asks of the process.
#[derive(Debug)]
pub enum Request {
    /// Every shard's description of itself.
    Describe(oneshot::Sender<Vec<String>>),
    /// What every shard counts.
    Count(oneshot::Sender<Vec<Counters>>),
    /// Admin work, on the shards it is asked of: their answers, or the first failure.
    Work(
        AdminWork,
        oneshot::Sender<Result<Vec<AdminAnswer>, AdminError>>,
    ),
    /// Whether clients are let in.
    IsOpen(oneshot::Sender<bool>),
    /// Let clients in, or let none in and send those away that are there.
    Open(bool, oneshot::Sender<Result<(), String>>),
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
