//! What kinds of messages there are: each has connections of its own, so that none waits behind another kind.

use std::fmt;

/// A class of messages, in the order in which they matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Gossip, pings, acknowledgements, Raft: late ones make a healthy node look dead.
    Urgent,
    /// Mutations, reads and their answers.
    Small,
    /// Streams and catch-up: many bytes that nobody waits for.
    Bulk,
}

impl Class {
    /// Every class, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Small, Self::Bulk];

    /// As it is written in a handshake.
    pub fn code(self) -> u8 {
        match self {
            Self::Urgent => 1,
            Self::Small => 2,
            Self::Bulk => 3,
        }
    }

    /// The class of a code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }

    /// As metrics and logs name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Small => "small",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
