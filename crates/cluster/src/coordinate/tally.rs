//! Who of a plan's replicas was asked, and what came of it, against what the level wants.
//!
//! - A replica is counted once: what it says first holds.
//! - Only replicas of the data centres that the level counts make it reached; but errors tell of all that answered.

use super::plan::{Quota, Replica, ReplicaPlan};
use super::{OUTDATED, ReplicaError};
use crate::topology::NodeId;
use model::error::{ReplicaFailure, RequestError};
use smallvec::SmallVec;
use std::net::IpAddr;

/// What became of what was sent to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// Nothing was sent.
    Spare,
    /// It has not answered.
    Awaited,
    /// It did what it was asked.
    Answered,
    /// It could not.
    Failed,
    /// It is known not to answer any more.
    Away,
}

/// The replicas of a plan and what is known of each.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) plan: ReplicaPlan,
    contacts: SmallVec<[Contact; 3]>,
    failures: Vec<ReplicaFailure>,
    /// Why the last that failed did, and whether all that failed did nothing.
    last_error: Option<ReplicaError>,
    only_refusals: bool,
}

impl Tally {
    /// Nobody has been asked.
    pub(super) fn new(plan: ReplicaPlan) -> Self {
        Self {
            contacts: plan.replicas.iter().map(|_| Contact::Spare).collect(),
            plan,
            failures: Vec::new(),
            last_error: None,
            only_refusals: true,
        }
    }

    /// The replicas in the order of the plan, with what is known of each.
    pub(super) fn contacts(&self) -> impl Iterator<Item = (Replica, Contact)> {
        let replicas = self.plan.replicas.iter().copied();
        replicas.zip(self.contacts.iter().copied())
    }

    fn place(&self, node: NodeId) -> usize {
        let mut replicas = self.plan.replicas.iter();
        replicas
            .position(|replica| replica.node == node)
            .expect("only replicas of the plan answer")
    }

    /// Something is sent to a replica, which is expected to answer.
    pub(super) fn ask(&mut self, node: NodeId) {
        let place = self.place(node);
        self.contacts[place] = Contact::Awaited;
    }

    /// A replica did what it was asked; whether that is news.
    pub(super) fn answered(&mut self, node: NodeId) -> bool {
        self.settle(node, Contact::Answered)
    }

    /// A replica could not do what it was asked; whether that is news.
    pub(super) fn failed(&mut self, node: NodeId, endpoint: IpAddr, error: ReplicaError) -> bool {
        let news = self.settle(node, Contact::Failed);
        if news {
            let reason = error.reason();
            self.failures.push(ReplicaFailure { endpoint, reason });
            self.only_refusals &= !matches!(error, ReplicaError::Failed(..));
            self.last_error = Some(error);
        }
        news
    }

    /// A replica will not answer any more; whether that is news. One that was to be a replica, or is about to be none, may soon
    /// not be waited for: that is heard by [`Self::released`].
    pub(super) fn away(&mut self, node: NodeId) -> bool {
        let mut replicas = self.plan.replicas.iter();
        let asked = replicas.any(|replica| replica.node == node && !replica.pending);
        asked && self.settle(node, Contact::Away)
    }

    /// A node is no member any more: if it was waited for beside the replicas that count, it is not now. Whether that is news.
    pub(super) fn released(&mut self, node: NodeId) -> bool {
        let mut replicas = self.plan.replicas.iter();
        let replica = replicas.find(|replica| replica.node == node && replica.pending);
        let Some(datacenter) = replica.map(|replica| replica.datacenter) else {
            return false;
        };
        let news = self.settle(node, Contact::Away);
        if news {
            self.plan.quota.wait_for_one_less(datacenter);
            self.plan.block_for = self.plan.quota.total();
        }
        news
    }

    fn settle(&mut self, node: NodeId, contact: Contact) -> bool {
        let place = self.place(node);
        let known = &mut self.contacts[place];
        let news =
            *known == Contact::Awaited || *known == Contact::Away && contact != Contact::Away;
        if news {
            *known = contact;
        }
        news
    }

    /// How many replicas did what they were asked.
    pub(super) fn received(&self) -> u32 {
        self.count(|contact| contact == Contact::Answered)
    }

    pub(super) fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    fn count(&self, test: impl Fn(Contact) -> bool) -> u32 {
        self.contacts
            .iter()
            .filter(|contact| test(**contact))
            .count() as u32
    }

    /// Whether the level would be reached if these were all that answer.
    pub(super) fn reaches(&self, test: impl Fn(Contact) -> bool) -> bool {
        let of = |datacenter: u16| {
            self.contacts()
                .filter(|(replica, contact)| replica.datacenter == datacenter && test(*contact))
                .count() as u32
        };
        match &self.plan.quota {
            Quota::All(wanted) => self.count(&test) >= *wanted,
            Quota::Datacenter(here, wanted) => of(*here) >= *wanted,
            Quota::Each(each) => each.iter().all(|(there, wanted)| of(*there) >= *wanted),
        }
    }

    /// Whether the level counts what a replica says.
    pub(super) fn counts(&self, replica: Replica) -> bool {
        match &self.plan.quota {
            Quota::All(_) => true,
            Quota::Datacenter(here, _) => replica.datacenter == *here,
            Quota::Each(each) => each.iter().any(|(there, _)| replica.datacenter == *there),
        }
    }

    /// Whether the level wants more answers of a replica's data centre than were asked for.
    pub(super) fn lacks(&self, replica: Replica) -> bool {
        let open = |contact| matches!(contact, Contact::Answered | Contact::Awaited);
        let asked = self.contacts().filter(|(other, contact)| {
            open(*contact) && (other.datacenter == replica.datacenter || !self.is_split())
        });
        let asked = asked.count() as u32;
        match &self.plan.quota {
            Quota::All(wanted) => asked < *wanted,
            Quota::Datacenter(here, wanted) => replica.datacenter == *here && asked < *wanted,
            Quota::Each(each) => each
                .iter()
                .any(|(there, wanted)| replica.datacenter == *there && asked < *wanted),
        }
    }

    /// Whether the level counts data centres apart.
    fn is_split(&self) -> bool {
        !matches!(self.plan.quota, Quota::All(_))
    }

    /// Whether the level is reached.
    pub(super) fn is_reached(&self) -> bool {
        self.reaches(|contact| contact == Contact::Answered)
    }

    /// What failed, for an error that tells of it. The refusal itself if all that were asked refused, did nothing, and they
    /// are the `whole` of the request.
    pub(super) fn take_failure(
        &mut self,
        whole: bool,
    ) -> Result<(Vec<ReplicaFailure>, String), RequestError> {
        let open = |contact| matches!(contact, Contact::Answered | Contact::Awaited);
        let nothing_done = whole && self.only_refusals && self.count(open) == 0;
        match self.last_error.take().expect("something failed") {
            ReplicaError::Overloaded(text) if nothing_done => Err(RequestError::Overloaded(text)),
            ReplicaError::Invalid(text) if nothing_done => Err(RequestError::Invalid(text)),
            // Drivers send it again, and it is planned anew.
            ReplicaError::Outdated if nothing_done => {
                Err(RequestError::Overloaded(OUTDATED.to_owned()))
            }
            other => {
                let failures = std::mem::take(&mut self.failures);
                Ok((failures, format!(": {}", other.into_text())))
            }
        }
    }
}
