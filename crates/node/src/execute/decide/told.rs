//! What whoever waits for a decision is told when it did not come.

use super::{Decision, Purpose};
use model::error::{RequestError, WriteType};

impl Decision {
    /// What whoever waits is told when the decision does not come.
    pub(super) fn on_timeout(&self) -> RequestError {
        let required = self.participants.required() as u32;
        let received = (self.answered.len() as u32).min(required.saturating_sub(1));
        let consistency = self.question.level;
        match (&self.purpose, &self.commit) {
            (Purpose::Read, _) => RequestError::ReadTimeout {
                consistency,
                received,
                block_for: required,
                data_present: false,
            },
            (Purpose::Statement(_), Some((_, commit))) => commit.on_timeout(),
            (Purpose::Statement(_), None) => RequestError::WriteTimeout {
                consistency,
                received,
                block_for: required,
                write_type: WriteType::Cas,
                contentions: Some(self.contentions),
            },
        }
    }

    /// What whoever waits is told: of an update that was proposed nobody may say that it was not carried out.
    pub(super) fn as_far_as_known(&self, error: RequestError) -> RequestError {
        let open = matches!(
            error,
            RequestError::WriteTimeout { .. } | RequestError::CasWriteUnknown { .. }
        );
        if self.proposer.is_proposed() && !open {
            return self.on_timeout();
        }
        error
    }
}
