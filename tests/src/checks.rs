//! What a black-box check gives: its name and, if it failed, why.

/// A finished check.
#[derive(Debug)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// The reason of a failure.
    pub outcome: Result<(), String>,
}

impl Check {
    /// Runs a check.
    pub fn run(name: &str, check: impl FnOnce() -> Result<(), String>) -> Self {
        Self {
            name: name.to_owned(),
            outcome: check(),
        }
    }
}

/// An error if `holds` is false.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
