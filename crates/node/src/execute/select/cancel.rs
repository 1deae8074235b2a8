//! What is still being read for a statement that failed, or whose deadline passed, is ended, here and on other shards: nobody
//! reads for clients that were told no.

use super::SelectOperation;
use crate::effects::Effects;
use crate::message::ShardMessage;
use crate::replica::Caller;
use crate::shard::Shard;

impl Shard {
    /// Nobody wants what is being read for this operation, which lived under this number.
    pub(super) fn cancel_reads(
        &mut self,
        request: u64,
        operation: &SelectOperation,
        out: &mut Effects,
    ) {
        let all = 0..self.config.shards;
        let awaited = all.filter(|shard| match operation.asked_shard {
            Some(asked) => *shard == asked,
            None => operation
                .answers
                .get(usize::from(*shard))
                .is_some_and(Option::is_none),
        });
        for shard in awaited {
            self.cancel_read(request, shard, out);
        }
    }

    /// Nobody wants what this shard is reading for the operation under this number.
    pub(in crate::execute) fn cancel_read(&mut self, request: u64, shard: u16, out: &mut Effects) {
        if shard == self.number {
            self.replica.cancel(Caller::Local(request.into()));
        } else {
            let message = ShardMessage::Cancel { request };
            out.messages.push((shard, message));
        }
    }
}
