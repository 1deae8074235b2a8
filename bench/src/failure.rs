//! What stops a measurement: a sentence for whoever runs it.

use std::fmt;
use std::path::Path;

/// Why there is no result.
#[derive(Debug)]
pub struct Failure(String);

/// A result, or the sentence that says why there is none.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// With this sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// Of a file.
    pub fn at(path: &Path, error: impl fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }

    /// What was being done when it happened.
    pub fn during(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}
