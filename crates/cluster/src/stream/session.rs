//! One node's taking of everything it lacks: which chunk is asked of whom, and when.
//!
//! Units are begun in order, a few at a time. A unit is pulled from every shard of each of its sources, each pull a sequence of
//! chunks: asked for, then taken (applied), then the next. What must stay true:
//! - at most [`WINDOW`] chunks are under way;
//! - a pull goes on where the last chunk that was applied ended, whatever was lost meanwhile; the number of a question is never used again,
//!   so that an answer that comes late is nobody's;
//! - a unit that one of its sources cannot be asked for any more (it is away, or has another number of shards) begins anew with
//!   those that live by then.

use super::plan::{Patience, Unit};
use crate::topology::NodeId;
use model::read::Resume;
use model::schema::TableId;
use model::time::BootNanos;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[cfg(test)]
mod tests;

/// Chunks under way at most.
pub const WINDOW: usize = 12;
/// A chunk that has not come after so long, in milliseconds, is asked for again.
const ANSWER_MS: u64 = 10_000;
/// After a failure the source is left alone for so long, in milliseconds.
const PAUSE_MS: u64 = 200;
/// Where there was no room for a chunk it is asked for again after so long, in milliseconds.
const FULL_MS: u64 = 200;
/// Failures in a row after which a unit begins anew.
const MOST_FAILURES: u32 = 5;

/// A chunk to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Names the question; the answer carries it.
    pub number: u64,
    /// Whom to ask.
    pub source: NodeId,
    /// Which of its shards.
    pub shard: u16,
    /// How many it has.
    pub shards: u16,
    /// Of what.
    pub unit: Unit,
    /// From where on.
    pub resume: Option<Resume>,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Stretches of tables that are done.
    pub units_done: u64,
    /// All of them.
    pub units: u64,
    /// Bytes that came and are applied.
    pub bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// Stretches that were taken from fewer replicas than a quorum's acknowledgement asks for.
    pub units_doubtful: u64,
}

#[derive(Debug)]
enum State {
    /// To be asked for, from this moment on.
    Due(BootNanos),
    /// Asked for then.
    Asked(BootNanos),
    /// Here, and being applied.
    Taken,
}

/// What one shard of a source has of a unit.
#[derive(Debug)]
struct Pull {
    unit: u64,
    source: NodeId,
    shard: u16,
    shards: u16,
    resume: Option<Resume>,
    failures: u32,
    state: State,
}

/// A unit that was begun.
#[derive(Debug)]
struct Active {
    unit: Unit,
    /// Pulls that are not done.
    left: usize,
}

/// The machine.
#[derive(Debug)]
pub struct Session {
    waiting: VecDeque<Unit>,
    active: BTreeMap<u64, Active>,
    pulls: BTreeMap<u64, Pull>,
    /// Numbers of units and questions.
    next: u64,
    progress: Progress,
    patience: Patience,
}

impl Session {
    /// A session that takes these units. `first` is where its numbers begin: no other session of this node, of an earlier start
    /// neither, comes near.
    pub fn new(units: Vec<Unit>, first: u64) -> Self {
        let progress = Progress {
            units: units.len() as u64,
            ..Progress::default()
        };
        Self {
            waiting: units.into(),
            active: BTreeMap::new(),
            pulls: BTreeMap::new(),
            next: first,
            progress,
            patience: Patience::Waits,
        }
    }

    /// What an operator says of replicas that are away.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Who is away, of those without whom nothing goes on.
    pub fn awaited(&self, is_alive: impl Fn(NodeId) -> bool) -> BTreeSet<NodeId> {
        if !self.active.is_empty() {
            return BTreeSet::new();
        }
        let all = self.waiting.iter().flat_map(|unit| &unit.sources.all_of);
        let one = self.waiting.iter().flat_map(|unit| &unit.sources.one_of);
        all.chain(one)
            .copied()
            .filter(|id| !is_alive(*id))
            .collect()
    }

    /// Tables are gone, and nothing is to be had of them any more.
    pub fn forget_tables(&mut self, gone: &BTreeSet<TableId>) {
        let before = self.waiting.len() + self.active.len();
        self.waiting.retain(|unit| !gone.contains(&unit.table));
        self.active
            .retain(|_, active| !gone.contains(&active.unit.table));
        let active = &self.active;
        self.pulls.retain(|_, pull| active.contains_key(&pull.unit));
        self.progress.units_done += (before - self.waiting.len() - self.active.len()) as u64;
    }

    /// Whether all of it is here.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// What is to be asked for now. `shards` gives the number of shards of members that live.
    pub fn poll(
        &mut self,
        shards: impl Fn(NodeId) -> Option<u16>,
        now: BootNanos,
        asks: &mut Vec<Ask>,
    ) {
        self.begin_anew(&shards);
        let mut under_way = 0;
        for pull in self.pulls.values_mut() {
            match pull.state {
                State::Asked(at) if now >= at.plus_millis(ANSWER_MS) => {
                    pull.state = State::Due(now);
                }
                State::Asked(_) | State::Taken => under_way += 1,
                State::Due(_) => {}
            }
        }
        while under_way < WINDOW {
            if let Some(ask) = self.ask(now) {
                asks.push(ask);
                under_way += 1;
            } else if !self.begin(&shards, now) {
                return;
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// Asks for the next chunk of a pull that is due.
    fn ask(&mut self, now: BootNanos) -> Option<Ask> {
        let due = |pull: &Pull| matches!(pull.state, State::Due(at) if now >= at);
        let (number, _) = self.pulls.iter().find(|(_, pull)| due(pull))?;
        let number = *number;
        let mut pull = self.pulls.remove(&number)?;
        pull.state = State::Asked(now);
        let number = self.number();
        let ask = Ask {
            number,
            source: pull.source,
            shard: pull.shard,
            shards: pull.shards,
            unit: self.active[&pull.unit].unit.clone(),
            resume: pull.resume.clone(),
        };
        self.pulls.insert(number, pull);
        Some(ask)
    }

    /// Begins the next unit that can be had; whether there is one.
    fn begin(&mut self, shards: &impl Fn(NodeId) -> Option<u16>, now: BootNanos) -> bool {
        // Those whose sources are all away wait behind the others. One pull that is paused is no reason to begin everything.
        if self.active.len() >= WINDOW {
            return false;
        }
        for _ in 0..self.waiting.len() {
            let Some(unit) = self.waiting.pop_front() else {
                break;
            };
            let is_alive = |id| shards(id).is_some();
            let Some(sources) = unit.sources.choose(is_alive, self.patience) else {
                self.waiting.push_back(unit);
                continue;
            };
            if !unit.sources.is_nobody() && !unit.sources.suffice(&sources) {
                self.progress.units_doubtful += 1;
            }
            self.begin_unit(unit, &sources, shards, now);
            return true;
        }
        false
    }

    fn begin_unit(
        &mut self,
        unit: Unit,
        sources: &[NodeId],
        shards: &impl Fn(NodeId) -> Option<u16>,
        now: BootNanos,
    ) {
        let key = self.number();
        let mut left = 0;
        for source in sources {
            let count = shards(*source).unwrap_or(0);
            for shard in 0..count {
                left += 1;
                let pull = Pull {
                    unit: key,
                    source: *source,
                    shard,
                    shards: count,
                    resume: None,
                    failures: 0,
                    state: State::Due(now),
                };
                let number = self.number();
                self.pulls.insert(number, pull);
            }
        }
        if left == 0 {
            self.progress.units_done += 1;
        } else {
            self.active.insert(key, Active { unit, left });
        }
    }

    /// Puts back units of which a source has gone, or has become another.
    fn begin_anew(&mut self, shards: &impl Fn(NodeId) -> Option<u16>) {
        let lost = self.pulls.values().filter(|pull| {
            shards(pull.source) != Some(pull.shards) || pull.failures >= MOST_FAILURES
        });
        let lost: Vec<u64> = lost.map(|pull| pull.unit).collect();
        for key in lost {
            if let Some(active) = self.active.remove(&key) {
                self.waiting.push_back(active.unit);
                self.pulls.retain(|_, pull| pull.unit != key);
            }
        }
    }

    /// A chunk has come; the unit it is of, or `None` if nobody waits for it any more.
    pub fn on_chunk(&mut self, number: u64) -> Option<&Unit> {
        let pull = self.pulls.get_mut(&number)?;
        if !matches!(pull.state, State::Asked(_)) {
            return None;
        }
        pull.state = State::Taken;
        pull.failures = 0;
        Some(&self.active.get(&pull.unit)?.unit)
    }

    /// Whether a chunk is on its way, or being applied.
    pub fn is_waiting_for(&self, number: u64) -> bool {
        self.pulls.contains_key(&number)
    }

    /// A chunk of so many bytes is applied; the next begins at `resume`, if there is one.
    pub fn on_applied(&mut self, number: u64, resume: Option<Resume>, bytes: u64, now: BootNanos) {
        // The unit may have begun anew: then it counts for nothing, which costs time alone.
        let Some(mut pull) = self.pulls.remove(&number) else {
            return;
        };
        self.progress.bytes += bytes;
        self.progress.chunks += 1;
        if resume.is_some() {
            pull.resume = resume;
            pull.state = State::Due(now);
            self.pulls.insert(number, pull);
            return;
        }
        let Some(active) = self.active.get_mut(&pull.unit) else {
            return;
        };
        active.left -= 1;
        if active.left == 0 {
            self.active.remove(&pull.unit);
            self.progress.units_done += 1;
        }
    }

    /// There is no room here for a chunk at the moment: it is asked for again soon, as often as it takes.
    pub fn on_full(&mut self, number: u64, now: BootNanos) {
        if let Some(pull) = self.pulls.get_mut(&number) {
            pull.state = State::Due(now.plus_millis(FULL_MS));
        }
    }

    /// The source could not give a chunk, or it could not be applied here: it is asked for again after a while.
    pub fn on_failure(&mut self, number: u64, now: BootNanos) {
        if let Some(pull) = self.pulls.get_mut(&number) {
            pull.failures += 1;
            pull.state = State::Due(now.plus_millis(PAUSE_MS));
        }
    }
}
