//! Repairs under way on shard 0: what they ask for is asked, what comes is handed to them.

use super::facts::{RepairFact, RepairReason, RepairState};
use super::message::RepairMessage;
use super::{MAX_RUNNING, MAX_SHOWN, RepairMail, RepairOperation, Running, Whom};
use crate::effects::{Effects, LogLevel};
use crate::execute::admin::AdminAnswer;
use crate::execute::operation::Operation;
use crate::message::{ReplicaError, ShardMessage};
use crate::peers::message::{Answer, PeerMessage, Wanted as PeerWanted};
use crate::shard::Shard;
use cluster::repair::plan::Unit;
use cluster::repair::session::{Absence, Effect, Manner, Pace, Progress, Question, Session};
use cluster::topology::NodeId;
use model::env::Random;
use model::read::{ReadCommand, ReadResponse};
use model::schema::TableId;
use model::time::{BootNanos, Now};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long a member has to answer, in milliseconds.
const ANSWER_MS: u64 = 15_000;
/// How often shown repairs are brought up to date, in milliseconds.
const POLL_MS: u64 = 500;

/// What is wanted of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// What stands for its rows.
    Digest,
    /// Its rows.
    Rows,
}

/// A repair to be begun.
pub(crate) struct Begun {
    /// What it is of.
    pub units: Vec<Unit>,
    /// How fast it goes.
    pub pace: Pace,
    /// Why there is one.
    pub reason: RepairReason,
    /// The keyspace, if it is of one.
    pub keyspace: Option<String>,
    /// Its tables.
    pub tables: Vec<String>,
    /// Whether of stretches alone of which this node is the first replica.
    pub primary: bool,
    /// Whether differences are counted and not ended.
    pub preview: bool,
    /// The admin work that waits for it.
    pub waits: Option<u64>,
}

impl Shard {
    /// Begins a repair; its number.
    pub(crate) fn begin_repair(&mut self, begun: Begun, now: Now) -> Result<u64, String> {
        let commands = self.repairs.running.values();
        let commands = commands.filter(|running| running.fact.reason == RepairReason::Command);
        if begun.reason == RepairReason::Command && commands.count() >= MAX_RUNNING {
            return Err(format!("{MAX_RUNNING} repairs are under way already"));
        }
        let members = begun.units.iter().flat_map(|unit| &unit.members);
        let participants: BTreeSet<u32> = members.map(|id| id.0).collect();
        if begun.reason == RepairReason::Command {
            self.repairs.by_self.go_on();
        }
        self.repairs.last += 1;
        let number = self.repairs.last;
        let now_millis = now.wall.millis();
        let fact = RepairFact {
            command: number,
            id: self.random.time_uuid(now),
            reason: begun.reason,
            keyspace: begun.keyspace,
            tables: begun.tables,
            primary: begun.primary,
            preview: begun.preview,
            participants: participants.into_iter().collect(),
            state: RepairState::Running,
            failure: None,
            started_millis: now_millis,
            updated_millis: now_millis,
            progress: Progress::default(),
        };
        let own = self.topology.local;
        let manner = Manner {
            purpose: fact.purpose(),
            pace: begun.pace,
            absence: match fact.reason {
                RepairReason::Owed => Absence::Waits,
                RepairReason::Command | RepairReason::Round => Absence::Fails,
            },
        };
        let running = Running {
            session: Session::new(
                (own, self.config.shards),
                begun.units,
                manner,
                self.random.next_u64(),
            ),
            fact,
            epoch: 0,
            waits: begun.waits,
        };
        self.repairs.running.insert(number, running);
        self.repairs.next_poll = now.boot;
        Ok(number)
    }

    /// Ends a repair, or all that operators began; how many that were. What this node is owed is not begun again until a repair is asked
    /// for.
    pub(crate) fn cancel_repairs(
        &mut self,
        id: Option<&str>,
        now: Now,
        out: &mut Effects,
    ) -> usize {
        let running = self.repairs.running.iter();
        let meant = running.filter(|(number, running)| match id {
            Some(id) => running.fact.id.to_string() == id || number.to_string() == id,
            None => running.fact.reason == RepairReason::Command,
        });
        let meant: Vec<u64> = meant.map(|(number, _)| *number).collect();
        for number in &meant {
            let owed = |running: &Running| running.fact.reason == RepairReason::Owed;
            if self.repairs.running.get(number).is_some_and(owed) {
                self.repairs.by_self.hold_off();
                let text = "what this node lacks and no journal has is not repaired until nodetool repair is asked for here, or the next start";
                out.log.push((LogLevel::Warn, text.to_owned()));
            }
            self.end_repair(*number, RepairState::Cancelled, now, out);
        }
        meant.len()
    }

    /// How a repair stands that was begun by this node itself; `None` once that is forgotten.
    pub(super) fn repair_state(&self, number: u64) -> Option<RepairState> {
        let repairs = &self.repairs;
        if let Some(running) = repairs.running.get(&number) {
            return Some(running.fact.state);
        }
        let over = repairs.over.iter().find(|fact| fact.command == number);
        over.map(|fact| fact.state)
    }

    /// When [`Self::tend_repairs`] is due.
    pub(crate) fn next_repair_deadline(&self) -> Option<BootNanos> {
        if self.number > 0 || self.membership.is_none() {
            return None;
        }
        let by_self = self.repairs.by_self.next_deadline();
        let poll = (!self.repairs.running.is_empty()).then_some(self.repairs.next_poll);
        poll.into_iter().chain([by_self]).min()
    }

    /// Gives repairs their turn, once a wake-up.
    pub(crate) fn tend_repairs(&mut self, now: Now, out: &mut Effects) {
        if self.next_repair_deadline().is_none_or(|due| now.boot < due) {
            return;
        }
        self.repair_by_self(now, out);
        if self.repairs.running.is_empty() || now.boot < self.repairs.next_poll {
            return;
        }
        self.repairs.next_poll = now.boot.plus_millis(POLL_MS);
        let known: BTreeSet<_> = self.schema.tables().map(|table| table.id).collect();
        let numbers: Vec<u64> = self.repairs.running.keys().copied().collect();
        for number in numbers {
            self.poll_repair(number, &known, now, out);
        }
        self.show_repairs();
    }

    fn poll_repair(&mut self, number: u64, known: &BTreeSet<TableId>, now: Now, out: &mut Effects) {
        let nodes = self.topology.nodes.iter();
        let alive: BTreeSet<NodeId> = nodes
            .filter(|node| node.alive)
            .map(|node| node.id)
            .collect();
        let Some(running) = self.repairs.running.get_mut(&number) else {
            return;
        };
        let mut effects = Vec::new();
        let session = &mut running.session;
        session.forget_tables(|unit| !known.contains(&unit.table.id));
        session.poll(|id| alive.contains(&id), now, &mut effects);
        let due = session.next_deadline(now.boot);
        running.fact.update(session, now.wall.millis());
        if session.is_done() {
            let failed = running.fact.progress.units_failed > 0;
            let state = if failed {
                RepairState::Failed
            } else {
                RepairState::Completed
            };
            return self.end_repair(number, state, now, out);
        }
        let next = &mut self.repairs.next_poll;
        *next = due.map_or(*next, |due| due.min(*next));
        self.carry_out_repair(number, effects, now, out);
    }

    pub(super) fn end_repair(
        &mut self,
        number: u64,
        state: RepairState,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(running) = self.repairs.running.remove(&number) else {
            return;
        };
        let Running {
            session,
            mut fact,
            waits,
            ..
        } = running;
        fact.update(&session, now.wall.millis());
        fact.state = state;
        tell_operator(&fact, out);
        if let Some(id) = waits {
            let answer = AdminAnswer::Repairs(vec![fact.clone()]);
            out.admin.push((id, Ok(answer)));
        }
        let metrics = &mut self.metrics;
        metrics.repair_parts_different += fact.progress.parts_different;
        metrics.repairs_failed += u64::from(state == RepairState::Failed);
        metrics.repairs_completed += u64::from(state == RepairState::Completed);
        self.repairs.over.push_back(fact);
        while self.repairs.over.len() > MAX_SHOWN {
            self.repairs.over.pop_front();
        }
        self.show_repairs();
    }

    fn show_repairs(&mut self) {
        let repairs = &mut self.repairs;
        let running = repairs.running.values().map(|running| &running.fact);
        let all = repairs.over.iter().chain(running).cloned();
        repairs.shown = Arc::new(all.collect());
    }

    fn carry_out_repair(&mut self, repair: u64, effects: Vec<Effect>, now: Now, out: &mut Effects) {
        for effect in effects {
            match effect {
                Effect::Digest(question, command) => {
                    self.ask_member(repair, question, (*command, Wanted::Digest), now, out);
                }
                Effect::Rows(question, command) => {
                    // What is sent of it is as of then.
                    if let Some(running) = self.repairs.running.get_mut(&repair) {
                        running.epoch = self.topology.epoch;
                    }
                    self.ask_member(repair, question, (*command, Wanted::Rows), now, out);
                }
                Effect::Send(question, mutations) => {
                    self.metrics.repair_mutations += mutations.len() as u64;
                    self.send_mutations(repair, question, mutations, now, out);
                }
            }
        }
    }

    /// Asks a member, which may be this node, what it has.
    fn ask_member(
        &mut self,
        repair: u64,
        question: Question,
        (command, wanted): (ReadCommand, Wanted),
        now: Now,
        out: &mut Effects,
    ) {
        let deadline = now.boot.plus_millis(ANSWER_MS);
        let asked = RepairOperation::Asked {
            repair,
            question,
            wanted,
            deadline,
        };
        let number = self.operations.insert(Operation::Repair(asked));
        if question.member != self.topology.local {
            let terms = self.terms(number.into(), self.topology.epoch, ANSWER_MS);
            let wanted = match wanted {
                Wanted::Digest => PeerWanted::Digest,
                Wanted::Rows => PeerWanted::Rows,
            };
            return self.send_read(question.member, &terms, (&command, wanted), out);
        }
        if let Some(result) = self.read_own(number, command, deadline, now, out) {
            self.repair_read(number, result, now, out);
        }
    }

    /// This node has read for a repair.
    pub(crate) fn repair_read(
        &mut self,
        number: u64,
        result: Result<ReadResponse, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Repair(RepairOperation::Asked {
            repair,
            question,
            wanted,
            ..
        })) = self.operations.remove(number)
        else {
            return;
        };
        let answer = result.map(|response| match wanted {
            Wanted::Digest => Answer::Digest(response.digest(), 0),
            Wanted::Rows => Answer::Rows(response),
        });
        self.member_answered(repair, (question, wanted), answer, now, out);
    }

    /// Another member has read for a repair.
    pub(crate) fn repair_answered(
        &mut self,
        number: u64,
        node: NodeId,
        result: Result<Answer, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let asked = match self.operations.get_mut(number) {
            Some(Operation::Repair(RepairOperation::Asked {
                repair,
                question,
                wanted,
                ..
            })) if question.member == node => (*repair, *question, *wanted),
            _ => return,
        };
        self.operations.remove(number);
        let (repair, question, wanted) = asked;
        self.member_answered(repair, (question, wanted), result, now, out);
    }

    fn member_answered(
        &mut self,
        repair: u64,
        (question, wanted): (Question, Wanted),
        result: Result<Answer, ReplicaError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(running) = self.repairs.running.get_mut(&repair) else {
            return;
        };
        let (session, mut effects) = (&mut running.session, Vec::new());
        let failed = |reason: String| format!("node {}: {reason}", question.member.0);
        let result = result.map_err(|error| failed(error.into_text()));
        match (wanted, result) {
            (Wanted::Digest, Ok(Answer::Digest(digest, _))) => {
                session.on_digest(question, Ok(digest), now, &mut effects);
            }
            (Wanted::Rows, Ok(Answer::Rows(response))) => {
                session.on_rows(question, Ok(response), now, &mut effects);
            }
            (Wanted::Digest, Ok(_)) => {
                let error = Err(failed("no digest".to_owned()));
                session.on_digest(question, error, now, &mut effects);
            }
            (Wanted::Rows, Ok(_)) => {
                let error = Err(failed("no rows".to_owned()));
                session.on_rows(question, error, now, &mut effects);
            }
            (Wanted::Digest, Err(reason)) => {
                session.on_digest(question, Err(reason), now, &mut effects);
            }
            (Wanted::Rows, Err(reason)) => {
                session.on_rows(question, Err(reason), now, &mut effects);
            }
        }
        self.repairs.next_poll = now.boot;
        self.carry_out_repair(repair, effects, now, out);
    }

    /// Has a member, which may be this node, make durable what it lacks.
    fn send_mutations(
        &mut self,
        repair: u64,
        question: Question,
        mutations: Vec<Vec<u8>>,
        now: Now,
        out: &mut Effects,
    ) {
        let running = self.repairs.running.get(&repair);
        let read =
            running.and_then(|running| Some((running.epoch, running.session.unit()?.table.id)));
        let Some((epoch, table)) = read else {
            return;
        };
        if question.member == self.topology.local {
            let whom = Whom::Own(repair, question);
            return self.mend(whom, (epoch, table), mutations, now, out);
        }
        let sent = RepairOperation::Sent {
            repair,
            question,
            deadline: now.boot.plus_millis(ANSWER_MS),
        };
        let number = self.operations.insert(Operation::Repair(sent));
        let message = RepairMessage::Mend {
            number,
            epoch,
            table,
            mutations,
        };
        self.say(question.member, &PeerMessage::Repair(message), out);
    }

    /// A member has, or has not, made durable what a repair brought it.
    pub(super) fn member_mended(
        &mut self,
        repair: u64,
        question: Question,
        result: Result<(), String>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(running) = self.repairs.running.get_mut(&repair) else {
            return;
        };
        let mut effects = Vec::new();
        let failed = |reason: String| format!("node {}: {reason}", question.member.0);
        let result = result.map_err(failed);
        running.session.on_sent(question, result, now, &mut effects);
        self.repairs.next_poll = now.boot;
        self.carry_out_repair(repair, effects, now, out);
    }

    /// Another node says something of a repair.
    pub(crate) fn on_repair_mail(&mut self, mail: RepairMail, now: Now, out: &mut Effects) {
        if self.number > 0 {
            return out.messages.push((0, ShardMessage::Repair(Box::new(mail))));
        }
        let RepairMail { node, message } = mail;
        match message {
            RepairMessage::Mend {
                number,
                epoch,
                table,
                mutations,
            } => self.mend(
                Whom::Peer(node, number),
                (epoch, table),
                mutations,
                now,
                out,
            ),
            RepairMessage::AskGroups { number } => {
                let reports = self.group_reports(now.boot);
                let answer = RepairMessage::Groups { number, reports };
                self.say(node, &PeerMessage::Repair(answer), out);
            }
            RepairMessage::Groups { number, reports } => {
                self.convergence_told(number, node, reports, out);
            }
            RepairMessage::Mended { number, result } => {
                let sent = match self.operations.get_mut(number) {
                    Some(Operation::Repair(RepairOperation::Sent {
                        repair, question, ..
                    })) if question.member == node => (*repair, *question),
                    _ => return,
                };
                self.operations.remove(number);
                self.member_mended(sent.0, sent.1, result, now, out);
            }
        }
    }

    /// A member has not answered in time.
    pub(crate) fn repair_time_out(
        &mut self,
        operation: RepairOperation,
        now: Now,
        out: &mut Effects,
    ) {
        let error = || "no answer in time".to_owned();
        match operation {
            RepairOperation::Asked {
                repair,
                question,
                wanted,
                ..
            } => {
                let result = Err(ReplicaError::Failed(0, error()));
                self.member_answered(repair, (question, wanted), result, now, out);
            }
            RepairOperation::Sent {
                repair, question, ..
            } => self.member_mended(repair, question, Err(error()), now, out),
            RepairOperation::Convergence(question) => self.tell_convergence(*question, out),
            RepairOperation::Mending { .. } => unreachable!("it has no deadline"),
        }
    }

    /// What an operator has of repairs to do.
    pub(crate) fn repair_facts(&self) -> AdminAnswer {
        AdminAnswer::Repairs(self.repairs.shown.to_vec())
    }
}

/// Tells the operator of a repair that is over, if it found something or was asked for.
fn tell_operator(fact: &RepairFact, out: &mut Effects) {
    let what = match fact.reason {
        RepairReason::Command => "the repair that was asked for",
        RepairReason::Owed => "the repair of what no journal has any more",
        RepairReason::Round => "the round over everything",
    };
    let progress = &fact.progress;
    let text = format!(
        "{what} is over ({:?}): {} of {} stretches, {} of {} parts differed, {} mutations of {} bytes sent",
        fact.state,
        progress.units_done - progress.units_failed,
        progress.units,
        progress.parts_different,
        progress.parts,
        progress.mutations,
        progress.mutation_bytes
    );
    let found = fact.reason == RepairReason::Round && progress.parts_different > 0;
    let level = match (fact.state, found) {
        (RepairState::Failed, _) | (_, true) => LogLevel::Warn,
        _ if fact.reason == RepairReason::Round => return,
        _ => LogLevel::Info,
    };
    out.log.push((level, text));
}
