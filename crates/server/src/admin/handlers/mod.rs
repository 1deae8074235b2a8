//! Who answers: a file for each family of paths, each with its part of the table.

pub(super) mod cluster;
pub(super) mod control;
pub(super) mod handoff;
pub(super) mod node;
pub(super) mod repair;
pub(super) mod ring;
pub(super) mod snapshots;
pub(super) mod tables;

use super::answer::Done;
use super::api::{Refused, Shared};
use ::node::execute::admin::AdminWork;
use axum::Json;
use axum::extract::State;

/// What most handlers answer with.
type Answer<T> = Result<Json<T>, Refused>;

/// Has shards do something that has no answer but that it is done.
async fn done(State(admin): State<Shared>, work: AdminWork) -> Answer<Done> {
    admin.work(work).await?;
    Ok(Json(Done::default()))
}

/// Names between commas.
fn names(list: Option<&str>) -> Vec<String> {
    let names = list.into_iter().flat_map(|list| list.split(','));
    let named = names.filter(|name| !name.is_empty());
    named.map(str::to_owned).collect()
}
