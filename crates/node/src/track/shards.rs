//! What the shards of a node tell each other of tracked mutations: homes ask, the others tell.

use super::{Shard, group_of};
use crate::effects::{Effects, LogLevel};
use crate::message::{ReplicaError, ShardMessage};
use crate::replica::Caller;
use crate::track::facts::Standing;
use crate::track::origin::Replicated;
use crate::track::retire::RetiredBoots;
use cluster::topology::NodeId;
use cluster::track::{Boot, Summary};
use model::time::Now;
use model::track::{IdSet, Intervals, LogId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use storage::held::{Members, Statement};

/// How long a fence that the log did not take is put off, in milliseconds.
const PUT_OFF_MS: u64 = 100;

/// Something of tracked mutations that a shard tells another one. Nobody waits for an answer.
#[derive(Debug, Clone)]
pub enum TrackNote {
    /// The sender has made these durable.
    Held(Vec<(LogId, Members, Intervals)>),
    /// What have you made durable, and assigned, of this group? And take nothing in of boots before these.
    Ask {
        /// The group.
        members: Members,
        /// Number of the question.
        round: u64,
        /// Boots of the members.
        boots: Arc<[(NodeId, Boot)]>,
    },
    /// Everything that was durable was told, and the boots are fenced.
    Asked {
        /// The group.
        members: Members,
        /// Number of the question.
        round: u64,
        /// The sender's own log of the group, and its last sequence.
        end: Option<(LogId, u64)>,
    },
    /// A member says what it holds.
    Summary {
        /// Who.
        from: NodeId,
        /// The group.
        members: Members,
        /// What.
        summary: Box<Summary>,
    },
    /// Another node lacks these: send it what you have.
    Serve {
        /// Who lacks them.
        to: NodeId,
        /// The group.
        members: Members,
        /// Which.
        wanted: Arc<IdSet>,
    },
    /// A mutation this node lacked.
    Take(Arc<Replicated>),
    /// What became of what this node asked another for.
    Answered {
        /// Whom it asked.
        from: NodeId,
        /// The group.
        members: Members,
        /// What is not to be had there.
        gone: IdSet,
        /// Whether the rest has to be asked for anew.
        cut: bool,
    },
    /// All members of a group hold these.
    Reconciled(Arc<IdSet>),
    /// All members of a group hold everything of logs of these origins up to these boots.
    Retired(Members, RetiredBoots),
    /// The sender's disk said so at the start.
    WasRetired(Members, RetiredBoots),
    /// What a group is good for.
    Standing(Members, Arc<Standing>),
    /// It has no home any more.
    Dropped(Members),
    /// The sender's journal is over its budget: who of a group lacks these?
    Shed {
        /// The group.
        members: Members,
        /// Which.
        ids: Vec<(LogId, Intervals)>,
        /// Whether it may be asked again later, when more members have said what they hold.
        waits: bool,
    },
    /// For these members nothing is kept: which of these do they lack that no other does?
    Unkept(Members, Vec<(LogId, Intervals)>, Arc<BTreeSet<NodeId>>),
    /// These lack them: it is to be written down before the payload goes.
    Owe {
        /// What was asked about.
        ids: Arc<IdSet>,
        /// Who lacks what of it.
        lacking: Vec<(NodeId, LogId, Intervals)>,
    },
    /// The sender has written down that these of a group's members lack these: do they still?
    Owed(Members, Vec<(NodeId, LogId, Intervals)>),
    /// These do not.
    Paid(Vec<(NodeId, LogId, Intervals)>),
    /// A repair with this ticket begins: note what the groups at home with the receiver lack and no journal has.
    NoteGone(u64),
    /// That is noted.
    GoneNoted(u64),
    /// It has brought the rows of all that was noted.
    GoneRepaired(u64),
}

/// What this shard was told and told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Whether homes know what was held at the start.
    pub start: bool,
    /// The epoch of the metadata that the groups are placed by.
    pub epoch: Option<u64>,
}

/// A question of a home whose fences are being written.
#[derive(Debug)]
pub(super) struct PendingAsk {
    home: u16,
    members: Members,
    round: u64,
    boots: Arc<[(NodeId, Boot)]>,
}

impl Shard {
    /// Tells all shards something, this one included.
    pub(crate) fn tell_all(&mut self, note: impl Fn() -> TrackNote, now: Now, out: &mut Effects) {
        for shard in self.other_shards() {
            out.messages.push((shard, ShardMessage::Track(note())));
        }
        self.on_track_note(self.number, note(), now, out);
    }

    /// Tells one shard something, which may be this one.
    pub(super) fn note_to(&mut self, shard: u16, note: TrackNote, now: Now, out: &mut Effects) {
        if shard == self.number {
            self.on_track_note(shard, note, now, out);
        } else {
            out.messages.push((shard, ShardMessage::Track(note)));
        }
    }

    /// A shard tells something.
    pub(crate) fn on_track_note(
        &mut self,
        from: u16,
        note: TrackNote,
        now: Now,
        out: &mut Effects,
    ) {
        match note {
            TrackNote::Held(held) => self.on_held(held, now),
            TrackNote::Ask {
                members,
                round,
                boots,
            } => {
                let ask = PendingAsk {
                    home: from,
                    members,
                    round,
                    boots,
                };
                self.fence(ask, now, out);
            }
            TrackNote::Asked {
                members,
                round,
                end,
            } => self.on_asked(&members, round, end),
            TrackNote::Summary {
                from,
                members,
                summary,
            } => self.on_summary(from, &members, *summary, now, out),
            TrackNote::Serve {
                to,
                members,
                wanted,
            } => self.serve_journal(to, members, &wanted, now, out),
            TrackNote::Take(replicated) => self.take_fetched(&replicated, now),
            TrackNote::Answered {
                from,
                members,
                gone,
                cut,
            } => self.on_pull_answered(from, &members, &gone, cut),
            TrackNote::Reconciled(ids) => self.release(&ids, out),
            TrackNote::Standing(members, standing) => {
                self.tracking.freshness.note(members, standing);
            }
            TrackNote::Dropped(members) => self.tracking.freshness.drop(&members),
            TrackNote::Shed {
                members,
                ids,
                waits,
            } => self.find_lacking(from, &members, (&ids, waits), now, out),
            TrackNote::Unkept(members, ids, nodes) => {
                self.find_unkept(from, (&members, &nodes), &ids, now, out);
            }
            TrackNote::Owe { ids, lacking } => self.owe(&ids, lacking, out),
            TrackNote::Owed(members, debts) => self.find_paid(from, &members, debts, now, out),
            TrackNote::Paid(debts) => self.settle_debts(&debts),
            TrackNote::NoteGone(ticket) => self.note_gone(from, ticket, now, out),
            TrackNote::GoneNoted(ticket) => self.gone_noted(ticket, now),
            TrackNote::GoneRepaired(ticket) => self.hold_repaired(ticket),
            TrackNote::Retired(members, boots) => self.forget_retired(&members, &boots, out),
            TrackNote::WasRetired(members, boots) => {
                self.on_restored(&members, &boots, now, out);
            }
        }
    }

    /// Gives tracking its turn, once a wake-up.
    pub(crate) fn tend_tracking(&mut self, now: Now, out: &mut Effects) {
        if self.tracking.told.epoch != Some(self.topology.epoch) {
            self.tracking.told.epoch = Some(self.topology.epoch);
            self.place_homes(now, out);
            self.place_tables();
        }
        self.prove_tables(now);
        self.tell_held(now, out);
        if now.boot >= self.tracking.put_off_until {
            for ask in std::mem::take(&mut self.tracking.put_off) {
                self.fence(ask, now, out);
            }
        }
        self.go_on_serving(now, out);
        self.tend_handoff(now, out);
        self.keep_journal_in_budget(now, out);
        self.tend_homes(now, out);
    }

    /// Tells homes what was held at the start.
    fn tell_start(&mut self, now: Now, out: &mut Effects) {
        self.tell_restored(now, out);
        let logs = self.replica.store.held().logs.iter();
        let held = logs.filter(|(_, log)| !log.members.is_empty());
        let held = held.map(|(id, log)| (*id, log.members.clone(), log.sequences.clone()));
        let held: Vec<_> = held.collect();
        self.tell_homes(held, now, out);
    }

    /// Tells homes what became durable.
    fn tell_held(&mut self, now: Now, out: &mut Effects) {
        if !std::mem::replace(&mut self.tracking.told.start, true) {
            self.tell_start(now, out);
        }
        let new = self.replica.store.take_held();
        if new.is_empty() {
            return;
        }
        let held = self.replica.store.held();
        let new = new.logs().filter_map(|(log, sequences)| {
            let members = held.members(log)?;
            Some((log, members.clone(), sequences.clone()))
        });
        let new: Vec<_> = new.collect();
        self.tell_homes(new, now, out);
    }

    fn tell_homes(&mut self, held: Vec<(LogId, Members, Intervals)>, now: Now, out: &mut Effects) {
        let mut by_home: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for (log, members, sequences) in held {
            // What a group of which this node is none was for is nothing to it.
            if self.is_member(&members) {
                let home = self.home_of(group_of(&members));
                let held = by_home.entry(home).or_default();
                held.push((log, members, sequences));
            }
        }
        for (home, held) in by_home {
            self.note_to(home, TrackNote::Held(held), now, out);
        }
    }

    /// Takes nothing in any more of boots before those of a question, durably, then answers it.
    fn fence(&mut self, ask: PendingAsk, now: Now, out: &mut Effects) {
        let local = self.topology.local;
        let fences = &self.replica.store.held().fences;
        let boots = ask.boots.iter().filter(|(node, boot)| {
            let known = fences.get(&node.0).copied().unwrap_or(0);
            *node != local && *boot > known
        });
        let statements: Vec<Statement> = boots
            .map(|(node, boot)| Statement::Fence(node.0, *boot))
            .collect();
        if statements.is_empty() && self.tracking.asks.is_empty() {
            return self.answer_ask(ask, now, out);
        }
        // Behind a fence that is being written a question waits too, for it may be the same one.
        self.tracking.next_ask += 1;
        let number = self.tracking.next_ask;
        match self.replica.state(&statements, Caller::Fence(number)) {
            Ok(()) => {
                self.tracking.asks.insert(number, ask);
            }
            Err(_) => self.put_off(ask, now),
        }
    }

    fn put_off(&mut self, ask: PendingAsk, now: Now) {
        self.tracking.put_off.push(ask);
        self.tracking.put_off_until = now.boot.plus_millis(PUT_OFF_MS);
    }

    /// A fence is durable, or was refused.
    pub(crate) fn on_fenced(
        &mut self,
        number: u64,
        result: Result<(), ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(ask) = self.tracking.asks.remove(&number) else {
            return;
        };
        match result {
            Ok(()) => self.answer_ask(ask, now, out),
            Err(error) => {
                let text = format!("what is held of other nodes cannot be told: {error:?}");
                out.log.push((LogLevel::Warn, text));
                self.put_off(ask, now);
            }
        }
    }

    fn answer_ask(&mut self, ask: PendingAsk, now: Now, out: &mut Effects) {
        self.tell_held(now, out);
        let PendingAsk {
            home,
            members,
            round,
            ..
        } = ask;
        let own = self.tracking.logs.get(&members);
        let end = own.map(|own| (own.log, own.end));
        let note = TrackNote::Asked {
            members,
            round,
            end,
        };
        self.note_to(home, note, now, out);
    }
}
