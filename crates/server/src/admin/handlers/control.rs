//! What a running node can be told: whether it lets clients in, what it traces and logs, that it is to stop.

use super::{Answer, done};
use crate::admin::Request;
use crate::admin::answer::{Done, LogLevels, Native, TraceProbability};
use crate::admin::api::{Refused, Shared};
use crate::admin::routes::Access::Guarded;
use crate::admin::routes::Method::{Get, Post, Put};
use crate::admin::routes::{Route, optional, required};
use crate::log_levels;
use axum::Json;
use axum::extract::{Query, State};
use axum::routing::{get, post, put};
use node::execute::admin::AdminWork;
use serde::Deserialize;
use std::sync::atomic::Ordering;

#[rustfmt::skip]
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route { method: Post, path: "/api/v1/drain", about: "Serve no more, make everything durable", parameters: &[], access: Guarded, handler: || post(drain) },
    Route { method: Get, path: "/api/v1/native", about: "Whether clients are let in", parameters: &[], access: Guarded, handler: || get(native) },
    Route { method: Put, path: "/api/v1/native", about: "Let clients in, or let none in and send those away that are there", parameters: &[required("running", "`true` or `false`")], access: Guarded, handler: || put(set_native) },
    Route { method: Get, path: "/api/v1/trace-probability", about: "The part of requests that are traced unasked", parameters: &[], access: Guarded, handler: || get(trace_probability) },
    Route { method: Put, path: "/api/v1/trace-probability", about: "Trace this part of all requests, until the next start", parameters: &[required("value", "From 0 to 1")], access: Guarded, handler: || put(set_trace_probability) },
    Route { method: Get, path: "/api/v1/logging", about: "What is logged, by module", parameters: &[], access: Guarded, handler: || get(logging) },
    Route { method: Put, path: "/api/v1/logging", about: "Log more or less, until the next start; without a level as it was at the start", parameters: &[optional("module", "Of this module; else everything"), optional("level", "`TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR` or `OFF`")], access: Guarded, handler: || put(set_logging) },
];

async fn drain(State(admin): State<Shared>) -> Answer<Done> {
    admin.drained.store(true, Ordering::Relaxed);
    admin.ask(Request::Drain).await?;
    Ok(Json(Done {
        state: "drained".to_owned(),
    }))
}

async fn native(State(admin): State<Shared>) -> Answer<Native> {
    let running = admin.ask(Request::IsOpen).await?;
    Ok(Json(Native { running }))
}

async fn set_native(State(admin): State<Shared>, Query(wanted): Query<Native>) -> Answer<Native> {
    let opened = admin
        .ask(|answer| Request::Open(wanted.running, answer))
        .await?;
    opened.map_err(Refused::Failed)?;
    Ok(Json(wanted))
}

async fn trace_probability(State(admin): State<Shared>) -> Answer<TraceProbability> {
    let facts = admin.facts().await?;
    let value = facts.first().map_or(0.0, |shard| shard.trace_probability);
    Ok(Json(TraceProbability { value }))
}

async fn set_trace_probability(
    state: State<Shared>,
    Query(wanted): Query<TraceProbability>,
) -> Answer<Done> {
    if !(0.0..=1.0).contains(&wanted.value) {
        let text = "Trace probability must be between 0 and 1";
        return Err(Refused::Invalid(text.to_owned()));
    }
    done(state, AdminWork::TraceProbability(wanted.value)).await
}

async fn logging() -> Answer<LogLevels> {
    Ok(Json(log_levels::shown()))
}

#[derive(Debug, Deserialize)]
struct WantedLevel {
    module: Option<String>,
    level: Option<String>,
}

async fn set_logging(Query(wanted): Query<WantedLevel>) -> Answer<LogLevels> {
    let set = log_levels::set(wanted.module.as_deref(), wanted.level.as_deref());
    set.map_err(Refused::Invalid)?;
    Ok(Json(log_levels::shown()))
}
