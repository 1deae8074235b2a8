//! What goes on when slow work, done by a thread of its own, has ended: logins and new passwords.

use super::admin::AdminError;
use super::operation::Operation;
use super::schema::Demand;
use crate::client::ClientId;
use crate::effects::{Effects, SlowWork, WorkDone, WorkOrder};
use crate::reply::Reply;
use crate::shard::Shard;
use model::error::RequestError;
use model::time::{BootNanos, Now};
use std::sync::Arc;

/// Waits for slow work.
#[derive(Debug)]
pub struct WorkOperation {
    /// What to do with the result.
    then: AfterWork,
    /// When the client is told to give up.
    pub deadline: BootNanos,
}

/// What to do when slow work is done.
#[derive(Debug)]
pub(super) enum AfterWork {
    /// A password was checked.
    LogIn {
        /// Whose connection.
        client: ClientId,
        /// Who wants in.
        user: Arc<str>,
        reply: Reply,
    },
    /// An operator's password was checked.
    LogInOperator {
        /// The number that the answer carries.
        id: u64,
        /// Who wants in.
        user: String,
    },
    /// A password was hashed: carry out the statement it is for, as the roles are by then.
    StoreRole(Box<Demand>),
}

impl AfterWork {
    /// The answer owed to a client, if it is one who waits.
    fn reply(&self) -> Option<&Reply> {
        match self {
            Self::LogIn { reply, .. } => Some(reply),
            Self::StoreRole(demand) => Some(&demand.reply),
            Self::LogInOperator { .. } => None,
        }
    }
}

impl Shard {
    /// Has a thread do something slow.
    pub(super) fn order_work(
        &mut self,
        work: SlowWork,
        then: AfterWork,
        deadline: BootNanos,
        out: &mut Effects,
    ) {
        let operation = WorkOperation { then, deadline };
        let number = self.operations.insert(Operation::Work(operation));
        out.work.push(WorkOrder {
            number,
            deadline,
            work,
        });
    }

    /// Slow work is done.
    pub(crate) fn on_work_done(
        &mut self,
        number: u64,
        done: WorkDone,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(Operation::Work(WorkOperation { then, .. })) = self.operations.remove(number)
        else {
            return;
        };
        match (then, done) {
            (then, WorkDone::Refused) => {
                let text = "Too many passwords wait to be checked or hashed";
                self.work_failed(&then, &RequestError::Overloaded(text.into()), now, out);
            }
            (
                AfterWork::LogIn {
                    client,
                    user,
                    reply,
                },
                done,
            ) => {
                self.logged_in(client, &user, done == WorkDone::Verified(true), &reply, out);
            }
            (AfterWork::LogInOperator { id, user }, done) => {
                let fits = done == WorkDone::Verified(true);
                self.operator_checked(id, &user, fits, out);
            }
            (AfterWork::StoreRole(demand), WorkDone::Hashed(Ok(hash))) => {
                self.demand(demand.with_hash(hash), now, out);
            }
            (then @ AfterWork::StoreRole(_), done) => {
                let reason = match done {
                    WorkDone::Hashed(Err(reason)) => reason,
                    _ => "no hash".to_owned(),
                };
                let text = format!("The password could not be hashed: {reason}");
                self.work_failed(&then, &RequestError::Server(text), now, out);
            }
        }
    }

    /// The deadline passed.
    pub(super) fn work_time_out(&mut self, operation: &WorkOperation, now: Now, out: &mut Effects) {
        self.work_failed(&operation.then, &super::operation::not_answered(), now, out);
    }

    fn work_failed(&mut self, then: &AfterWork, error: &RequestError, now: Now, out: &mut Effects) {
        if let AfterWork::LogIn { client, .. } = then {
            self.login_failed(*client);
        }
        if let AfterWork::LogInOperator { id, .. } = then {
            let error = AdminError::Failed(error.to_string());
            out.admin.push((*id, Err(error)));
        }
        if let Some(reply) = then.reply() {
            self.fail(reply, error, now, out);
        }
    }
}
