//! Tracing: what a traced request did, written to `system_traces` when it is answered.

use crate::system_row::SystemRow;
use model::key::{self, DecoratedKey};
use model::mutation::Mutation;
use model::schema::Schema;
use model::time::Now;
use model::value;
use std::net::IpAddr;
use uuid::Uuid;

/// Seconds a trace is kept: a day, as Cassandra's `trace_type_query_ttl`.
pub const TRACE_TTL_SECONDS: u32 = 86_400;

/// A request being traced.
#[derive(Debug)]
pub struct Trace {
    /// The session's id, a time UUID.
    pub id: Uuid,
    /// Address of the client.
    pub client: IpAddr,
    /// What it asked, in a word.
    pub request: &'static str,
    /// Its statement, consistency level and so on.
    pub parameters: Vec<(String, String)>,
    started: Now,
    events: Vec<(u64, String)>,
}

impl Trace {
    /// Starts a session.
    pub fn new(id: Uuid, client: IpAddr, request: &'static str, started: Now) -> Self {
        Self {
            id,
            client,
            request,
            parameters: Vec::new(),
            started,
            events: Vec::new(),
        }
    }

    /// Notes an event.
    pub fn note(&mut self, now: Now, activity: String) {
        self.events
            .push((now.boot.since(self.started.boot) / 1000, activity));
    }

    /// The session and its events as rows of the tables of `system_traces`.
    pub fn mutations(
        &self,
        schema: &Schema,
        node: IpAddr,
        thread: &str,
        now: Now,
        mut next_uuid: impl FnMut() -> Uuid,
    ) -> Vec<Mutation> {
        let (Some(sessions), Some(events)) = (
            schema.table("system_traces", "sessions"),
            schema.table("system_traces", "events"),
        ) else {
            return Vec::new();
        };
        let key = DecoratedKey::new(key::join(&[self.id.as_bytes().as_slice()]));
        let duration = (now.boot.since(self.started.boot) / 1000) as i32;
        let parameters: Vec<&[u8]> = self
            .parameters
            .iter()
            .flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()])
            .collect();
        let session = SystemRow::new(sessions, now.wall.0)
            .expiring(TRACE_TTL_SECONDS, now)
            .set("client", &address(self.client))
            .set("command", b"QUERY")
            .set("coordinator", &address(node))
            .set("coordinator_port", &7000i32.to_be_bytes())
            .set("duration", &duration.to_be_bytes())
            .set(
                "parameters",
                &value::join_collection(self.parameters.len(), parameters.into_iter()),
            )
            .set("request", self.request.as_bytes())
            .set("started_at", &self.started.wall.millis().to_be_bytes());
        let mut mutations = vec![session.finish(&key, &[])];
        let mut mutation = Mutation::new(key.clone());
        for (elapsed, activity) in &self.events {
            let id = next_uuid();
            let event = SystemRow::new(events, now.wall.0)
                .expiring(TRACE_TTL_SECONDS, now)
                .set("activity", activity.as_bytes())
                .set("source", &address(node))
                .set("source_elapsed", &(*elapsed as i32).to_be_bytes())
                .set("source_port", &7000i32.to_be_bytes())
                .set("thread", thread.as_bytes());
            mutation.merge(event.finish(&key, &[id.as_bytes()]));
        }
        mutations.push(mutation);
        mutations
    }
}

fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
