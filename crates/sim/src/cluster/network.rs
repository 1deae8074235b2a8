//! The network between simulated nodes: what TCP does to messages, decided by a seed.
//!
//! A shard's messages to a node travel on one connection for each class: in order, with a delay, or not at all. A link that is
//! *cut* loses what is sent, and of what is under way the end of each connection; one that is *stalled* hands everything over
//! when it is open again, as a network does that loses packets for a while. Each direction is a link of its own.

use crate::planted::Planted;
use crate::random::Rng;
use ::cluster::internode::{Class, PeerIdentity};
use std::collections::{BTreeMap, BTreeSet};

/// Longest time a message takes in calm, in nanoseconds.
const DELAY_NANOS: u64 = 2_000_000;

/// A node's shard, the node it sends to, and the class.
type Connection = (usize, u16, usize, u8);

/// A message under way.
#[derive(Debug, Clone)]
pub struct Flying {
    /// Which node sent it.
    pub sender: usize,
    /// Who that node said it is when the connection was opened.
    pub from: PeerIdentity,
    /// Which node it is for.
    pub to: usize,
    /// As what it travels.
    pub class: Class,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// The links between all nodes.
pub struct Network {
    /// Links that lose everything, from and to.
    pub cut: BTreeSet<(usize, usize)>,
    /// Links that keep everything until they are opened again.
    stalled: BTreeMap<(usize, usize), Vec<Flying>>,
    /// What messages of a link take longer at most, in nanoseconds.
    slow: BTreeMap<(usize, usize), u64>,
    flying: BTreeMap<(u64, u64), Flying>,
    /// When the last message of a connection arrives: they do not overtake each other.
    arrivals: BTreeMap<Connection, u64>,
    /// Who opened each connection said it is: that holds until it is closed, whatever the node has become since.
    opened: BTreeMap<Connection, PeerIdentity>,
    count: u64,
    rng: Rng,
    /// A digest of what arrived, in order.
    pub history: u64,
    /// What is wrong with it, beside what networks do.
    pub planted: Planted,
}

impl Network {
    /// A network that works.
    pub fn new(rng: Rng) -> Self {
        Self {
            cut: BTreeSet::new(),
            stalled: BTreeMap::new(),
            slow: BTreeMap::new(),
            flying: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            opened: BTreeMap::new(),
            count: 0,
            rng,
            history: 0,
            planted: Planted::Nothing,
        }
    }

    /// Sends a message.
    pub(super) fn send(
        &mut self,
        (sender, from): (usize, PeerIdentity),
        to: usize,
        class: Class,
        bytes: Vec<u8>,
        now: u64,
    ) {
        if self.cut.contains(&(sender, to)) {
            return;
        }
        let connection = (sender, from.shard, to, class.code());
        let flying = Flying {
            sender,
            from: *self.opened.entry(connection).or_insert(from),
            to,
            class,
            bytes,
        };
        match self.stalled.get_mut(&(sender, to)) {
            Some(waiting) => waiting.push(flying),
            None => self.fly(flying, now),
        }
    }

    fn fly(&mut self, flying: Flying, now: u64) {
        let link = (flying.sender, flying.to);
        let connection = (
            flying.sender,
            flying.from.shard,
            flying.to,
            flying.class.code(),
        );
        let delay = DELAY_NANOS + self.slow.get(&link).copied().unwrap_or(0);
        let arrival = self.arrivals.entry(connection).or_default();
        *arrival = (*arrival).max(now + 1 + self.rng.below(delay));
        self.count += 1;
        self.flying.insert((*arrival, self.count), flying);
    }

    /// When the next message arrives, in nanoseconds.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.flying.keys().next().map(|(at, _)| *at)
    }

    /// The next message that arrives by now. What is for a node that is paused waits until that is over.
    pub(super) fn take_due(&mut self, now: u64, paused: &BTreeMap<usize, u64>) -> Option<Flying> {
        while let Some(entry) = self.flying.first_entry()
            && entry.key().0 <= now
        {
            let (_, number) = *entry.key();
            let flying = entry.remove();
            if let Some(until) = paused.get(&flying.to) {
                // The number keeps them in order.
                self.flying.insert((*until, number), flying);
                continue;
            }
            let said = u64::from(crc32fast::hash(&flying.bytes));
            let seen = now ^ (said << 16) ^ ((flying.to as u64) << 56);
            self.history = (self.history ^ seen).wrapping_mul(0x0100_0000_01b3);
            return Some(flying);
        }
        None
    }

    /// A link loses everything from now on.
    pub fn cut_link(&mut self, from: usize, to: usize, now: u64) {
        self.cut.insert((from, to));
        self.stalled.remove(&(from, to));
        self.lose(now, |flying| (flying.sender, flying.to) == (from, to));
    }

    /// A link keeps what is sent from now on.
    pub fn stall_link(&mut self, from: usize, to: usize) {
        self.stalled.entry((from, to)).or_default();
    }

    /// Messages of a link take so much longer at most, in nanoseconds.
    pub fn slow_link(&mut self, from: usize, to: usize, nanos: u64) {
        self.slow.insert((from, to), nanos);
    }

    /// A link works again.
    pub fn open_link(&mut self, from: usize, to: usize, now: u64) {
        self.cut.remove(&(from, to));
        self.slow.remove(&(from, to));
        for flying in self.stalled.remove(&(from, to)).into_iter().flatten() {
            self.fly(flying, now);
        }
    }

    /// All links work again.
    pub fn heal(&mut self, now: u64) {
        self.cut.clear();
        self.slow.clear();
        for flying in std::mem::take(&mut self.stalled).into_values().flatten() {
            self.fly(flying, now);
        }
    }

    /// A node ends its connections with another, both ways: what it sent leaves, what it has not read is lost. The other opens its
    /// own again, as who it is by now.
    pub(super) fn close(&mut self, node: usize, peer: usize, is_now: Option<PeerIdentity>) {
        self.opened
            .retain(|(sender, _, to, _), _| (*sender, *to) != (node, peer));
        for ((sender, shard, to, _), identity) in &mut self.opened {
            if let Some(is_now) = is_now
                && (*sender, *to) == (peer, node)
            {
                *identity = PeerIdentity {
                    shard: *shard,
                    ..is_now
                };
            }
        }
        self.flying
            .retain(|_, flying| (flying.sender, flying.to) != (peer, node));
        if let Some(waiting) = self.stalled.get_mut(&(peer, node)) {
            waiting.clear();
        }
    }

    /// A node's connections end with it.
    pub(super) fn lose_connections(&mut self, node: usize, now: u64) {
        self.opened
            .retain(|(sender, _, to, _), _| *sender != node && *to != node);
        self.flying.retain(|_, flying| flying.to != node);
        self.lose(now, |flying| flying.sender == node);
        for ((from, to), waiting) in &mut self.stalled {
            if *from == node || *to == node {
                waiting.clear();
            }
        }
    }

    /// Of some connections what is under way is lost from some point on.
    pub fn lose(&mut self, now: u64, which: impl Fn(&Flying) -> bool) {
        let from = now + self.rng.below(DELAY_NANOS);
        self.flying
            .retain(|(at, _), flying| *at < from || !which(flying));
    }
}
