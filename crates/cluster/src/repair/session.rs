//! One repair: what is asked of whom and when, until all its stretches are equal or cannot be made so.
//!
//! Stretches are taken one after the other, and of each one part at a time. What must stay true:
//! - a question's number is never used again, so that an answer that comes late is nobody's;
//! - a stretch of which a member does not answer, or does not take what it lacked, has failed: it is told at the end, and the next
//!   one is begun. Where it is waited for members that are away, the stretch goes on later from the part that was at hand;
//! - nothing is sent in a preview.

pub use super::manner::{Absence, Effect, Manner, Pace, Progress, Purpose, Question};
use super::part::{Moment, Part, Rest};
use super::plan::Unit;
use crate::coordinate::resolve::{ended, lacking};
use crate::topology::NodeId;
use model::mutation::Mutation;
use model::read::{ReadResponse, Resume};
use model::time::{BootNanos, Now};
use std::collections::{BTreeMap, VecDeque};

/// A question that was not answered after so long, in milliseconds, is asked again.
const ANSWER_MS: u64 = 20_000;
/// After a failure the part is left alone for so long, in milliseconds.
const PAUSE_MS: u64 = 500;
/// Failures in a row after which a stretch has failed.
const MOST_FAILURES: u32 = 5;
/// Digests that differ are asked for again after so long, in milliseconds: a write may have been on its way.
const AGAIN_MS: u64 = 300;
/// A repair that nobody waits for rests so many times as long as a part took.
const REST_FACTOR: u64 = 9;
/// It is looked again so soon whether members that are away are back, in milliseconds.
const LOOK_MS: u64 = 500;
/// And so long at least, in milliseconds.
const LEAST_REST_MS: u64 = 20;

#[derive(Debug)]
enum Step {
    /// The next part is begun then.
    Due(BootNanos),
    /// This node's rows are read to find out where the part ends.
    Bounding,
    /// The part is compared again then.
    Again(BootNanos, Part),
    /// The part differs, and what of it is not sent yet is fetched again then.
    Refetch(BootNanos, Part, Resume),
    /// Members make digests.
    Comparing {
        part: Part,
        digests: BTreeMap<NodeId, u128>,
        /// Whether they differed before.
        again: bool,
    },
    /// Members send rows.
    Fetching {
        part: Part,
        resume: Option<Resume>,
        rows: BTreeMap<NodeId, ReadResponse>,
    },
    /// So many members are sent what they lack.
    Sending {
        part: Part,
        /// Where what is sent begins, and what comes after it.
        from: Option<Resume>,
        next: Option<Resume>,
        left: usize,
        failed: bool,
    },
}

/// The stretch at hand.
#[derive(Debug)]
struct Active {
    unit: Unit,
    moment: Moment,
    /// Where the part at hand begins.
    rest: Rest,
    /// What is left after it, once that is known.
    after: Option<Rest>,
    step: Step,
    /// When the part was begun, and the step.
    part_began: BootNanos,
    step_began: BootNanos,
    failures: u32,
    /// Whether the part at hand is counted as different.
    differs: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Session {
    me: NodeId,
    shards: u16,
    manner: Manner,
    /// Stretches, each with what is left of it.
    waiting: VecDeque<(Unit, Rest)>,
    active: Option<Active>,
    /// Nothing is begun before.
    rests_until: BootNanos,
    /// Number of the last question.
    number: u64,
    progress: Progress,
    /// Why stretches failed: the last reason.
    failure: Option<String>,
}

impl Session {
    /// A repair of these stretches, driven by `me`, which has so many shards. `first` is where its numbers begin: no other of this node, of an earlier
    /// start neither, comes near.
    pub fn new((me, shards): (NodeId, u16), units: Vec<Unit>, manner: Manner, first: u64) -> Self {
        let progress = Progress {
            units: units.len() as u64,
            ..Progress::default()
        };
        Self {
            me,
            shards,
            manner,
            waiting: units
                .into_iter()
                .map(|unit| {
                    let rest = Rest::new(unit.range.clone());
                    (unit, rest)
                })
                .collect(),
            active: None,
            rests_until: BootNanos(0),
            number: first,
            progress,
            failure: None,
        }
    }

    /// Whether nothing is left to be done.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.active.is_none()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Why a stretch failed, if one did: the last reason.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The stretch at hand.
    pub fn unit(&self) -> Option<&Unit> {
        self.active.as_ref().map(|active| &active.unit)
    }

    /// When [`Self::poll`] has something to do although nothing comes.
    pub fn next_deadline(&self, now: BootNanos) -> Option<BootNanos> {
        let Some(active) = &self.active else {
            // What could have been begun was: the others wait for a member.
            let look = now.plus_millis(LOOK_MS);
            let next = if self.rests_until > now {
                self.rests_until
            } else {
                look
            };
            return (!self.waiting.is_empty()).then_some(next);
        };
        Some(match &active.step {
            Step::Due(at) | Step::Again(at, _) | Step::Refetch(at, ..) => *at,
            _ => active.step_began.plus_millis(ANSWER_MS),
        })
    }

    /// What is to be done now. `is_alive` tells of the other members.
    pub fn poll(&mut self, is_alive: impl Fn(NodeId) -> bool, now: Now, out: &mut Vec<Effect>) {
        loop {
            let Some(active) = &mut self.active else {
                if now.boot < self.rests_until {
                    return;
                }
                let Some((unit, rest)) = self.next_waiting(&is_alive) else {
                    return;
                };
                self.begin(unit, rest, now);
                continue;
            };
            if let Some(away) = away(&active.unit, self.me, &is_alive) {
                match self.manner.absence {
                    Absence::Fails => self.fail_unit(format!("node {} does not answer", away.0)),
                    Absence::Waits => self.put_back(),
                }
                continue;
            }
            match &active.step {
                Step::Due(at) if now.boot >= *at => self.bound(now, out),
                Step::Again(at, part) if now.boot >= *at => {
                    let part = part.clone();
                    self.compare(part, true, now, out);
                }
                Step::Refetch(at, part, resume) if now.boot >= *at => {
                    let (part, resume) = (part.clone(), resume.clone());
                    self.fetch(part, Some(resume), now, out);
                }
                Step::Due(_) | Step::Again(..) | Step::Refetch(..) => {}
                _ if now.boot >= active.step_began.plus_millis(ANSWER_MS) => {
                    self.fail("a member did not answer in time", now);
                    continue;
                }
                _ => {}
            }
            return;
        }
    }

    /// The stretch that is next: where it is waited for members, the first of which all are there.
    fn next_waiting(&mut self, is_alive: impl Fn(NodeId) -> bool) -> Option<(Unit, Rest)> {
        if self.manner.absence == Absence::Fails {
            return self.waiting.pop_front();
        }
        let me = self.me;
        let mut waiting = self.waiting.iter();
        let place = waiting.position(|(unit, _)| away(unit, me, &is_alive).is_none());
        let first = self.waiting.front();
        let awaited = first.and_then(|(unit, _)| away(unit, me, &is_alive));
        if self.progress.units_failed == 0 {
            let awaited = awaited.filter(|_| place.is_none());
            self.failure = awaited.map(|id| format!("node {} is away: it is waited for", id.0));
        }
        self.waiting.remove(place?)
    }

    /// The stretch at hand waits behind the others, and goes on where it is.
    fn put_back(&mut self) {
        let _ = self.question(self.me);
        if let Some(active) = self.active.take() {
            self.waiting.push_back((active.unit, active.rest));
        }
    }

    fn begin(&mut self, unit: Unit, rest: Rest, now: Now) {
        self.active = Some(Active {
            moment: moment(&unit, now),
            rest,
            after: None,
            step: Step::Due(now.boot),
            part_began: now.boot,
            step_began: now.boot,
            failures: 0,
            differs: false,
            unit,
        });
    }

    /// Asks this node where the next part ends.
    fn bound(&mut self, now: Now, out: &mut Vec<Effect>) {
        let question = self.question(self.me);
        let Some(active) = &mut self.active else {
            return;
        };
        (active.part_began, active.step_began) = (now.boot, now.boot);
        // A stretch may take days: what expires meanwhile is dead for all members.
        active.moment = moment(&active.unit, now);
        let command = active
            .rest
            .bound(active.unit.table.id, active.moment, self.shards);
        active.step = Step::Bounding;
        out.push(Effect::Rows(question, Box::new(command)));
    }

    fn question(&mut self, member: NodeId) -> Question {
        self.number = self.number.wrapping_add(1);
        Question {
            number: self.number,
            member,
        }
    }

    /// Asks all members, with one number.
    fn ask_all(&mut self, out: &mut Vec<Effect>, effect: impl Fn(Question) -> Effect) {
        let number = self.question(self.me).number;
        let members = self.active.iter().flat_map(|active| &active.unit.members);
        out.extend(members.map(|member| {
            effect(Question {
                number,
                member: *member,
            })
        }));
    }

    /// Has all members make digests of a part.
    fn compare(&mut self, part: Part, again: bool, now: Now, out: &mut Vec<Effect>) {
        let Some(active) = &mut self.active else {
            return;
        };
        let command = Box::new(part.digest(active.unit.table.id, active.moment));
        active.step_began = now.boot;
        active.step = Step::Comparing {
            part,
            digests: BTreeMap::new(),
            again,
        };
        self.ask_all(out, |question| Effect::Digest(question, command.clone()));
    }

    /// Has all members send what they have of a part from there on.
    fn fetch(&mut self, part: Part, resume: Option<Resume>, now: Now, out: &mut Vec<Effect>) {
        let Some(active) = &mut self.active else {
            return;
        };
        let command = Box::new(part.rows(active.unit.table.id, resume.clone()));
        active.step_began = now.boot;
        active.step = Step::Fetching {
            part,
            resume,
            rows: BTreeMap::new(),
        };
        self.ask_all(out, |question| Effect::Rows(question, command.clone()));
    }

    /// A member has made a digest, or could not.
    pub fn on_digest(
        &mut self,
        question: Question,
        result: Result<u128, String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if question.number != self.number {
            return;
        }
        let Some(active) = &mut self.active else {
            return;
        };
        let Step::Comparing {
            part,
            digests,
            again,
        } = &mut active.step
        else {
            return;
        };
        let digest = match result {
            Ok(digest) => digest,
            Err(reason) => return self.fail(&reason, now),
        };
        digests.insert(question.member, digest);
        if digests.len() < active.unit.members.len() {
            return;
        }
        let mut all = digests.values();
        let first = all.next();
        if all.all(|digest| Some(digest) == first) {
            return self.end_part(now);
        }
        let (part, again) = (part.clone(), *again);
        if again {
            self.fetch(part, None, now, out);
        } else {
            active.step = Step::Again(now.boot.plus_millis(AGAIN_MS), part);
        }
    }

    /// A member has read, or could not.
    pub fn on_rows(
        &mut self,
        question: Question,
        result: Result<ReadResponse, String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if question.number != self.number {
            return;
        }
        let Some(active) = &mut self.active else {
            return;
        };
        let response = match result {
            Ok(response) => response,
            Err(reason) => return self.fail(&reason, now),
        };
        match &mut active.step {
            Step::Bounding => {
                self.progress.bytes_compared += response.bytes.len() as u64;
                let (part, after) = active.rest.clone().cut(&response);
                active.after = after;
                self.compare(part, false, now, out);
            }
            Step::Fetching { rows, .. } => {
                rows.insert(question.member, response);
                if rows.len() == active.unit.members.len() {
                    self.send(now, out);
                }
            }
            _ => {}
        }
    }

    /// Sends members what they lack of what all have sent.
    fn send(&mut self, now: Now, out: &mut Vec<Effect>) {
        let number = self.question(self.me).number;
        let Some(active) = &mut self.active else {
            return;
        };
        let due = Step::Due(now.boot);
        let Step::Fetching { part, resume, rows } = std::mem::replace(&mut active.step, due) else {
            unreachable!("the caller looked")
        };
        let table = &active.unit.table;
        let command = part.rows(table.id, resume.clone());
        let (members, responses): (Vec<NodeId>, Vec<ReadResponse>) = rows.into_iter().unzip();
        let lacking = lacking(&command, table, &responses);
        let next = ended(&command, &responses);
        let mut left = 0;
        for (member, mutations) in members.into_iter().zip(lacking) {
            if mutations.is_empty() {
                continue;
            }
            active.differs = true;
            self.progress.mutations += mutations.len() as u64;
            let mutations: Vec<Vec<u8>> = mutations.iter().map(Mutation::encode).collect();
            let bytes = mutations.iter().map(|mutation| mutation.len() as u64);
            self.progress.mutation_bytes += bytes.sum::<u64>();
            if self.manner.purpose == Purpose::Repair {
                left += 1;
                out.push(Effect::Send(Question { number, member }, mutations));
            }
        }
        if left > 0 {
            active.step_began = now.boot;
            active.step = Step::Sending {
                part,
                from: resume,
                next,
                left,
                failed: false,
            };
            return;
        }
        self.go_on(part, next, now, out);
    }

    /// A member has what it lacked, durably, or could not take it.
    pub fn on_sent(
        &mut self,
        question: Question,
        result: Result<(), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if question.number != self.number {
            return;
        }
        let Some(active) = &mut self.active else {
            return;
        };
        let Step::Sending {
            part,
            next,
            left,
            failed,
            ..
        } = &mut active.step
        else {
            return;
        };
        *left -= 1;
        if let Err(reason) = result {
            *failed = true;
            self.failure = Some(reason);
        }
        if *left > 0 {
            return;
        }
        if *failed {
            let reason = self.failure.clone().unwrap_or_default();
            return self.fail(&reason, now);
        }
        let (part, next) = (part.clone(), next.clone());
        self.go_on(part, next, now, out);
    }

    /// What was sent of a part is equal: the rest of it is next.
    fn go_on(&mut self, part: Part, next: Option<Resume>, now: Now, out: &mut Vec<Effect>) {
        match next {
            Some(resume) if matches!(part, Part::Range(_)) || resume.clustering.is_some() => {
                self.fetch(part, Some(resume), now, out);
            }
            _ => self.end_part(now),
        }
    }

    /// All members are equal in a part, or its differences are counted.
    fn end_part(&mut self, now: Now) {
        let pace = self.manner.pace;
        let Some(active) = &mut self.active else {
            return;
        };
        self.progress.parts += 1;
        self.progress.parts_different += u64::from(std::mem::take(&mut active.differs));
        active.failures = 0;
        let took_ms = now.boot.since(active.part_began) / 1_000_000;
        let rest_ms = match pace {
            Pace::Full => 0,
            Pace::Steady => took_ms,
            Pace::Gentle => (REST_FACTOR * took_ms).max(LEAST_REST_MS),
        };
        let rests_until = now.boot.plus_millis(rest_ms);
        if let Some(after) = active.after.take() {
            active.rest = after;
            active.step = Step::Due(rests_until);
            return;
        }
        self.active = None;
        self.rests_until = rests_until;
        self.progress.units_done += 1;
    }

    /// The part at hand is begun anew after a while, without what of it was sent already; or its stretch has failed.
    fn fail(&mut self, reason: &str, now: Now) {
        // Whatever still comes is of no use.
        let _ = self.question(self.me);
        let Some(active) = &mut self.active else {
            return;
        };
        active.failures += 1;
        if active.failures >= MOST_FAILURES {
            return self.fail_unit(reason.to_owned());
        }
        let at = now.boot.plus_millis(PAUSE_MS);
        let due = Step::Due(at);
        active.step = match std::mem::replace(&mut active.step, due) {
            Step::Fetching {
                part,
                resume: Some(resume),
                ..
            }
            | Step::Sending {
                part,
                from: Some(resume),
                ..
            } => Step::Refetch(at, part, resume),
            _ => {
                active.after = None;
                Step::Due(at)
            }
        };
    }

    fn fail_unit(&mut self, reason: String) {
        let _ = self.question(self.me);
        self.failure = Some(reason);
        self.active = None;
        self.progress.units_done += 1;
        self.progress.units_failed += 1;
    }

    /// A table is gone, and so are its stretches: there is nothing to be compared.
    pub fn forget_tables(&mut self, is_gone: impl Fn(&Unit) -> bool) {
        let before = self.waiting.len();
        self.waiting.retain(|(unit, _)| !is_gone(unit));
        self.progress.units_done += (before - self.waiting.len()) as u64;
        if self
            .active
            .as_ref()
            .is_some_and(|active| is_gone(&active.unit))
        {
            let _ = self.question(self.me);
            self.active = None;
            self.progress.units_done += 1;
        }
    }
}

/// A member of a stretch that is away, if one is.
fn away(unit: &Unit, me: NodeId, is_alive: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    let mut members = unit.members.iter().copied();
    members.find(|id| *id != me && !is_alive(*id))
}

/// The moment at which members look at a part of a stretch.
fn moment(unit: &Unit, now: Now) -> Moment {
    let seconds = now.wall.seconds();
    let grace = i64::from(unit.table.options.gc_grace_seconds);
    Moment {
        now_seconds: seconds,
        purge_before: seconds.saturating_sub(grace),
    }
}
