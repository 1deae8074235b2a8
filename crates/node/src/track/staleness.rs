//! Reads with a bound (docs/tracking.md, section 8): an answer at ONE or LOCAL_ONE that misses nothing which was acknowledged longer ago
//! than the client, or the role's default, says.
//!
//! A replica that is known to be fresh keeps a bound of 1.75 s or more (G, and how old that knowledge may be); any replica keeps one that reaches back to a moment up to which its group is
//! proved equal. Where neither is known the read is made at QUORUM, or LOCAL_QUORUM: that misses nothing acknowledged by as many.

use super::Shard;
use super::facts::FRESH_MS;
use super::gate::members_of;
use super::home::GATE_MS;
use cluster::coordinate::ReplicaPlan;
use model::error::{Consistency, RequestError};
use model::staleness;

/// The bound that a replica keeps of which this node knows that it is fresh, in milliseconds: G, and how old that knowledge may be:
/// half of G from the replica to this node, and the way to the shard that asks.
const FRESH_BOUND_MS: u64 = GATE_MS + GATE_MS / 2 + FRESH_MS;

/// The key of a request's custom payload that asks for a bound.
pub(crate) const PAYLOAD_KEY: &str = "helenus.max_staleness";

/// The bound that a request's custom payload asks for, in milliseconds.
pub(crate) fn asked(payload: &[(&str, Option<&[u8]>)]) -> Result<Option<u64>, RequestError> {
    let Some((_, value)) = payload.iter().find(|(key, _)| *key == PAYLOAD_KEY) else {
        return Ok(None);
    };
    let text = value.and_then(|bytes| std::str::from_utf8(bytes).ok());
    match text.and_then(staleness::parse) {
        Some(ms) => Ok(Some(ms)),
        None => Err(RequestError::invalid(format!(
            "{PAYLOAD_KEY} is a text as 1500ms, 5s, 2m or 1h, up to a day"
        ))),
    }
}

impl Shard {
    /// The bound of a role's reads that ask for none themselves, in milliseconds.
    pub(crate) fn staleness_of(&self, role: &str) -> Option<u64> {
        self.schema.roles.get(role)?.max_staleness_ms
    }

    /// The plan of a read that keeps a bound: as it was, replicas that are trusted first, or at a level that keeps any.
    pub(crate) fn keep_bound(
        &mut self,
        mut plan: ReplicaPlan,
        (keyspace, most_ms): (&str, u64),
    ) -> Result<ReplicaPlan, RequestError> {
        let raised = match plan.consistency {
            Consistency::One => Consistency::Quorum,
            Consistency::LocalOne => Consistency::LocalQuorum,
            _ => return Ok(plan),
        };
        let proved = self.tracking.freshness.proved_of(&members_of(&plan));
        let now = self.stopwatch.boot();
        if proved.is_some_and(|proved| now.since(proved) <= most_ms * 1_000_000) {
            return Ok(plan);
        }
        let fresh = self.near_and(&plan, |fresh| fresh == Some(true));
        if !fresh.is_empty() && most_ms >= FRESH_BOUND_MS {
            // Nobody else is asked should it be slow.
            plan.replicas
                .retain(|replica| fresh.contains(&replica.node));
            return Ok(plan);
        }
        self.metrics.raised_reads += 1;
        match self.topology.keyspace(keyspace) {
            Some(keyspace) => plan.at_level(raised, keyspace, &self.topology),
            None => Ok(plan),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_read_from_the_payload() {
        assert_eq!(asked(&[("other", None)]), Ok(None));
        assert_eq!(asked(&[(PAYLOAD_KEY, Some(b"5s"))]), Ok(Some(5_000)));
        assert!(asked(&[(PAYLOAD_KEY, Some(b"soon"))]).is_err());
        assert!(asked(&[(PAYLOAD_KEY, None)]).is_err());
    }
}
