//! What a command is: the lines of the table.

use super::parse::Invocation;
use super::report::Outcome;
use server::admin::client::Client;

/// A command.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Its own options.
    pub options: &'static [Opt],
    /// Its arguments, as help shows them.
    pub arguments: &'static str,
    /// How many there must be at least.
    pub at_least: usize,
    /// How many there may be at most.
    pub at_most: usize,
    /// What it does.
    pub run: Run,
}

/// What a command does.
#[derive(Clone, Copy)]
pub enum Run {
    /// It asks the node.
    Do(fn(&Invocation, &Client) -> Outcome),
}

/// An option.
pub struct Opt {
    /// How it is written: the first is its name.
    pub names: &'static [&'static str],
    /// What its value is called, if it has one.
    pub value: Option<&'static str>,
    /// What it does.
    pub about: &'static str,
    /// Why it is refused, if it is.
    pub refused: Option<&'static str>,
}

impl Opt {
    /// The same, refused, and why.
    pub const fn but(self, why: &'static str) -> Self {
        Self {
            refused: Some(why),
            ..self
        }
    }
}

/// An option without a value.
pub const fn flag(names: &'static [&'static str], about: &'static str) -> Opt {
    Opt {
        names,
        value: None,
        about,
        refused: None,
    }
}

/// An option with a value.
pub const fn value(
    names: &'static [&'static str],
    value: &'static str,
    about: &'static str,
) -> Opt {
    Opt {
        names,
        value: Some(value),
        about,
        refused: None,
    }
}

/// An option of Cassandra that cannot mean anything here, and why.
pub const fn refused(names: &'static [&'static str], why: &'static str) -> Opt {
    Opt {
        names,
        value: None,
        about: "Refused here",
        refused: Some(why),
    }
}

/// Options of every command.
pub const GLOBAL: &[Opt] = &[
    value(
        &["--host", "-h"],
        "<host>",
        "Node hostname or ip address (default 127.0.0.1)",
    ),
    value(
        &["--port", "-p"],
        "<port>",
        "Port of the admin API (default 7199)",
    ),
    value(&["--username", "-u"], "<username>", "Role to log in as"),
    value(&["--password", "-pw"], "<password>", "Its password"),
    value(
        &["--password-file", "-pwf"],
        "<path>",
        "File of lines `<username> <password>`",
    ),
    flag(
        &["--print-port", "-pp"],
        "Show nodes with their ports, `address:port`",
    ),
    flag(&["--json"], "Show the admin API's answer as JSON"),
];

/// As many arguments as anyone likes.
pub const ANY: usize = usize::MAX;
