//! Which deltas go into a message when not all fit: the most out-of-date first, each from its oldest value.
//!
//! Scuttlebutt's order. Cut short, a delta ends at the version of its last value, so whoever takes it holds everything
//! up to there and asks for the rest next time.

use crate::gossip::Gossip;
use crate::gossip::endpoint::Endpoint;
use crate::gossip::message::Delta;
use std::net::SocketAddr;

/// Something a peer lacks: what the endpoint said after version `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lack {
    pub address: SocketAddr,
    pub from: u64,
}

impl Gossip {
    /// Deltas for what a peer lacks, in at most `budget` bytes.
    pub(super) fn deltas(&self, mut lacks: Vec<Lack>, budget: usize) -> Vec<Delta> {
        let behind = |lack: &Lack| {
            let version = self.roster.get(lack.address).map_or(0, Endpoint::version);
            version.saturating_sub(lack.from)
        };
        // Equally far behind: whom this node knows best, itself, then by address, so that a run can be repeated.
        lacks.sort_by_key(|lack| {
            (
                std::cmp::Reverse(behind(lack)),
                lack.address != self.address,
                lack.address,
            )
        });
        lacks.dedup();
        let mut deltas = Vec::new();
        let mut left = budget;
        for lack in lacks {
            let Some(endpoint) = self.roster.get(lack.address) else {
                continue;
            };
            let Some((delta, bytes)) = delta(endpoint, lack.from, left) else {
                break;
            };
            left -= bytes;
            deltas.push(delta);
        }
        deltas
    }
}

/// The front of what an endpoint said after `from`, in at most `budget` bytes; `None` if not even one value fits.
fn delta(endpoint: &Endpoint, from: u64, budget: usize) -> Option<(Delta, usize)> {
    let mut delta = Delta {
        identity: *endpoint.identity(),
        heartbeat: endpoint.heartbeat,
        from,
        to: endpoint.version(),
        values: Vec::new(),
    };
    let mut bytes = Vec::new();
    delta.encode_head(&mut bytes);
    // The number of values: there are at most 256 keys.
    bytes.extend_from_slice(&[0; 2]);
    if bytes.len() > budget {
        return None;
    }
    let values = endpoint.values_after(from);
    let mut fitting = bytes.len();
    let mut previous = from;
    for value in &values {
        Delta::encode_value(value, previous, &mut bytes);
        if bytes.len() > budget {
            break;
        }
        fitting = bytes.len();
        previous = value.version;
        delta.values.push((*value).clone());
    }
    if delta.values.len() < values.len() {
        delta.to = previous;
        if delta.values.is_empty() {
            return None;
        }
    }
    Some((delta, fitting))
}
