//! What becomes of operations whose deadline passes: the client is told, and what may still happen is left to end.

use super::batchlog::Ended;
use super::operation::{AfterGather, Operation};
use super::schema::AfterWork;
use crate::effects::Effects;
use crate::reply::Reply;
use crate::shard::Shard;
use model::error::RequestError;
use model::time::Now;

impl Shard {
    fn not_answered(&mut self, reply: &Reply, now: Now, out: &mut Effects) {
        let error = RequestError::Server("The request was not answered in time".into());
        self.fail(reply, &error, now, out);
    }

    /// An operation's deadline passed.
    pub(crate) fn time_out(&mut self, number: u64, now: Now, out: &mut Effects) {
        if let Some(Operation::Rmw(_)) = self.operations.get_mut(number) {
            return self.rmw_time_out(number, now, out);
        }
        match self.operations.remove(number) {
            Some(Operation::Log(operation)) => self.batch_log_time_out(*operation, now, out),
            Some(Operation::Write(operation)) => {
                if let Some(batch) = operation.batch {
                    self.batch_write_ended(batch, Ended::Open, now, out);
                }
                if let Some(reply) = operation.reply {
                    self.fail(&reply, &operation.write.on_timeout(), now, out);
                }
            }
            Some(Operation::Select(operation)) => {
                self.select_time_out(number, &operation, now, out)
            }
            Some(Operation::Scattered(operation)) => {
                self.scattered_time_out(number, &operation, now, out);
            }
            Some(Operation::Forwarded { reply, .. }) => self.not_answered(&reply, now, out),
            Some(Operation::Work { reply, then, .. }) => {
                if let AfterWork::LogIn { client, .. } = then {
                    self.login_failed(client);
                }
                self.not_answered(&reply, now, out);
            }
            Some(Operation::Gather(gather)) => {
                let late = "Not all shards answered in time";
                let (error, is_change) = match &gather.then {
                    AfterGather::Truncated => {
                        (RequestError::Truncate("Truncate timed out".into()), false)
                    }
                    AfterGather::Linked(leaving) | AfterGather::Kept(leaving) => {
                        (leaving.error(late), leaving.is_change())
                    }
                    AfterGather::Schema(_) => (RequestError::Server(late.into()), true),
                    AfterGather::Prepared(_) => (RequestError::Server(late.into()), false),
                };
                self.fail(&gather.reply, &error, now, out);
                if is_change {
                    self.next_schema_change(now, out);
                }
            }
            Some(Operation::Schema(waiting)) => {
                let error =
                    RequestError::Server("The change before this one takes too long".into());
                self.fail(&waiting.reply, &error, now, out);
            }
            Some(
                Operation::Rmw(_)
                | Operation::Count(_)
                | Operation::Serial(_)
                | Operation::Replay(_)
                | Operation::Reserved
                | Operation::Admin(_),
            )
            | None => {}
        }
    }
}
