//! Protocol versions: which are spoken, and how each differs on the wire.
//!
//! 3, 4 and 5 are spoken; 6 is Cassandra's beta, on the wire the same as 5, and only for clients that set the
//! `USE_BETA` flag. Everything else is turned down with the words that drivers look for when they step down to a lower
//! version (see [`super::rejection`]).

use std::fmt;

/// A version of the native protocol that this server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum ProtocolVersion {
    V3 = 3,
    V4 = 4,
    V5 = 5,
    /// `6/v6-beta`.
    V6 = 6,
}

impl ProtocolVersion {
    /// Every version, lowest first.
    pub const ALL: [Self; 4] = [Self::V3, Self::V4, Self::V5, Self::V6];
    /// The highest version that is not beta; errors about unreadable headers are sent in it.
    pub const CURRENT: Self = Self::V5;

    /// The version with this number (the header's first byte without the direction bit).
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| *version as u8 == number)
    }

    /// Whether a client must opt in with the `USE_BETA` flag.
    pub fn is_beta(self) -> bool {
        self == Self::V6
    }

    /// Whether frames travel in checksummed segments once STARTUP is answered.
    pub fn has_segments(self) -> bool {
        self >= Self::V5
    }

    /// As SUPPORTED and error messages write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V3 => "3/v3",
            Self::V4 => "4/v4",
            Self::V5 => "5/v5",
            Self::V6 => "6/v6-beta",
        }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
