//! `helenus nodetool …`, also when the binary is called by the name `nodetool`: what operators of Cassandra have in their
//! fingers and scripts, on the admin API of one node.
//!
//! A command is a line of a table ([`spec::Command`]): its name, options, arguments and the function that carries it out, which asks the
//! API and makes a [`report::Report`], shown as text in Cassandra's format or, with `--json`, as the API's own answer.
//!
//! What must stay true: an option that cannot mean anything here is refused and says why, never ignored. Exit codes: 0 done
//! (or yes), 1 not understood, not connected (or no), 2 the node refused or failed.

mod commands;
mod help;
mod parse;
mod report;
mod spec;
mod table;
mod units;

use parse::{Invocation, Wish, parse};
use report::Failure;
use server::admin::client::Client;
use spec::Run;
use std::io::Write;
use std::process::ExitCode;

/// Carries out a command line without the program's name.
pub fn run(arguments: &[String]) -> ExitCode {
    let ended = match parse(arguments) {
        Ok(Wish::Help(text)) => Ok((text, 0)),
        Ok(Wish::Command(invocation)) => carry_out(&invocation),
        Err(text) => Err(Failure::usage(&text)),
    };
    match ended {
        Ok((text, code)) => {
            // Whoever reads may have closed the pipe: then nobody wants the rest.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(code)
        }
        Err(failure) => {
            eprintln!("{}", failure.text);
            ExitCode::from(failure.code)
        }
    }
}

fn carry_out(invocation: &Invocation) -> Result<(String, u8), Failure> {
    let command = invocation.command;
    let Run::Do(run) = command.run;
    let credentials = invocation.credentials()?;
    let credentials = credentials.as_ref();
    let credentials = credentials.map(|(user, password)| (user.as_str(), password.as_str()));
    let client = Client::new(&invocation.host, invocation.port, credentials);
    let report = run(invocation, &client)?;
    let text = if invocation.json {
        format!("{:#}\n", report.json)
    } else {
        report.text
    };
    Ok((text, report.code))
}
