//! Whether a node keeps its promises: it does, everywhere but in the simulator, which has it break one to see that its checkers
//! notice.
//!
//! What must stay true: only the simulator makes a policy with a defect (`cargo xtask tidy` looks), and where a defect would act the
//! code beside it reads as if there were none.

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
}

impl Policy {
    /// All but one are.
    pub const fn defective(defect: Defect) -> Self {
        Self {
            defect: Some(defect),
        }
    }

    /// Whether a promise is broken in this way.
    #[inline]
    pub fn has(self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }
}
