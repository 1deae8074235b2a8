//! What the shards of a node say to each other: who does what with which message.

use super::Shard;
use crate::budget::{Held, SMALL_ANSWER_BYTES, TOO_MANY_ANSWERS};
use crate::effects::Effects;
use crate::execute::serial::Queueing;
use crate::message::{ReplicaError, ShardMessage};
use crate::replica::Caller;
use model::read::{ReadCommand, ReadResponse};
use model::time::{BootNanos, Now};

impl Shard {
    /// Messages from another shard.
    pub(super) fn on_shard_messages(
        &mut self,
        from: u16,
        batch: &mut Vec<ShardMessage>,
        now: Now,
        out: &mut Effects,
    ) {
        for message in batch.drain(..) {
            self.owed_by[usize::from(from)] -= usize::from(message.is_answer());
            self.on_message(from, message, now, out);
        }
    }

    /// Reads for another shard.
    fn serve_read(
        &mut self,
        from: u16,
        request: u64,
        command: &ReadCommand,
        (deadline, turn): (BootNanos, Queueing),
        now: Now,
        out: &mut Effects,
    ) {
        if now.boot > deadline {
            self.metrics.dropped_reads += 1;
            let result = Err(ReplicaError::Overloaded("the read came too late".into()));
            return self.send_rows(from, request, result, out);
        }
        self.metrics.replica_reads += 1;
        let caller = Caller::Shard(from, request.into());
        if turn != Queueing::AtOnce {
            return self.read_in_turn(command, caller, (deadline, turn), now, out);
        }
        if let Some(result) = self.replica.read(command, caller, now, &mut out.io) {
            self.send_rows(from, request, result, out);
        }
    }

    /// Sends another shard what it asked to read, if there is room for that on its way.
    pub(crate) fn send_rows(
        &mut self,
        shard: u16,
        request: u64,
        mut result: Result<ReadResponse, ReplicaError>,
        out: &mut Effects,
    ) {
        let mut held = Held::default();
        if let Ok(response) = &result
            && response.bytes.len() > SMALL_ANSWER_BYTES
            && !self.answers.hold(&mut held, response.bytes.len())
        {
            result = Err(ReplicaError::Overloaded(TOO_MANY_ANSWERS.to_owned()));
        }
        let message = ShardMessage::ReadDone {
            request,
            result,
            held,
        };
        out.messages.push((shard, message));
    }

    /// Sends another shard something that it answers.
    pub(crate) fn tell(&mut self, shard: u16, message: ShardMessage, out: &mut Effects) {
        debug_assert!(!message.is_answer(), "an answer is not answered");
        self.owed_by[usize::from(shard)] += 1;
        out.messages.push((shard, message));
    }

    fn on_message(&mut self, from: u16, message: ShardMessage, now: Now, out: &mut Effects) {
        match message {
            ShardMessage::Apply {
                request,
                mutation,
                counts,
                epoch,
            } => {
                let caller = Caller::Shard(from, request);
                self.apply_planned(mutation, (epoch, counts), caller, now, out);
            }
            ShardMessage::Read {
                request,
                command,
                deadline,
                turn,
            } => self.serve_read(from, request, &command, (deadline, turn), now, out),
            ShardMessage::Cancel { request } => {
                self.replica.cancel(Caller::Shard(from, request.into()))
            }
            ShardMessage::Applied { request, result } => self.on_applied(request, result, now, out),
            ShardMessage::ReadDone {
                request,
                result,
                held,
            } => {
                self.on_read(request, from, result, now, out);
                drop(held);
            }
            ShardMessage::Acknowledged { request, result } => {
                self.on_acknowledged(request, result, now, out)
            }
            ShardMessage::Forward {
                request,
                client,
                frame,
            } => self.serve_forwarded(from, request, &client, &frame, now, out),
            ShardMessage::Forwarded {
                request,
                envelope,
                keyspace,
            } => self.on_forwarded(request, &envelope, keyspace, out),
            of_the_node => self.on_node_message(from, of_the_node, now, out),
        }
    }

    /// What is not about one request of a client.
    fn on_node_message(&mut self, from: u16, message: ShardMessage, now: Now, out: &mut Effects) {
        match message {
            ShardMessage::Schema {
                request,
                schema,
                topology,
                events,
            } => {
                self.install(schema, topology, &events, now, out);
                acknowledge(from, request, out);
            }
            ShardMessage::Prepared { request, statement } => {
                self.keep_prepared(statement);
                acknowledge(from, request, out);
            }
            ShardMessage::Truncate { request, emptied } => {
                let caller = Caller::Shard(from, request.into());
                self.replica.truncate(emptied, caller, now, &mut out.io);
            }
            ShardMessage::Stream(mail) => self.on_stream_mail(*mail, now, out),
            ShardMessage::Repair(mail) => self.on_repair_mail(*mail, now, out),
            ShardMessage::Take {
                request,
                mutations,
                kept,
            } => self.apply_chunk(from, request, (mutations, kept), now, out),
            ShardMessage::Flush { request, table } => {
                self.replica
                    .flush(table, Caller::Shard(from, request.into()));
            }
            ShardMessage::Left => self.stop_serving(out),
            ShardMessage::Farewell { request, farewell } => {
                self.replica
                    .bid_farewell(&farewell, Caller::Shard(from, request.into()));
            }
            ShardMessage::Start(_) | ShardMessage::Started | ShardMessage::Go => {
                unreachable!("sent only while shards start")
            }
            ShardMessage::Facts(facts) => self.facts[usize::from(from)] = Some(facts),
            ShardMessage::Outlook(outlook) => self.take_outlook(outlook, now, out),
            ShardMessage::Originate(origination) => self.originate(*origination, now, out),
            ShardMessage::Track(note) => self.on_track_note(from, note, now, out),
            of_a_peer @ (ShardMessage::PeerWork(_)
            | ShardMessage::PeerWrote { .. }
            | ShardMessage::PeerDecided { .. }
            | ShardMessage::PeerAnswered { .. }) => self.on_passed_on(of_a_peer, now, out),
            ShardMessage::Apply { .. }
            | ShardMessage::Read { .. }
            | ShardMessage::Cancel { .. }
            | ShardMessage::Applied { .. }
            | ShardMessage::ReadDone { .. }
            | ShardMessage::Acknowledged { .. }
            | ShardMessage::Forward { .. }
            | ShardMessage::Forwarded { .. } => unreachable!("about a request of a client"),
        }
    }
}

/// Tells another shard that what it sent is in force here.
fn acknowledge(shard: u16, request: u64, out: &mut Effects) {
    let result = Ok(());
    let message = ShardMessage::Acknowledged { request, result };
    out.messages.push((shard, message));
}
