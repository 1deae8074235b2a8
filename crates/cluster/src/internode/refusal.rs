//! Why a node does not talk to another.

use std::fmt;

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// The clusters have different names. The operator's to put right.
    OtherClusterName,
    /// The names agree and the clusters are different ones all the same. The operator's to put right.
    OtherClusterId,
    /// The versions have none in common: the upgrade skipped one. The operator's to put right.
    NoCommonVersion,
    /// A living member has the address and is somebody else. The operator's to put right.
    AddressTaken,
    /// It was a member and was removed. The operator's to put right: its disk is of no use here any more.
    Removed,
    /// The node is starting. To be tried again.
    NotReady,
    /// It is the node itself, reached by another name.
    Yourself,
    /// Connections from there are to be encrypted, and this one is not. The operator's to put right.
    EncryptionRequired,
    /// A reason of a newer version.
    Other(u8),
}

impl RefusalReason {
    const KNOWN: [Self; 8] = [
        Self::OtherClusterName,
        Self::OtherClusterId,
        Self::NoCommonVersion,
        Self::AddressTaken,
        Self::Removed,
        Self::NotReady,
        Self::Yourself,
        Self::EncryptionRequired,
    ];

    /// As it is written in an answer; never 0.
    pub fn code(self) -> u8 {
        match self {
            Self::OtherClusterName => 1,
            Self::OtherClusterId => 2,
            Self::NoCommonVersion => 3,
            Self::AddressTaken => 4,
            Self::Removed => 5,
            Self::NotReady => 6,
            Self::Yourself => 7,
            Self::EncryptionRequired => 8,
            Self::Other(code) => code,
        }
    }

    /// The reason of a code.
    pub fn from_code(code: u8) -> Self {
        let known = Self::KNOWN.into_iter().find(|reason| reason.code() == code);
        known.unwrap_or(Self::Other(code))
    }

    /// Whether trying again is likely to help.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::NotReady)
    }
}

/// A refusal, with what an operator needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// Why, in words, with the names and addresses it is about.
    pub text: String,
}

impl Refusal {
    /// A refusal for this reason.
    pub fn new(reason: RefusalReason, text: impl Into<String>) -> Self {
        Self {
            reason,
            text: text.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}
