//! Whether a node keeps its promises: it does, everywhere but in the simulator, which has it break one to see that its checkers
//! notice.
//!
//! What must stay true: only the simulator makes a policy with a defect, only a node made to be measured one without tracking (`cargo
//! xtask tidy` looks), and where a defect would act the code beside it reads as if there were none.

/// A promise that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// A start is not counted: its ids of mutations are those of the start before it.
    BootRepeated,
    /// Others are told that this node holds what is on its way to the disk.
    UnsyncedTold,
    /// Tombstones are purged however young they are.
    AgeIgnored,
    /// Tombstones are purged that other replicas may lack.
    ProofIgnored,
    /// A node that hears nobody, because it stood still or was cut off, goes on trusting itself.
    SilenceTrusted,
    /// What is given away of the journal is not written down as owed.
    DebtForgotten,
    /// What an earlier coordinator left undecided is not finished.
    UnfinishedIgnored,
}

/// How promises are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    defect: Option<Defect>,
    is_untracked: bool,
}

impl Policy {
    /// All but one are.
    pub const fn defective(defect: Defect) -> Self {
        Self {
            defect: Some(defect),
            is_untracked: false,
        }
    }

    /// Writes get no ids, and nobody learns what others lack: what tracking costs is the difference to such a node. Nothing that
    /// is promised of replicas holds.
    pub const fn untracked() -> Self {
        Self {
            defect: None,
            is_untracked: true,
        }
    }

    /// Whether mutations are tracked.
    #[inline]
    pub fn tracks(self) -> bool {
        !self.is_untracked
    }

    /// Whether a promise is broken in this way.
    #[inline]
    pub fn has(self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }
}
