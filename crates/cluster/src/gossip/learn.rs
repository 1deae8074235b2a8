//! What becomes of news: of a new node, a later life, another node at the same address, of this node itself.

use crate::gossip::config::MAX_ENDPOINTS;
use crate::gossip::endpoint::{Endpoint, Generation, Identity, Relation};
use crate::gossip::message::Delta;
use crate::gossip::refusal::{Refusal, Side};
use crate::gossip::{Effect, Gossip};
use model::time::BootNanos;

impl Gossip {
    /// Takes over what a peer passed on.
    pub(super) fn learn(&mut self, now: BootNanos, delta: Delta, effects: &mut Vec<Effect>) {
        let identity = delta.identity;
        if identity.address == self.address {
            self.is_this_life(now, &identity, effects);
            return;
        }
        if self.quarantine.ignores(&identity, delta.heartbeat) {
            return;
        }
        match self.roster.get_mut(identity.address) {
            None => self.learn_new(now, delta, effects),
            Some(known) => match known.identity().relation(&identity) {
                Relation::Same => self.apply(now, delta, effects),
                Relation::Newer if delta.from == 0 => {
                    known.replace_identity(identity, now);
                    known.beat(delta.heartbeat, now);
                    known.apply(delta, &mut Vec::new());
                    effects.push(Effect::Restarted {
                        address: identity.address,
                        host_id: identity.host_id,
                        generation: identity.generation,
                    });
                }
                Relation::Newer | Relation::Older => {}
                Relation::Conflict => self.tell_conflict(now, &identity, effects),
            },
        }
    }

    fn apply(&mut self, now: BootNanos, delta: Delta, effects: &mut Vec<Effect>) {
        let address = delta.identity.address;
        let Some(endpoint) = self.roster.get_mut(address) else {
            return;
        };
        if endpoint.beat(delta.heartbeat, now) {
            effects.push(Effect::Heard { address });
        }
        let mut changed = Vec::new();
        endpoint.apply(delta, &mut changed);
        let changed = changed.into_iter();
        effects.extend(changed.map(|key| Effect::Changed { address, key }));
    }

    /// An address that was not known: a new node, or a known one that was started at another address.
    fn learn_new(&mut self, now: BootNanos, delta: Delta, effects: &mut Vec<Effect>) {
        let identity = delta.identity;
        let own = *self.local().identity();
        if delta.from != 0 || self.roster.len() >= MAX_ENDPOINTS {
            return;
        }
        if identity.host_id == own.host_id {
            // Hearsay of this node's time at another address, unless somebody runs a copy of its directory.
            if identity.generation >= own.generation {
                let refusal = Refusal::HostIdTaken {
                    address: own.address,
                };
                self.tell_refused(now, &identity, refusal, effects);
            }
            return;
        }
        let elsewhere = self.address_of(identity.host_id);
        if let Some(address) = elsewhere {
            let known = self.roster.get(address).map(Endpoint::identity);
            if known.is_some_and(|known| known.generation >= identity.generation) {
                return;
            }
            self.roster.remove(address);
        }
        let mut endpoint = Endpoint::new(identity, now);
        endpoint.beat(delta.heartbeat, now);
        endpoint.apply(delta, &mut Vec::new());
        self.roster.insert(endpoint);
        self.quarantine.release(identity.host_id);
        effects.push(match elsewhere {
            Some(from) => Effect::Moved {
                host_id: identity.host_id,
                from,
                to: identity.address,
            },
            None => Effect::Appeared {
                address: identity.address,
            },
        });
    }

    /// Whether an identity that was told of this node's own address is its present life.
    ///
    /// If it is a later one, this node's boot number went back (a restored directory), and what it says would be
    /// ignored everywhere: it takes the next number.
    pub(super) fn is_this_life(
        &mut self,
        now: BootNanos,
        identity: &Identity,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let own = *self.local().identity();
        match own.relation(identity) {
            Relation::Same => return true,
            Relation::Older => {}
            Relation::Newer if identity.host_id == own.host_id => {
                let to = Generation {
                    boot: identity.generation.boot.saturating_add(1),
                    started_seconds: own
                        .generation
                        .started_seconds
                        .max(identity.generation.started_seconds),
                };
                // There is none after the last: a peer's nonsense, which this node cannot outbid.
                if to > identity.generation {
                    self.local_mut().raise(to);
                    effects.push(Effect::GenerationRaised { to });
                }
            }
            Relation::Newer | Relation::Conflict => {
                self.tell_conflict(now, identity, effects);
            }
        }
        false
    }

    /// Another node is said to have an address that is taken.
    pub(super) fn tell_conflict(
        &mut self,
        now: BootNanos,
        identity: &Identity,
        effects: &mut Vec<Effect>,
    ) {
        let Some(known) = self.roster.get(identity.address) else {
            return;
        };
        let refusal = Refusal::AddressTaken {
            holder: known.identity().host_id,
        };
        self.tell_refused(now, identity, refusal, effects);
    }

    /// Told of the node in question, not of whoever mentioned it: the whole cluster may.
    fn tell_refused(
        &mut self,
        now: BootNanos,
        identity: &Identity,
        refusal: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        if self
            .told
            .is_news(identity.address, Side::Here, Some(&refusal), now)
        {
            effects.push(Effect::Refused {
                peer: identity.address,
                host_id: identity.host_id,
                cluster_name: self.cluster_name.clone(),
                refusal,
            });
        }
    }
}
