//! Repair, and whether replicas are proved equal.

use super::{Answer, done, names};
use crate::admin::answer::{Convergence, Done, RepairFact};
use crate::admin::api::{Refused, Shared};
use crate::admin::routes::Access::Guarded;
use crate::admin::routes::Method::{Delete, Get, Post};
use crate::admin::routes::{Route, optional, required};
use axum::Json;
use axum::extract::{Query, State};
use axum::routing::{delete, get, post};
use node::execute::admin::{AdminAnswer, AdminWork, RepairOptions, RepairWork};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// How often it is asked again whether replicas are proved equal.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// How long it is waited for that, unless the question says so.
const PATIENCE_SECONDS: u64 = 10;

#[rustfmt::skip]
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route { method: Get, path: "/api/v1/convergence", about: "Whether all replicas are proved equal up to the question, and what is owed by whom", parameters: &[optional("keyspace", "Ranges of this keyspace alone"), optional("timeout_seconds", "How long to wait for the proof; 10 unless given")], access: Guarded, handler: || get(convergence) },
    Route { method: Get, path: "/api/v1/repairs", about: "Repairs that this node drives, and the last that it did", parameters: &[], access: Guarded, handler: || get(list) },
    Route { method: Post, path: "/api/v1/repairs", about: "Compare replicas of a keyspace's tables and end their differences; answered when that is over", parameters: &[required("keyspace", "The keyspace"), optional("tables", "These tables of it, with commas"), optional("primary", "`true`: ranges alone of which this node is the first replica"), optional("preview", "`true`: differences are counted, and stay"), optional("start_token", "Tokens after this one"), optional("end_token", "Up to this one"), optional("datacenters", "Replicas of these data centres alone, with commas"), optional("hosts", "These replicas alone, with commas")], access: Guarded, handler: || post(begin) },
    Route { method: Delete, path: "/api/v1/repairs", about: "End a repair, or all that operators began", parameters: &[optional("id", "Its identity or number")], access: Guarded, handler: || delete(cancel) },
];

#[derive(Debug, Deserialize)]
struct Wanted {
    keyspace: Option<String>,
    timeout_seconds: Option<u64>,
}

async fn convergence(
    State(admin): State<Shared>,
    Query(wanted): Query<Wanted>,
) -> Answer<Convergence> {
    let began = Instant::now();
    let patience = Duration::from_secs(wanted.timeout_seconds.unwrap_or(PATIENCE_SECONDS));
    loop {
        let asked = began.elapsed();
        let work = AdminWork::Convergence(wanted.keyspace.clone());
        let Some(AdminAnswer::Convergence(ranges)) = admin.work(work).await?.pop() else {
            return Err(Refused::Ending);
        };
        // What is proved up to a moment before the answer by less than this was proved after the question began.
        let since = asked.as_millis() as u64;
        let is_equal = ranges
            .iter()
            .all(|range| range.proved_age_ms.is_some_and(|age| age <= since));
        if is_equal || began.elapsed() >= patience {
            return Ok(Json(Convergence { is_equal, ranges }));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn list(State(admin): State<Shared>) -> Answer<Vec<RepairFact>> {
    Ok(Json(repairs(&admin, RepairWork::Show).await?))
}

#[derive(Debug, Deserialize)]
struct Options {
    keyspace: String,
    tables: Option<String>,
    primary: Option<bool>,
    preview: Option<bool>,
    start_token: Option<i64>,
    end_token: Option<i64>,
    datacenters: Option<String>,
    hosts: Option<String>,
}

async fn begin(State(admin): State<Shared>, Query(options): Query<Options>) -> Answer<RepairFact> {
    let tokens = match (options.start_token, options.end_token) {
        (None, None) => None,
        (Some(start), Some(end)) if start == end => {
            let text = "Start and end tokens must be different.";
            return Err(Refused::Invalid(text.to_owned()));
        }
        (start, end) => Some((start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX))),
    };
    let options = RepairOptions {
        tables: names(options.tables.as_deref()),
        primary: options.primary.unwrap_or(false),
        preview: options.preview.unwrap_or(false),
        tokens,
        datacenters: names(options.datacenters.as_deref()),
        hosts: names(options.hosts.as_deref()),
        keyspace: options.keyspace,
    };
    let over = repairs(&admin, RepairWork::Begin(options)).await?.pop();
    over.map(Json).ok_or(Refused::Ending)
}

#[derive(Debug, Deserialize)]
struct Which {
    id: Option<String>,
}

async fn cancel(state: State<Shared>, Query(which): Query<Which>) -> Answer<Done> {
    done(state, AdminWork::Repair(RepairWork::Cancel(which.id))).await
}

async fn repairs(admin: &Shared, work: RepairWork) -> Result<Vec<RepairFact>, Refused> {
    match admin.work(AdminWork::Repair(work)).await?.pop() {
        Some(AdminAnswer::Repairs(facts)) => Ok(facts),
        _ => Err(Refused::Ending),
    }
}
