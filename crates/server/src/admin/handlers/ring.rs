//! Changes of the ring. They are answered when they are over, which may take as long as there is data.

use super::{Answer, done};
use crate::admin::answer::Done;
use crate::admin::api::{Refused, Shared};
use crate::admin::routes::Access::Guarded;
use crate::admin::routes::Method::Post;
use crate::admin::routes::{Route, optional, required};
use ::node::execute::admin::{AdminWork, RingWork};
use axum::extract::{Query, State};
use axum::routing::post;
use model::key::Token;
use serde::Deserialize;
use std::net::IpAddr;
use uuid::Uuid;

#[rustfmt::skip]
pub(in crate::admin) const ROUTES: &[Route] = &[
    Route { method: Post, path: "/api/v1/decommission", about: "This node gives up its tokens, streams what it has to the others, and leaves", parameters: &[optional("force", "`true`: even if fewer stay than replicas are wanted")], access: Guarded, handler: || post(decommission) },
    Route { method: Post, path: "/api/v1/remove-node", about: "A dead member loses its tokens to the others, which stream among themselves", parameters: &[required("host_id", "Its host id")], access: Guarded, handler: || post(remove) },
    Route { method: Post, path: "/api/v1/force-change", about: "A change of the ring goes on without replicas that are away: what only they have is lost", parameters: &[optional("host_id", "Of the member with this host id; without it, every removal")], access: Guarded, handler: || post(force) },
    Route { method: Post, path: "/api/v1/assassinate", about: "The dead member at an address is removed, whoever else is away: what only those have is lost", parameters: &[required("address", "Where it was")], access: Guarded, handler: || post(assassinate) },
    Route { method: Post, path: "/api/v1/move", about: "This node gives up its tokens for others", parameters: &[required("tokens", "The new ones, with commas")], access: Guarded, handler: || post(change_tokens) },
    Route { method: Post, path: "/api/v1/rebuild", about: "This node takes everything it replicates from other replicas", parameters: &[optional("dc", "Of this data centre alone")], access: Guarded, handler: || post(rebuild) },
];

#[derive(Debug, Deserialize)]
struct Leave {
    force: Option<bool>,
}

async fn decommission(state: State<Shared>, Query(leave): Query<Leave>) -> Answer<Done> {
    let force = leave.force.unwrap_or(false);
    change(state, RingWork::Decommission { force }).await
}

#[derive(Debug, Deserialize)]
struct Dead {
    host_id: Uuid,
}

async fn remove(state: State<Shared>, Query(dead): Query<Dead>) -> Answer<Done> {
    change(state, RingWork::Remove(dead.host_id)).await
}

#[derive(Debug, Deserialize)]
struct Forced {
    host_id: Option<Uuid>,
}

async fn force(state: State<Shared>, Query(forced): Query<Forced>) -> Answer<Done> {
    change(state, RingWork::Force(forced.host_id)).await
}

#[derive(Debug, Deserialize)]
struct Victim {
    address: IpAddr,
}

async fn assassinate(state: State<Shared>, Query(victim): Query<Victim>) -> Answer<Done> {
    change(state, RingWork::Assassinate(victim.address)).await
}

#[derive(Debug, Deserialize)]
struct Tokens {
    tokens: String,
}

async fn change_tokens(state: State<Shared>, Query(wanted): Query<Tokens>) -> Answer<Done> {
    let tokens = wanted.tokens.split(',').map(|token| {
        let parsed = token.trim().parse().map(Token);
        parsed.map_err(|_| Refused::Invalid(format!(
            "Invalid token for Murmur3Partitioner. Got {token} but expected a long value (unsigned 8 bytes integer)."
        )))
    });
    let tokens = tokens.collect::<Result<Vec<Token>, Refused>>()?;
    change(state, RingWork::Move(tokens)).await
}

#[derive(Debug, Deserialize)]
struct From {
    dc: Option<String>,
}

async fn rebuild(state: State<Shared>, Query(from): Query<From>) -> Answer<Done> {
    change(state, RingWork::Rebuild(from.dc)).await
}

async fn change(state: State<Shared>, work: RingWork) -> Answer<Done> {
    done(state, AdminWork::ChangeRing(work)).await
}
