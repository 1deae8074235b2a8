//! Tracing: what a traced request did, written to `system_traces` when it is answered.

use crate::system::row::SystemRow;
use cql::frame::ColumnSpec;
use cql::frame::request::QueryParameters;
use cql::plan::literal;
use cql::plan::values::{Bound, BoundValues};
use model::env::Clock;
use model::error::Consistency;
use model::key::{self, DecoratedKey};
use model::mutation::Mutation;
use model::schema::Schema;
use model::time::Now;
use model::value;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// Seconds a trace is kept: a day, as Cassandra's `trace_type_query_ttl`.
pub const TRACE_TTL_SECONDS: u32 = 86_400;

/// How much of a bound value a session shows, as in Cassandra.
const SHOWN_VALUE_CHARS: usize = 1000;

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
    clock: Arc<dyn Clock + Send + Sync>,
    started: Now,
    events: Vec<(Now, String)>,
}

impl Trace {
    /// Starts a session.
    pub fn new(
        id: Uuid,
        client: IpAddr,
        request: &'static str,
        clock: Arc<dyn Clock + Send + Sync>,
    ) -> Self {
        Self {
            id,
            client,
            request,
            parameters: Vec::new(),
            started: clock.now(),
            clock,
            events: Vec::new(),
        }
    }

    /// Keeps what a statement was asked with.
    pub fn asked(&mut self, text: &str, parameters: &QueryParameters<'_>) {
        self.parameters.push(("query".into(), text.into()));
        if let Some(size) = parameters.page_size {
            self.parameters.push(("page_size".into(), size.to_string()));
        }
        self.levels(parameters.consistency, parameters.serial_consistency);
    }

    /// Keeps the consistency levels of a request.
    pub fn levels(&mut self, consistency: Consistency, serial: Option<Consistency>) {
        let serial = serial.unwrap_or(Consistency::Serial);
        for (name, level) in [
            ("consistency_level", consistency),
            ("serial_consistency_level", serial),
        ] {
            self.parameters.push((name.into(), level.to_string()));
        }
    }

    /// Keeps the values bound to a prepared statement, as literals cut off at [`SHOWN_VALUE_CHARS`].
    pub fn bound(&mut self, markers: &[ColumnSpec], values: &BoundValues<'_>) {
        for (index, marker) in markers.iter().enumerate() {
            let mut text = String::new();
            match values.get(index) {
                Bound::Unset => text.push_str("unset"),
                Bound::Null => literal::print(&marker.cql_type, None, &mut text),
                Bound::Value(bytes) => literal::print(&marker.cql_type, Some(&bytes), &mut text),
            }
            if let Some((end, _)) = text.char_indices().nth(SHOWN_VALUE_CHARS) {
                text.truncate(end);
                text.push_str("...'");
            }
            let name = format!("bound_var_{index}_{}", marker.name);
            self.parameters.push((name, text));
        }
    }

    /// Notes an event.
    pub fn note(&mut self, activity: String) {
        self.events.push((self.clock.now(), activity));
    }

    /// Whole microseconds from the start to a moment, at least one: cqlsh takes none for a trace that is not finished.
    fn elapsed(&self, moment: Now) -> i32 {
        let micros = moment.boot.since(self.started.boot) / 1000;
        i32::try_from(micros).unwrap_or(i32::MAX).max(1)
    }

    /// The session, which ends now, and its events as rows of the tables of `system_traces`. `next_uuid` makes a time
    /// UUID of a moment.
    pub fn mutations(
        &self,
        schema: &Schema,
        node: IpAddr,
        thread: &str,
        mut next_uuid: impl FnMut(Now) -> Uuid,
    ) -> Vec<Mutation> {
        let (Some(sessions), Some(events)) = (
            schema.table("system_traces", "sessions"),
            schema.table("system_traces", "events"),
        ) else {
            return Vec::new();
        };
        let key = DecoratedKey::new(key::join(&[self.id.as_bytes().as_slice()]));
        let now = self.clock.now();
        let duration = self.elapsed(now);
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
        for (moment, activity) in &self.events {
            let id = next_uuid(*moment);
            let event = SystemRow::new(events, now.wall.0)
                .expiring(TRACE_TTL_SECONDS, now)
                .set("activity", activity.as_bytes())
                .set("source", &address(node))
                .set("source_elapsed", &self.elapsed(*moment).to_be_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::time::{BootNanos, WallMicros};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Goes on by 700 ns each time it is read.
    #[derive(Debug, Default)]
    struct Ticking(AtomicU64);

    impl Clock for Ticking {
        fn wall(&self) -> WallMicros {
            WallMicros(1)
        }

        fn boot(&self) -> BootNanos {
            BootNanos(self.0.fetch_add(700, Ordering::Relaxed))
        }
    }

    #[test]
    fn events_of_one_turn_have_times_of_their_own_and_none_is_zero() {
        let client = IpAddr::from([127, 0, 0, 1]);
        let clock = Arc::new(Ticking::default());
        let mut trace = Trace::new(Uuid::nil(), client, "Execute CQL3 query", clock);
        for _ in 0..4 {
            trace.note("done".to_owned());
        }
        let elapsed = trace.events.iter().map(|(at, _)| trace.elapsed(*at));
        assert_eq!(elapsed.collect::<Vec<_>>(), [1, 1, 2, 2]);
    }
}
