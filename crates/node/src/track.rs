//! Mutation tracking at work (docs/tracking.md): writes get ids where they begin, replicas tell each other which they hold, and
//! fetch what they lack. What follows from what is known is [`cluster::track::Group`]'s to say; here it meets the store, the
//! other shards and the other nodes.
//!
//! A *group* is the set of nodes that a mutation is for; it is named by its members. Its home is one shard of each of them, by
//! the group's name: there its `Group` lives, told by all shards what they made durable. What must stay true:
//! - a mutation gets its id from the shard that appends it first, and only if it does;
//! - a home is told of ids that are synced, and of those before the answer to a question that came after;
//! - what comes from another node is verified before it is appended, and appended with the id it has.
//!
//! `origin.rs` begins writes, `commit.rs` what conditional statements decided, `home.rs` keeps groups, `shards.rs` is what homes and the other shards tell each other, `serve.rs`
//! reads what others lack and takes what this node lacks, `retire.rs` forgets what is settled for good, `budget.rs` bounds what is kept for them, `handoff.rs` has what operators say of that, `gate.rs` says whom reads rest on, `staleness.rs` keeps the bounds that they ask for, `proof.rs` what tables are proved, `owed.rs` what repair has brought, `message.rs` has the bytes.

mod budget;
pub mod commit;
pub mod facts;
pub mod gate;
pub mod handoff;
mod home;
pub mod message;
mod origin;
mod owed;
mod proof;
mod retire;
mod serve;
mod shards;
pub(crate) mod staleness;

use crate::config::NodeConfig;
use crate::shard::Shard;
use cluster::topology::NodeId;
use cluster::track::{Boot, GroupId};
use home::Home;
use model::time::BootNanos;
use model::track::{IdSet, LogId};
pub(crate) use origin::{Forwarded, Groups};
pub use origin::{Origination, Replicated};
use serve::Serving;
pub use shards::TrackNote;
use shards::{PendingAsk, Told};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::held::Members;

/// Whom the node's ids are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incarnation {
    /// The node's number.
    pub node: NodeId,
    /// Random, of its data directory.
    pub incarnation: u64,
    /// Starts of that, this one included.
    pub boot: Boot,
}

/// A log that this shard is the origin of.
#[derive(Debug, Clone, Copy)]
struct OwnLog {
    log: LogId,
    /// The last sequence that was assigned.
    end: u64,
}

/// A shard's part in tracking.
#[derive(Debug)]
pub(crate) struct Tracking {
    own: Incarnation,
    /// Logs this shard has opened since the start, by the group they are for.
    logs: BTreeMap<Members, OwnLog>,
    /// How stale a fresh member of a group may be, in milliseconds (docs/tracking.md, section 8).
    gate_ms: u64,
    /// The next number of a log of this shard's; none twice on a node.
    next_number: u32,
    /// Groups whose home this shard is.
    homes: BTreeMap<GroupId, Home>,
    /// Of groups whose home this shard is, the boots of origins up to which logs are retired.
    retired: BTreeMap<Members, BTreeMap<NodeId, Boot>>,
    /// Questions of homes that wait for a fence to be durable, by the number of its write.
    asks: BTreeMap<u64, PendingAsk>,
    next_ask: u64,
    /// Questions whose fence the log did not take, and when they are tried again.
    put_off: Vec<PendingAsk>,
    put_off_until: BootNanos,
    /// What others are being sent of the journal.
    serving: BTreeMap<u64, Serving>,
    next_serving: u64,
    /// What homes were told since the start, and what this shard's home groups were told of others.
    told: Told,
    budget: budget::JournalBudget,
    handoff: handoff::Handoff,
    /// What groups are good for, as homes last said.
    pub(crate) freshness: facts::FreshnessTable,
    /// Whether somebody gains what others replicate.
    ring_changes: bool,
    proofs: proof::Proofs,
}

impl Tracking {
    /// Of a shard that begins.
    pub(crate) fn new(own: Incarnation, shard: u16, config: &NodeConfig) -> Self {
        Self {
            own,
            gate_ms: home::gate_ms(config.policy),
            logs: BTreeMap::new(),
            next_number: u32::from(shard),
            homes: BTreeMap::new(),
            retired: BTreeMap::new(),
            asks: BTreeMap::new(),
            next_ask: 0,
            put_off: Vec::new(),
            put_off_until: BootNanos(0),
            serving: BTreeMap::new(),
            next_serving: 0,
            told: Told::default(),
            budget: budget::JournalBudget::default(),
            handoff: handoff::Handoff::new(config.handoff.clone()),
            freshness: facts::FreshnessTable::default(),
            ring_changes: false,
            proofs: proof::Proofs::default(),
        }
    }

    /// When [`Shard::tend_tracking`] has something to do although nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<BootNanos> {
        let homes = self.homes.values().map(Home::next_deadline);
        let put_off = (!self.put_off.is_empty()).then_some(self.put_off_until);
        let handoff = self.handoff.next_deadline();
        homes.chain(put_off).chain(handoff).min()
    }
}

/// The group of these members.
fn group_of(members: &Members) -> GroupId {
    let nodes: Vec<NodeId> = members.iter().map(|node| NodeId(*node)).collect();
    GroupId::of(&nodes)
}

impl Shard {
    /// The home of a group on a node of as many shards as this one.
    fn home_of(&self, group: GroupId) -> u16 {
        (group.0 % u64::from(self.config.shards)) as u16
    }

    /// Whether this node is among the members of a group that was named in a message: in order, none twice, few.
    pub(crate) fn is_member(&self, members: &Members) -> bool {
        let in_order = members.windows(2).all(|pair| pair[0] < pair[1]);
        in_order
            && members.len() > 1
            && members.len() <= storage::held::MAX_MEMBERS
            && members.contains(&self.topology.local.0)
    }

    /// All members hold these, or what they lack is owed: this shard need not keep them for others.
    fn release(&mut self, ids: &Arc<IdSet>, out: &mut crate::effects::Effects) {
        self.replica.store.prove(ids, &mut out.io);
    }
}
