//! A read of one partition: the data from one replica, digests of it from as many others as the level wants.
//!
//! The nearest live replicas are asked; the first for the data. If the digests are those of the data, it is the answer.
//! If not, those that sent digests are asked for their data, too, and the merge of all of it is the answer. A replica that fails is
//! replaced by one that was not asked yet, while there is one; so is, ahead of its failure, one that is slow
//! ([`Read::on_slow`]). Invariants:
//! - the client is told once;
//! - an answer rests on as many replicas as the level wants, the one whose data it is among them.

use super::ReplicaError;
use super::plan::ReplicaPlan;
use super::tally::{Contact, Tally};
use crate::topology::NodeId;
use model::error::RequestError;
use smallvec::SmallVec;
use std::net::IpAddr;

#[cfg(test)]
mod tests;

/// What stands for the rows of an answer: equal rows have equal digests.
pub type Digest = u128;

/// What a replica is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The rows.
    Data,
    /// Their digest.
    Digest,
}

/// A replica is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Whom.
    pub replica: NodeId,
    /// For what.
    pub wanted: Wanted,
}

/// What a read's coordinator is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Wait on.
    Pending,
    /// Ask another replica, and wait on.
    Ask(Ask),
    /// The data that came is the answer.
    Done,
    /// Digests differ: ask these for their data, and wait on.
    Compare(Vec<Ask>),
    /// All data that was to be compared has come: its merge is the answer.
    Merge,
    /// Answer the client with an error.
    Failed(RequestError),
}

/// The answers of a read so far.
#[derive(Debug)]
pub struct Read {
    tally: Tally,
    /// Digests of what came, by replica; not kept while one answer is all that is wanted.
    digests: SmallVec<[Digest; 2]>,
    /// Who is asked for data and has not failed.
    data_asked: SmallVec<[NodeId; 1]>,
    data_present: bool,
    /// Whether a replica has rows and did not send them, as it may be behind.
    held_back: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// One replica's data, others' digests.
    Digests,
    /// Everybody's data.
    Data,
    /// The client was told.
    Told,
}

impl Read {
    /// A read that is about to be sent.
    pub fn new(plan: ReplicaPlan) -> Self {
        let mut read = Self {
            tally: Tally::new(plan),
            digests: SmallVec::new(),
            data_asked: SmallVec::new(),
            data_present: false,
            held_back: false,
            stage: Stage::Digests,
        };
        while !read.can_reach() {
            let spare = read.spare().expect("a plan has replicas enough");
            read.ask(spare);
        }
        read
    }

    /// Who is asked for what, the data first.
    pub fn asks(&self) -> impl Iterator<Item = Ask> {
        let asked = self.tally.contacts();
        let asked = asked.filter(|(_, contact)| *contact == Contact::Awaited);
        asked.map(|(replica, _)| Ask {
            replica: replica.node,
            wanted: if self.data_asked.contains(&replica.node) {
                Wanted::Data
            } else {
                Wanted::Digest
            },
        })
    }

    /// Whether one more could be asked.
    pub fn has_spare(&self) -> bool {
        self.spare().is_some()
    }

    /// Whether the client was told, or could be.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Told
    }

    /// A replica sent its data; `digest` is asked for only where there is something to compare it with.
    pub fn on_data(&mut self, replica: NodeId, digest: impl FnOnce() -> Digest) -> Progress {
        if self.stage == Stage::Data {
            self.tally.answered(replica);
            return self.judge_data();
        }
        if self.tally.answered(replica) {
            self.data_present = true;
            if self.tally.plan.block_for > 1 {
                self.digests.push(digest());
            }
        }
        self.judge_digests()
    }

    /// A replica sent the digest of its data.
    pub fn on_digest(&mut self, replica: NodeId, digest: Digest) -> Progress {
        if self.stage != Stage::Digests {
            return Progress::Pending;
        }
        if self.tally.answered(replica) {
            self.digests.push(digest);
        }
        self.judge_digests()
    }

    /// A replica could not read.
    pub fn on_failure(
        &mut self,
        replica: NodeId,
        endpoint: IpAddr,
        error: ReplicaError,
    ) -> Progress {
        self.held_back |= matches!(error, ReplicaError::Behind);
        if self.stage == Stage::Told || !self.tally.failed(replica, endpoint, error) {
            return Progress::Pending;
        }
        self.replace(replica)
    }

    /// A replica is known not to answer any more.
    pub fn on_unavailable(&mut self, replica: NodeId) -> Progress {
        if self.stage == Stage::Told || !self.tally.away(replica) {
            return Progress::Pending;
        }
        self.replace(replica)
    }

    /// Whether a replica did not send what it has, as it may be behind ([`ReplicaError::Behind`]).
    pub fn was_held_back(&self) -> bool {
        self.held_back
    }

    /// Those asked take longer than they usually do: one more is asked, if there is one. For data, as long as none came.
    pub fn on_slow(&mut self) -> Option<Ask> {
        if self.stage != Stage::Digests {
            return None;
        }
        let spare = self.spare()?;
        let wanted = if self.data_present {
            Wanted::Digest
        } else {
            self.data_asked.push(spare);
            Wanted::Data
        };
        self.tally.ask(spare);
        Some(Ask {
            replica: spare,
            wanted,
        })
    }

    /// The deadline passed: what the client is told.
    pub fn on_timeout(&self) -> RequestError {
        let plan = &self.tally.plan;
        let received = match self.stage {
            // All answered once; what is missing is data to compare.
            Stage::Data => self.tally.received().min(plan.block_for.saturating_sub(1)),
            Stage::Digests => self.tally.received(),
            // The next read of the same statement has not begun.
            Stage::Told => 0,
        };
        RequestError::ReadTimeout {
            consistency: plan.consistency,
            received,
            block_for: plan.block_for,
            data_present: self.data_present && self.stage != Stage::Told,
        }
    }

    /// A live replica that was not asked and that the level counts, if possible of a data centre that lacks answers.
    fn spare(&self) -> Option<NodeId> {
        let spares = || {
            let contacts = self.tally.contacts().filter(|(replica, contact)| {
                *contact == Contact::Spare && replica.alive && self.tally.counts(*replica)
            });
            contacts.map(|(replica, _)| replica)
        };
        let lacking = spares().find(|replica| self.tally.lacks(*replica));
        lacking
            .or_else(|| spares().next())
            .map(|replica| replica.node)
    }

    fn ask(&mut self, replica: NodeId) -> Ask {
        let wanted = if self.data_asked.is_empty() {
            self.data_asked.push(replica);
            Wanted::Data
        } else {
            Wanted::Digest
        };
        self.tally.ask(replica);
        Ask { replica, wanted }
    }

    /// Whether those asked are enough, if all of them answer.
    fn can_reach(&self) -> bool {
        let open = |contact| matches!(contact, Contact::Answered | Contact::Awaited);
        self.tally.reaches(open)
    }

    /// A replica is lost: another takes its place, or the read fails.
    fn replace(&mut self, lost: NodeId) -> Progress {
        self.data_asked.retain(|node| *node != lost);
        let data_is_coming = self.data_present || !self.data_asked.is_empty();
        if self.can_reach() && (data_is_coming || self.stage == Stage::Data) {
            return Progress::Pending;
        }
        match self.spare() {
            Some(spare) if self.stage == Stage::Digests => Progress::Ask(self.ask(spare)),
            _ => self.fail(),
        }
    }

    fn fail(&mut self) -> Progress {
        let timeout = self.on_timeout();
        self.stage = Stage::Told;
        if !self.tally.has_failures() {
            return Progress::Failed(timeout);
        }
        let (consistency, block_for) = (self.tally.plan.consistency, self.tally.plan.block_for);
        let received = self.tally.received();
        Progress::Failed(match self.tally.take_failure(true) {
            Err(refusal) => refusal,
            Ok((failures, detail)) => RequestError::ReadFailure {
                consistency,
                received,
                block_for,
                failures,
                data_present: self.data_present,
                detail,
            },
        })
    }

    fn judge_digests(&mut self) -> Progress {
        if self.stage != Stage::Digests || !self.data_present || !self.tally.is_reached() {
            return Progress::Pending;
        }
        if self.digests.windows(2).all(|pair| pair[0] == pair[1]) {
            self.stage = Stage::Told;
            return Progress::Done;
        }
        self.stage = Stage::Data;
        let asks = self.ask_for_data();
        if asks.is_empty() {
            return self.judge_data();
        }
        Progress::Compare(asks)
    }

    /// Asks everybody for the data who sent its digest.
    fn ask_for_data(&mut self) -> Vec<Ask> {
        let contacts = self.tally.contacts();
        let digests = contacts.filter(|(replica, contact)| {
            *contact == Contact::Answered && !self.data_asked.contains(&replica.node)
        });
        let digests: Vec<NodeId> = digests.map(|(replica, _)| replica.node).collect();
        let mut asks = Vec::with_capacity(digests.len());
        for replica in digests {
            self.tally.ask(replica);
            asks.push(Ask {
                replica,
                wanted: Wanted::Data,
            });
        }
        asks
    }

    fn judge_data(&mut self) -> Progress {
        if !self.tally.is_reached() {
            return Progress::Pending;
        }
        self.stage = Stage::Told;
        Progress::Merge
    }
}
