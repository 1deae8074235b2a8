//! Tables: figures, and what is done with them.

use super::{Answer, done, names};
use crate::admin::answer::{Compactions, Done, HotPartition, TableReport, Verified};
use crate::admin::api::{Refused, Shared};
use crate::admin::gather;
use crate::admin::routes::Access::Guarded;
use crate::admin::routes::Method::{Get, Post};
use crate::admin::routes::{Parameter, Route, optional, required};
use axum::Json;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use node::execute::admin::{AdminAnswer, AdminWork, TableAction, TableWork, VerifiedTable};
use serde::Deserialize;

/// Which tables; all that are not ruled out.
const WHICH: &[Parameter] = &[
    optional("keyspace", "Tables of this keyspace"),
    optional("table", "These tables of it, with commas"),
];

/// Which tables are verified, and how closely.
const CLOSELY: &[Parameter] = &[
    optional("keyspace", "Tables of this keyspace"),
    optional("table", "These tables of it, with commas"),
    optional(
        "quick",
        "`true`: only the end of each file is read, with its index root and statistics",
    ),
    optional(
        "tokens",
        "`true`: partitions of tokens that are not this node's are told",
    ),
];

/// Which table.
const ONE: &[Parameter] = &[
    required("keyspace", "Its keyspace"),
    required("table", "The table"),
];

#[rustfmt::skip]
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route { method: Get, path: "/api/v1/tables", about: "Figures of tables on this node", parameters: WHICH, access: Guarded, handler: || get(tables) },
    Route { method: Get, path: "/api/v1/compactions", about: "Compactions that are due and under way", parameters: &[], access: Guarded, handler: || get(compactions) },
    Route { method: Get, path: "/api/v1/hot-partitions", about: "Partitions that take more than a hundredth of their table's requests", parameters: &[], access: Guarded, handler: || get(hot) },
    Route { method: Post, path: "/api/v1/flush", about: "Write what is in memory to SSTables", parameters: WHICH, access: Guarded, handler: || post(flush) },
    Route { method: Post, path: "/api/v1/compact", about: "Merge all SSTables of each table into one", parameters: WHICH, access: Guarded, handler: || post(compact) },
    Route { method: Post, path: "/api/v1/rewrite", about: "Rewrite every SSTable by itself: what may be forgotten is", parameters: WHICH, access: Guarded, handler: || post(rewrite) },
    Route { method: Post, path: "/api/v1/verify", about: "Read SSTables again and hold them against their checksums: what is wrong", parameters: CLOSELY, access: Guarded, handler: || post(verify) },
    Route { method: Post, path: "/api/v1/refresh", about: "Take over the SSTables that are placed in the directory `refresh` of a table's; answered with what was found in them", parameters: ONE, access: Guarded, handler: || post(refresh) },
    Route { method: Post, path: "/api/v1/cleanup", about: "Leave out of SSTables what other nodes replicate alone", parameters: WHICH, access: Guarded, handler: || post(cleanup) },
];

#[derive(Debug, Deserialize)]
struct Which {
    keyspace: Option<String>,
    table: Option<String>,
}

async fn tables(
    State(admin): State<Shared>,
    Query(which): Query<Which>,
) -> Answer<Vec<TableReport>> {
    let tables = names(which.table.as_deref());
    let facts = admin.facts().await?;
    let reports = gather::tables(&facts, which.keyspace.as_deref(), &tables)?;
    Ok(Json(reports))
}

async fn compactions(State(admin): State<Shared>) -> Answer<Compactions> {
    Ok(Json(gather::compactions(&admin.facts().await?)))
}

async fn hot(State(admin): State<Shared>) -> Answer<Vec<HotPartition>> {
    Ok(Json(gather::hot(&admin.facts().await?)))
}

async fn flush(state: State<Shared>, which: Query<Which>) -> Answer<Done> {
    act(state, which, TableAction::Flush).await
}

async fn compact(state: State<Shared>, which: Query<Which>) -> Answer<Done> {
    act(state, which, TableAction::Compact).await
}

async fn cleanup(state: State<Shared>, which: Query<Which>) -> Answer<Done> {
    act(state, which, TableAction::Cleanup).await
}

#[derive(Debug, Deserialize)]
struct Closely {
    keyspace: Option<String>,
    table: Option<String>,
    quick: Option<bool>,
    tokens: Option<bool>,
}

async fn verify(
    State(admin): State<Shared>,
    Query(closely): Query<Closely>,
) -> Answer<Vec<Verified>> {
    let work = TableWork {
        action: TableAction::Verify {
            quick: closely.quick.unwrap_or(false),
            tokens: closely.tokens.unwrap_or(false),
        },
        tables: names(closely.table.as_deref()),
        keyspace: closely.keyspace,
    };
    let answers = admin.work(AdminWork::Tables(work)).await?.into_iter();
    Ok(Json(gather::verified(answers.filter_map(verified_tables))))
}

#[derive(Debug, Deserialize)]
struct One {
    keyspace: String,
    table: String,
}

/// All shards have to find all files sound before one of them takes anything, and to have taken everything before a file goes.
async fn refresh(State(admin): State<Shared>, Query(one): Query<One>) -> Answer<Verified> {
    if one.keyspace.starts_with("system") {
        let text = "what system tables hold is of one node and one time";
        return Err(Refused::Invalid(text.to_owned()));
    }
    let work = |action| {
        AdminWork::Tables(TableWork {
            action,
            tables: vec![one.table.clone()],
            keyspace: Some(one.keyspace.clone()),
        })
    };
    let answers = admin.work(work(TableAction::LookAtPlaced)).await?;
    let shards = answers.into_iter().filter_map(verified_tables);
    let found = gather::verified(shards).pop().unwrap_or_default();
    if found.wrong > 0 {
        return Err(Refused::Failed(format!(
            "nothing was taken over, for there is something wrong: {}",
            found.found.join("; ")
        )));
    }
    admin.work(work(TableAction::TakePlaced)).await?;
    admin.work(work(TableAction::RemovePlaced)).await?;
    Ok(Json(found))
}

fn verified_tables(answer: AdminAnswer) -> Option<Vec<VerifiedTable>> {
    match answer {
        AdminAnswer::Verified(tables) => Some(tables),
        _ => None,
    }
}

async fn rewrite(state: State<Shared>, which: Query<Which>) -> Answer<Done> {
    act(state, which, TableAction::Rewrite).await
}

async fn act(
    state: State<Shared>,
    Query(which): Query<Which>,
    action: TableAction,
) -> Answer<Done> {
    let work = TableWork {
        action,
        tables: names(which.table.as_deref()),
        keyspace: which.keyspace,
    };
    done(state, AdminWork::Tables(work)).await
}
