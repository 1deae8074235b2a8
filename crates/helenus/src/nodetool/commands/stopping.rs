//! `safetostop`: whether this node can be stopped now without anybody noticing.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Outcome, Report};
use crate::nodetool::spec::{Command, Run};
use server::admin::answer::StopCheck;
use server::admin::client::Client;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "safetostop", about: "Tells whether this node can be stopped now; exit code 1 and why if it should not", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(check) },
];

fn check(_: &Invocation, client: &Client) -> Outcome {
    let check: StopCheck = client.ask("GET", "/api/v1/safe-to-stop", &[])?;
    let mut text = String::new();
    if check.safe {
        text.push_str("yes: every range keeps a quorum of its replicas\n");
    }
    for reason in &check.reasons {
        let _ = writeln!(text, "no: {reason}");
    }
    Report::yes_or_no(check.safe, &check, text)
}
