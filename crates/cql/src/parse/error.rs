//! The one error of the parser, worded as Cassandra words it.

use std::fmt;

/// The text is not CQL. Goes to the client as error 0x2000; whoever wrote the statement must act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The whole message, with the place if there is one.
    pub message: String,
    /// Line of the offending text, from 1; 0 at the end of the text or where a message names no place.
    pub line: u32,
    /// Column of the offending text, from 0, in UTF-16 units; -1 at the end of the text.
    pub column: i32,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}

impl SyntaxError {
    /// An error whose message names no place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            line: 0,
            column: -1,
        }
    }
}
