//! What a command ends with.

use serde::Serialize;
use serde_json::Value;
use server::admin::answer::Done;
use server::admin::client::AskError;

/// What is shown, and the exit code.
pub struct Report {
    /// With `--json`.
    pub json: Value,
    /// Without.
    pub text: String,
    /// 0, or 1 where the answer is no.
    pub code: u8,
}

impl Report {
    /// An answer of the API, and the text made of it.
    pub fn new(answer: &impl Serialize, text: String) -> Outcome {
        Ok(Self {
            json: json(answer)?,
            text,
            code: 0,
        })
    }

    /// It is done: there is nothing to show.
    pub fn done(done: &Done) -> Outcome {
        Self::new(done, String::new())
    }

    /// An answer of yes or no, for scripts.
    pub fn yes_or_no(yes: bool, answer: &impl Serialize, text: String) -> Outcome {
        Ok(Self {
            json: json(answer)?,
            text,
            code: u8::from(!yes),
        })
    }
}

fn json(answer: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(|error| Failure {
        text: error.to_string(),
        code: 2,
    })
}

/// Why there is no report.
pub struct Failure {
    /// For standard error.
    pub text: String,
    /// Exit code.
    pub code: u8,
}

impl Failure {
    /// The command line makes no sense.
    pub fn usage(text: &str) -> Self {
        Self {
            text: format!("nodetool: {text}\nSee 'nodetool help' or 'nodetool help <command>'."),
            code: 1,
        }
    }
}

impl Failure {
    /// A refusal that names a table that is not there: some of Cassandra's commands have it fail, and do not call it wrong usage.
    pub fn unknown_table(error: AskError) -> Self {
        match error {
            AskError::Refused { status: 400, text } if text.starts_with("Unknown keyspace/cf") => {
                Self {
                    text: format!("error: {text}"),
                    code: 2,
                }
            }
            error => error.into(),
        }
    }

    /// A refusal that names a keyspace that is not there, in the words of commands that show the ring.
    pub fn unknown_keyspace(error: AskError, keyspace: Option<&str>) -> Self {
        match error {
            AskError::Refused { status: 400, text } if text.starts_with("Keyspace [") => {
                let keyspace = keyspace.unwrap_or_default();
                Self {
                    text: format!("\nError: The keyspace {keyspace}, does not exist"),
                    code: 1,
                }
            }
            error => error.into(),
        }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Connect { .. } => Self {
                text: format!("nodetool: {error}."),
                code: 1,
            },
            AskError::Refused { status: 400, .. } => Self::usage(&error.to_string()),
            _ => Self {
                text: format!("error: {error}"),
                code: 2,
            },
        }
    }
}

/// How a command ends.
pub type Outcome = Result<Report, Failure>;
