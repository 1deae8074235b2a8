//! What reads before it writes where other nodes have the partition, too: conditions are decided on by the majority of its replicas,
//! in the partition's turn at this node; lists are read and written at the statement's level.

use super::{Decision, Part};
use crate::budget::Held;
use crate::effects::Effects;
use crate::execute::call::Terms;
use crate::execute::decide::{Purpose, Question};
use crate::execute::operation::Operation;
use crate::execute::replicas::ReadTerms;
use crate::shard::Shard;
use cluster::coordinate::read::Read;
use cluster::coordinate::write::WriteSet;
use cluster::coordinate::{Access, ReplicaPlan};
use cql::plan::modify::{CurrentRows, oversized};
use model::error::{RequestError, WriteType};
use model::key::Token;
use model::limits::MAX_MUTATION_BYTES;
use model::read::{ReadCommand, ReadResponse};
use model::time::{BootNanos, Now};

/// Who else has the partition.
#[derive(Debug, Clone)]
pub(super) enum Others {
    /// Nobody.
    None,
    /// These are read, and those written to.
    Replicas {
        read: ReplicaPlan,
        write: ReplicaPlan,
    },
    /// Their majority decides, and these are sent what it decides.
    Majority(ReplicaPlan),
}

/// What is planned of an operation.
pub(super) struct Planned {
    pub(super) read: Read,
    pub(super) write: WriteSet,
    pub(super) others: Others,
}

impl Shard {
    /// Who is read before the write and who is written to: a condition is read at its serial level, list elements at that
    /// of the write.
    pub(super) fn plan_reading(
        &self,
        parts: &[Part],
        conditional: bool,
        terms: &Terms,
        token: Token,
    ) -> Result<Planned, RequestError> {
        let keyspace = &parts[0].plan().table.keyspace;
        let level = terms.consistency;
        let admit = |access, level| self.admit(access, level, keyspace, token);
        let (write_type, access) = if conditional {
            (WriteType::Cas, Access::Conditional)
        } else {
            (WriteType::Simple, Access::Write)
        };
        if conditional && !self.has_all_of(keyspace) {
            return Ok(Planned {
                others: Others::Majority(admit(access, level)?),
                read: Read::new(ReplicaPlan::local(level, &self.topology)),
                write: self.local_write(level, write_type),
            });
        }
        if conditional {
            let read = admit(Access::Read, terms.serial_consistency)?;
            return Ok(Planned {
                read: Read::new(read),
                write: WriteSet::new(write_type, [admit(access, level)])?,
                others: Others::None,
            });
        }
        let write = admit(access, level)?;
        let (read, replicas) = self.plan_reading_of(keyspace, level, token)?;
        Ok(match replicas {
            Some(replicas) => Planned {
                read,
                write: self.local_write(level, write_type),
                others: Others::Replicas {
                    read: replicas,
                    write,
                },
            },
            None => Planned {
                read,
                write: WriteSet::new(write_type, [Ok(write)])?,
                others: Others::None,
            },
        })
    }

    /// What waited for its turn is for the replicas there are now.
    pub(super) fn rmw_plan_again(&mut self, number: u64) -> Result<(), RequestError> {
        let epoch = self.topology.epoch;
        let waited = match self.operations.get(number) {
            Some(Operation::Rmw(operation)) if operation.epoch != epoch => operation,
            _ => return Ok(()),
        };
        let (conditional, token) = (waited.is_conditional(), waited.key().token);
        let planned = self.plan_reading(&waited.parts, conditional, &waited.terms, token)?;
        if let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) {
            operation.read = planned.read;
            operation.write = planned.write;
            operation.others = planned.others;
            operation.epoch = epoch;
        }
        Ok(())
    }

    /// The partition is held here, and others have it, too. The deadline is that of what is waited for from now on.
    pub(super) fn rmw_start_with_others(
        &mut self,
        number: u64,
        command: ReadCommand,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let deadline = std::mem::replace(&mut operation.deadline, BootNanos(u64::MAX));
        let (table, key) = (operation.table(), operation.key().clone());
        match operation.others.clone() {
            Others::None => unreachable!("the caller looked"),
            Others::Replicas { read, .. } => {
                let level = operation.terms.consistency;
                let terms = ReadTerms {
                    ballot: None,
                    table,
                    level,
                    max_staleness_ms: None,
                    deadline,
                };
                self.read_replicas(number, (read, terms), command, now, out);
            }
            Others::Majority(commit) => {
                let question = Question {
                    table,
                    key,
                    level: operation.terms.serial_consistency,
                    command,
                    deadline,
                };
                let purpose = Purpose::Statement(commit);
                if let Err(error) = self.begin_decision(number, purpose, question, now, out) {
                    self.rmw_end(number, Err(error), now, out);
                }
            }
        }
    }

    /// The rows that the majority has are here: what the statement makes of them, at the time of its ballot; nothing if its
    /// conditions do not hold.
    pub(in crate::execute) fn rmw_decide(
        &mut self,
        number: u64,
        response: ReadResponse,
        timestamp: i64,
    ) -> Result<Option<Vec<u8>>, RequestError> {
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return Ok(None);
        };
        operation.held = Held::default();
        let response = self.answers.hold_rows(&mut operation.held, response)?;
        operation.current = CurrentRows {
            responses: vec![(operation.partition.0, response)],
        };
        operation.context.timestamp_micros = timestamp;
        let decision = operation.decide()?;
        operation.refused = matches!(decision, Decision::Refused);
        match decision {
            Decision::Apply(Some(mutation)) if mutation.len() > MAX_MUTATION_BYTES => {
                Err(oversized(mutation.len()))
            }
            Decision::Apply(mutation) => Ok(mutation),
            Decision::Refused => Ok(None),
        }
    }

    /// The majority has decided, or could not.
    pub(in crate::execute) fn rmw_decided(
        &mut self,
        number: u64,
        result: Result<bool, RequestError>,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Rmw(operation)) = self.operations.get_mut(number) else {
            return;
        };
        let refused = operation.refused;
        self.rmw_end(number, result.map(|applied| applied || !refused), now, out);
    }
}
