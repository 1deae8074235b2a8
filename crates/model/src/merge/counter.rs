//! Counter contexts: what a counter cell holds.
//!
//! A context is a list of shares, ascending by who leads them: leader (8 bytes), clock (8), count (8), all big-endian. A leader replaces its own share with a higher clock; merging keeps, for each id, the share with the
//! highest clock; the counter's value is the sum of counts. So every increment is counted once however often and in
//! whatever order replicas exchange contexts (Cassandra's CounterContext has the same idea).

const SHARE_BYTES: usize = 24;

/// Who leads a share: one shard of one node, as long as the node has its data. A node that lost its disk, or was given an
/// older copy of it, is another incarnation: its old share may be ahead of what it knows, and is nobody's to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderId(u64);

impl LeaderId {
    /// Of a shard of an incarnation of a node.
    pub fn new(node: u32, incarnation: u16, shard: u16) -> Self {
        Self(u64::from(node) << 32 | u64::from(incarnation) << 16 | u64::from(shard))
    }
}

/// One leader's share of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Who leads it.
    pub leader: LeaderId,
    /// Grows with every change by the leader.
    pub clock: i64,
    /// Sum of the increments it led.
    pub count: i64,
}

fn shares(context: &[u8]) -> impl Iterator<Item = Share> + '_ {
    context.chunks_exact(SHARE_BYTES).map(|bytes| {
        let word = |index: usize| {
            u64::from_be_bytes(
                bytes[index * 8..index * 8 + 8]
                    .try_into()
                    .expect("eight bytes"),
            )
        };
        Share {
            leader: LeaderId(word(0)),
            clock: word(1) as i64,
            count: word(2) as i64,
        }
    })
}

fn put(out: &mut Vec<u8>, share: Share) {
    out.extend_from_slice(&share.leader.0.to_be_bytes());
    out.extend_from_slice(&share.clock.to_be_bytes());
    out.extend_from_slice(&share.count.to_be_bytes());
}

/// The counter's value, as the protocol carries it (wrapping, as Java's long).
pub fn total(context: &[u8]) -> i64 {
    shares(context).fold(0, |sum, share| sum.wrapping_add(share.count))
}

/// The context after the leader added `delta` at `clock`.
pub fn add(context: &[u8], leader: LeaderId, clock: i64, delta: i64) -> Vec<u8> {
    let own = shares(context).find(|share| share.leader == leader);
    let count = own.map_or(0, |share| share.count).wrapping_add(delta);
    let clock = own.map_or(clock, |share| clock.max(share.clock + 1));
    let mut single = Vec::with_capacity(SHARE_BYTES);
    put(
        &mut single,
        Share {
            leader,
            clock,
            count,
        },
    );
    merge(context, &single)
}

/// Merges two contexts.
pub fn merge(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(one.len().max(other.len()) + SHARE_BYTES);
    let (mut lefts, mut rights) = (shares(one).peekable(), shares(other).peekable());
    loop {
        match (lefts.peek().copied(), rights.peek().copied()) {
            (None, None) => return out,
            (Some(left), Some(right)) if left.leader == right.leader => {
                put(
                    &mut out,
                    if (left.clock, left.count) >= (right.clock, right.count) {
                        left
                    } else {
                        right
                    },
                );
                lefts.next();
                rights.next();
            }
            (Some(left), right) if right.is_none_or(|right| left.leader < right.leader) => {
                put(&mut out, left);
                lefts.next();
            }
            (_, Some(right)) => {
                put(&mut out, right);
                rights.next();
            }
            (Some(_), None) => unreachable!("taken by the arm above"),
        }
    }
}
