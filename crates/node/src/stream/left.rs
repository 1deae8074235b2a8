//! A node that has given up its tokens, or was removed: it is no member any more, and serves nobody.

use crate::effects::{Effects, LogLevel};
use crate::message::ShardMessage;
use crate::shard::Shard;
use cluster::gossip::state::Status;

impl Shard {
    /// The others have it that this node is no member any more. Shard 0.
    pub(crate) fn leave_cluster(&mut self, out: &mut Effects) {
        if self.streams.has_left {
            return;
        }
        let text = "this node has left its cluster: it serves nobody any more, and can be stopped; its data is kept";
        out.log.push((LogLevel::Warn, text.to_owned()));
        if let Some(membership) = &mut self.membership {
            membership.set_status(Status::Left);
        }
        for shard in self.other_shards() {
            out.messages.push((shard, ShardMessage::Left));
        }
        self.stop_serving(out);
        self.end_wishes(Ok(()), out);
    }

    /// Ends the connections of clients, and takes no request any more.
    pub(crate) fn stop_serving(&mut self, out: &mut Effects) {
        self.streams.has_left = true;
        out.closes.extend(self.clients.keys().copied());
    }
}
