//! What an operator may set of gossip, and the bounds that nobody may exceed.

use crate::gossip::endpoint::Identity;
use std::net::SocketAddr;

/// The largest message.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024;
/// Part of a message that a digest may fill; in a larger cluster it goes round in windows.
pub const MAX_DIGEST_BYTES: usize = 16 * 1024;
/// Part of an ACK that heartbeats may fill.
pub const MAX_HEARTBEAT_BYTES: usize = 8 * 1024;
/// Part of a message that requests may fill.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024;
/// Part of an ACK that digests in full may fill.
pub const MAX_FULL_DIGEST_BYTES: usize = 12 * 1024;
/// Longest name (cluster, data centre, rack, release) in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Most members a node lists as out of its reach; with more than this away it is the one that is cut off.
pub const MAX_UNREACHABLE: usize = 1024;
/// Largest value of a state whose key this version does not know.
pub const MAX_UNKNOWN_BYTES: usize = 4 * 1024;
/// Endpoints beyond this are not learned: what fills a roster so far is no cluster, but a fault.
pub const MAX_ENDPOINTS: usize = 65_536;
/// Removed and forgotten nodes that are remembered so that they do not come back by hearsay; the oldest go first.
pub const MAX_QUARANTINED: usize = 4_096;
/// Refusals that are remembered so that each is told once; the oldest go first.
pub const MAX_REFUSALS: usize = 256;

/// A node's heart beats once a second, as Cassandra's does: what phi was measured against for years.
pub const HEARTBEAT_MS: u64 = 1_000;
/// Time between rounds, in milliseconds per endpoint: a digest grows with the cluster, so its senders slow down.
pub const ROUND_MS_PER_ENDPOINT: u64 = 1;
/// Shortest time between rounds.
pub const MIN_ROUND_MS: u64 = 200;
/// Longest time between rounds.
pub const MAX_ROUND_MS: u64 = 1_000;
/// How often a node that is away, and a seed, may be tried, on top of the round.
pub const SIDE_ROUND_MS: u64 = 1_000;
/// An endpoint nobody has news of for so long is one that rounds do not count on.
pub const SILENT_MS: u64 = 30_000;
/// An endpoint heard of within this time is taken to be running when another claims its host id.
pub const FRESH_MS: u64 = 10_000;
/// How long a removed node is refused and hearsay of a forgotten one ignored: Cassandra's three days.
pub const QUARANTINE_MS: u64 = 3 * 24 * 3_600 * 1_000;
/// How long the states of a silent node are kept that is no member.
pub const RETENTION_MS: u64 = 3_600 * 1_000;
/// A refusal is told again after this time.
pub const REFUSAL_REPEAT_MS: u64 = 3_600 * 1_000;
/// How many peers are told at once of what cannot wait, such as a shutdown.
pub const ANNOUNCE_PEERS: usize = 5;

// Whatever else an ACK holds, a delta with any one value has room; a list of unreachable members has five bytes each.
const HEAD_BYTES: usize = 1024;
const _: () = assert!(
    MAX_HEARTBEAT_BYTES
        + MAX_REQUEST_BYTES
        + MAX_FULL_DIGEST_BYTES
        + HEAD_BYTES
        + if MAX_UNKNOWN_BYTES > 5 * MAX_UNREACHABLE {
            MAX_UNKNOWN_BYTES
        } else {
            5 * MAX_UNREACHABLE
        }
        <= MAX_MESSAGE_BYTES
);
const _: () = assert!(MAX_DIGEST_BYTES + MAX_REQUEST_BYTES <= MAX_MESSAGE_BYTES);
const _: () = assert!(MIN_ROUND_MS <= MAX_ROUND_MS);

/// What the configuration and the node's own directory say.
#[derive(Debug, Clone)]
pub struct GossipConfig {
    /// The cluster's name; nodes of another are refused. Longer than [`MAX_NAME_BYTES`] is cut.
    pub cluster_name: String,
    /// Where a node that knows nobody begins. Its own address among them is skipped.
    pub seeds: Vec<SocketAddr>,
    /// Who this node is, in this life.
    pub identity: Identity,
}

/// Milliseconds from one round to the next in a cluster of so many endpoints.
///
/// The digest of an exchange is proportional to the cluster, and so is this time up to a second: what a node sends is
/// the same at 200 and at 1,000 endpoints, while the number of rounds a change takes grows with the logarithm only.
pub fn round_ms(endpoints: usize) -> u64 {
    (endpoints as u64 * ROUND_MS_PER_ENDPOINT).clamp(MIN_ROUND_MS, MAX_ROUND_MS)
}
