//! The three steps of an exchange: SYN, ACK, ACK2.
//!
//! No side remembers anything between the steps, so messages may be lost, doubled and delayed as they like. Positions
//! in an ACK refer to the roster of the SYN; the asker uses them only while its roster still has the same hash.

use crate::gossip::config::{
    FRESH_MS, MAX_DIGEST_BYTES, MAX_FULL_DIGEST_BYTES, MAX_HEARTBEAT_BYTES, MAX_MESSAGE_BYTES,
    MAX_REQUEST_BYTES,
};
use crate::gossip::deltas::Lack;
use crate::gossip::endpoint::Relation;
use crate::gossip::message::{Ack, Ack2, Digest, Envelope, FullBucket, Message, Request, Syn};
use crate::gossip::refusal::{Refusal, Side};
use crate::gossip::roster::{Window, fold};
use crate::gossip::rounds::below;
use crate::gossip::{Effect, Gossip};
use model::env::Random;
use model::time::BootNanos;
use model::varint;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// What a bucket takes in a SYN beside its members: its hash and how many they are.
const BUCKET_BYTES: usize = 8 + 3;
/// What a position with its number takes in an ACK at most: the position's distance has five bytes.
const POSITION_BYTES: usize = 5 + varint::MAX_BYTES;
/// What the list of deltas takes beside them: its length.
const LIST_BYTES: usize = 3;
/// What a bucket that is listed takes beside its members: its number, whether it is complete, how many they are.
const FULL_BUCKET_BYTES: usize = 5 + 1 + 3;

impl Gossip {
    /// Asks a peer: everything this node knows, as versions.
    pub(super) fn send_syn(
        &mut self,
        to: SocketAddr,
        random: &mut dyn Random,
        effects: &mut Vec<Effect>,
    ) {
        let window = self.digest_window(random);
        let mut syn = Syn {
            cluster_name: self.cluster_name.clone(),
            sender: *self.local().identity(),
            window,
            buckets: Vec::new(),
            vector: Vec::new(),
        };
        for bucket in window.buckets() {
            let range = self.roster.bucket(window.bits, bucket);
            let hash = self.roster.hash(range.clone());
            syn.buckets.push((hash, range.len() as u32));
            let members = range.map(|index| self.roster.at(index));
            syn.vector
                .extend(members.map(|member| (member.version(), member.heartbeat)));
        }
        self.send(to, Message::Syn(syn), effects);
    }

    /// The buckets of a digest: all, or as many around a random one as fit.
    ///
    /// Random, because windows that took turns could take them in step with the peers, and one never meet another.
    fn digest_window(&self, random: &mut dyn Random) -> Window {
        let bits = self.roster.bits();
        let most = self.roster.len() * 2 * varint::MAX_BYTES + (BUCKET_BYTES << bits);
        if most <= MAX_DIGEST_BYTES {
            return Window {
                bits,
                first: 0,
                count: 1 << bits,
            };
        }
        let cost = |bucket| {
            let members = self.roster.bucket(bits, bucket);
            let bytes = members.map(|index| {
                let member = self.roster.at(index);
                encoded_len(member.version()) + encoded_len(member.heartbeat)
            });
            BUCKET_BYTES + bytes.sum::<usize>()
        };
        let costs: Vec<usize> = (0..1 << bits).map(cost).collect();
        let mut first = below(random, costs.len());
        let mut end = first + 1;
        let mut bytes = costs[first];
        loop {
            let before = (first > 0).then(|| costs[first - 1]);
            if let Some(cost) = before.filter(|cost| bytes + cost <= MAX_DIGEST_BYTES) {
                first -= 1;
                bytes += cost;
            }
            let behind = costs.get(end).copied();
            if let Some(cost) = behind.filter(|cost| bytes + cost <= MAX_DIGEST_BYTES) {
                end += 1;
                bytes += cost;
            } else if before.is_none_or(|cost| bytes + cost > MAX_DIGEST_BYTES) {
                break;
            }
        }
        Window {
            bits,
            first: first as u32,
            count: (end - first) as u32,
        }
    }

    /// Why the sender of a SYN is not talked to.
    fn refusal(&self, now: BootNanos, syn: &Syn) -> Option<Refusal> {
        let (own, sender) = (self.local().identity(), &syn.sender);
        if syn.cluster_name != self.cluster_name {
            let name = self.cluster_name.clone();
            return Some(Refusal::OtherCluster { name });
        }
        if self.quarantine.is_removed(sender.host_id) {
            return Some(Refusal::Removed);
        }
        let taken = |holder| Some(Refusal::AddressTaken { holder });
        if sender.address == own.address {
            return taken(own.host_id);
        }
        if let Some(known) = self.roster.get(sender.address) {
            return match known.identity().relation(sender) {
                Relation::Conflict => taken(known.identity().host_id),
                _ => None,
            };
        }
        let address = self.address_of(sender.host_id)?;
        let other = self.roster.get(address)?;
        let running = address == own.address
            || other.reachable && now.since(other.heard_at) < FRESH_MS * 1_000_000;
        running.then_some(Refusal::HostIdTaken { address })
    }

    /// A peer asks.
    pub(super) fn on_syn(
        &mut self,
        now: BootNanos,
        from: SocketAddr,
        syn: &Syn,
        random: &mut dyn Random,
        effects: &mut Vec<Effect>,
    ) {
        let own = self.local().identity();
        if syn.sender.address == own.address && syn.sender.host_id == own.host_id {
            // A seed's other name leads back here.
            return;
        }
        if let Some(refusal) = self.refusal(now, syn) {
            self.send(from, Message::Refuse(refusal.clone()), effects);
            if self.told.is_news(from, Side::Here, Some(&refusal), now) {
                effects.push(Effect::Refused {
                    peer: from,
                    host_id: syn.sender.host_id,
                    cluster_name: syn.cluster_name.clone(),
                    refusal,
                });
            }
            return;
        }
        let mut ack = Ack {
            window: syn.window,
            ..Ack::default()
        };
        let mut lacks = Vec::new();
        let mut position = 0;
        let mut full_left = MAX_FULL_DIGEST_BYTES;
        for (bucket, &(hash, count)) in syn.window.buckets().zip(&syn.buckets) {
            ack.hash = fold(ack.hash, hash);
            let range = self.roster.bucket(syn.window.bits, bucket);
            if range.len() == count as usize && self.roster.hash(range.clone()) == hash {
                for (offset, index) in range.enumerate() {
                    let known = syn.vector[position + offset];
                    let position = (position + offset) as u32;
                    self.compare(now, index, position, known, &mut ack, &mut lacks, effects);
                }
            } else {
                ack.full
                    .extend(self.full_bucket(syn.window.bits, bucket, &mut full_left, random));
            }
            position += count as usize;
        }
        shorten(&mut ack.heartbeats, MAX_HEARTBEAT_BYTES, random);
        shorten(&mut ack.requests, MAX_REQUEST_BYTES, random);
        self.send_with(from, lacks, effects, |deltas| {
            Message::Ack(Ack {
                deltas,
                ..ack.clone()
            })
        });
    }

    /// One member that both sides know alike: who is behind?
    fn compare(
        &mut self,
        now: BootNanos,
        index: usize,
        position: u32,
        (version, heartbeat): (u64, u64),
        ack: &mut Ack,
        lacks: &mut Vec<Lack>,
        effects: &mut Vec<Effect>,
    ) {
        let own = self.address;
        let endpoint = self.roster.at_mut(index);
        let address = endpoint.address();
        if heartbeat < endpoint.heartbeat {
            ack.heartbeats.push((position, endpoint.heartbeat));
        }
        if version < endpoint.version() {
            lacks.push(Lack {
                address,
                from: version,
            });
        }
        // Nobody knows more of this node than itself.
        if address == own {
            return;
        }
        if endpoint.beat(heartbeat, now) {
            effects.push(Effect::Heard { address });
        }
        if version > endpoint.version() {
            ack.requests.push((position, endpoint.version()));
        }
    }

    /// Names the members of a bucket, from a random one on if not all fit.
    fn full_bucket(
        &self,
        bits: u8,
        bucket: u32,
        left: &mut usize,
        random: &mut dyn Random,
    ) -> Option<FullBucket> {
        *left = left.checked_sub(FULL_BUCKET_BYTES)?;
        let range = self.roster.bucket(bits, bucket);
        let mut full = FullBucket {
            bucket,
            complete: true,
            digests: Vec::new(),
        };
        let start = if range.is_empty() {
            0
        } else {
            below(random, range.len())
        };
        let mut scratch = Vec::new();
        for offset in 0..range.len() {
            let endpoint = self.roster.at(range.start + (start + offset) % range.len());
            let digest = Digest {
                identity: *endpoint.identity(),
                version: endpoint.version(),
                heartbeat: endpoint.heartbeat,
            };
            scratch.clear();
            digest.encode(&mut scratch);
            if scratch.len() > *left {
                full.complete = false;
                break;
            }
            *left -= scratch.len();
            full.digests.push(digest);
        }
        // A bucket of which nothing fits is left to another round; an empty one says that the asker knows more.
        (full.complete || !full.digests.is_empty()).then_some(full)
    }

    /// A peer answers.
    pub(super) fn on_ack(
        &mut self,
        now: BootNanos,
        from: SocketAddr,
        ack: Ack,
        effects: &mut Vec<Effect>,
    ) {
        let mut lacks = Vec::new();
        let mut requests = Vec::new();
        let (range, hash) = self.roster.window(ack.window);
        if hash == ack.hash {
            for &(position, heartbeat) in &ack.heartbeats {
                let index = range.start + position as usize;
                if index < range.end {
                    self.heard(now, index, heartbeat, effects);
                }
            }
            for &(position, version) in &ack.requests {
                let index = range.start + position as usize;
                if index < range.end && self.roster.at(index).version() > version {
                    let address = self.roster.at(index).address();
                    let from = version;
                    lacks.push(Lack { address, from });
                }
            }
        }
        for full in &ack.full {
            self.compare_full(
                now,
                ack.window.bits,
                full,
                &mut lacks,
                &mut requests,
                effects,
            );
        }
        for delta in ack.deltas {
            self.learn(now, delta, effects);
        }
        limit_requests(&mut requests);
        if !lacks.is_empty() || !requests.is_empty() {
            self.send_with(from, lacks, effects, |deltas| {
                let requests = requests.clone();
                Message::Ack2(Ack2 { requests, deltas })
            });
        }
    }

    /// A heartbeat that came by position.
    fn heard(&mut self, now: BootNanos, index: usize, heartbeat: u64, effects: &mut Vec<Effect>) {
        let own = self.address;
        let endpoint = self.roster.at_mut(index);
        let address = endpoint.address();
        if address != own && endpoint.beat(heartbeat, now) {
            effects.push(Effect::Heard { address });
        }
    }

    /// A bucket that the two sides see differently: what to ask for, what to hand over.
    fn compare_full(
        &mut self,
        now: BootNanos,
        bits: u8,
        full: &FullBucket,
        lacks: &mut Vec<Lack>,
        requests: &mut Vec<Request>,
        effects: &mut Vec<Effect>,
    ) {
        let mut listed = BTreeSet::new();
        for digest in &full.digests {
            listed.insert(digest.identity.address);
            self.compare_digest(now, digest, lacks, requests, effects);
        }
        for index in self.roster.bucket(bits, full.bucket) {
            let address = self.roster.at(index).address();
            // Of an incomplete list nothing can be told but that the answerer may not know the asker.
            if (full.complete || address == self.address) && !listed.contains(&address) {
                lacks.push(Lack { address, from: 0 });
            }
        }
    }

    fn compare_digest(
        &mut self,
        now: BootNanos,
        digest: &Digest,
        lacks: &mut Vec<Lack>,
        requests: &mut Vec<Request>,
        effects: &mut Vec<Effect>,
    ) {
        let address = digest.identity.address;
        if address == self.address {
            // What others know of this node is at most late; one that knows an older life is told of this one.
            let same = self.is_this_life(now, &digest.identity, effects);
            let from = if same { digest.version } else { 0 };
            if !same || from < self.local().version() {
                lacks.push(Lack { address, from });
            }
            return;
        }
        if self.quarantine.ignores(&digest.identity, digest.heartbeat) {
            return;
        }
        let mut request = |from| {
            requests.push(Request {
                address,
                identity: digest.identity.digest(),
                from,
            });
        };
        let Some(known) = self.roster.get_mut(address) else {
            request(0);
            return;
        };
        match known.identity().relation(&digest.identity) {
            Relation::Same => {
                if known.beat(digest.heartbeat, now) {
                    effects.push(Effect::Heard { address });
                }
                if digest.version > known.version() {
                    request(known.version());
                } else if digest.version < known.version() {
                    let from = digest.version;
                    lacks.push(Lack { address, from });
                }
            }
            Relation::Newer => request(0),
            Relation::Older => lacks.push(Lack { address, from: 0 }),
            Relation::Conflict => self.tell_conflict(now, &digest.identity, effects),
        }
    }

    /// A peer hands over, and may ask.
    pub(super) fn on_ack2(
        &mut self,
        now: BootNanos,
        from: SocketAddr,
        ack: Ack2,
        effects: &mut Vec<Effect>,
    ) {
        let mut lacks = Vec::new();
        for request in &ack.requests {
            let Some(endpoint) = self.roster.get(request.address) else {
                continue;
            };
            let same = endpoint.digest() == request.identity;
            let from = if same { request.from } else { 0 };
            if endpoint.version() > from || from == 0 {
                let address = request.address;
                lacks.push(Lack { address, from });
            }
        }
        for delta in ack.deltas {
            self.learn(now, delta, effects);
        }
        // The answer asks for nothing, so the exchange ends with it.
        if !lacks.is_empty() {
            self.send_with(from, lacks, effects, |deltas| {
                let requests = Vec::new();
                Message::Ack2(Ack2 { requests, deltas })
            });
        }
    }

    /// Sends a message with as many of the deltas as fit beside the rest of it.
    fn send_with(
        &self,
        to: SocketAddr,
        lacks: Vec<Lack>,
        effects: &mut Vec<Effect>,
        message: impl Fn(Vec<crate::gossip::message::Delta>) -> Message,
    ) {
        if lacks.is_empty() {
            return self.send(to, message(Vec::new()), effects);
        }
        let bare = Envelope {
            cluster: self.cluster,
            message: message(Vec::new()),
        };
        let budget = MAX_MESSAGE_BYTES - bare.encode().len() - LIST_BYTES;
        let deltas = self.deltas(lacks, budget);
        self.send(to, message(deltas), effects);
    }
}

/// Bytes of a variable-length number.
fn encoded_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Cuts a list that would outgrow its part of a message, to a slice that begins anywhere.
fn shorten(positions: &mut Vec<(u32, u64)>, budget: usize, random: &mut dyn Random) {
    let most = budget / POSITION_BYTES;
    if positions.len() > most {
        let start = below(random, positions.len() - most + 1);
        positions.drain(..start);
        positions.truncate(most);
    }
}

/// Keeps as many requests as fit, the most out-of-date first: those for nodes that are not known at all.
fn limit_requests(requests: &mut Vec<Request>) {
    requests.sort_by_key(|request| request.from);
    let mut scratch = Vec::new();
    let fitting = requests.iter().take_while(|request| {
        request.encode(&mut scratch);
        scratch.len() <= MAX_REQUEST_BYTES
    });
    let fitting = fitting.count();
    requests.truncate(fitting);
}

#[cfg(test)]
mod tests;
