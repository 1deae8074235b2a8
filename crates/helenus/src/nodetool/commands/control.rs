//! What a running node can be told: clients let in, traces, log levels.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Failure, Outcome, Report};
use crate::nodetool::spec::{Command, Run};
use crate::nodetool::units::java;
use server::admin::answer::{Done, LogLevels, Native, TraceProbability};
use server::admin::client::Client;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "statusbinary", about: "Status of native transport (binary protocol)", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(status_binary) },
    Command { name: "enablebinary", about: "Reenable native transport (binary protocol)", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(enable_binary) },
    Command { name: "disablebinary", about: "Disable native transport (binary protocol)", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(disable_binary) },
    Command { name: "gettraceprobability", about: "Print the current trace probability value", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(trace_probability) },
    Command { name: "settraceprobability", about: "Sets the probability for tracing any given request to value. 0 disables, 1 enables for all requests, 0 is the default", options: &[], arguments: "<value>", at_least: 1, at_most: 1, run: Run::Do(set_trace_probability) },
    Command { name: "getlogginglevels", about: "Get the runtime logging levels", options: &[], arguments: "", at_least: 0, at_most: 0, run: Run::Do(levels) },
    Command { name: "setlogginglevel", about: "Set the log level threshold for a given module, or for all", options: &[], arguments: "[<module> <level>]", at_least: 0, at_most: 2, run: Run::Do(set_level) },
];

const NATIVE: &str = "/api/v1/native";

fn status_binary(_: &Invocation, client: &Client) -> Outcome {
    let native: Native = client.ask("GET", NATIVE, &[])?;
    let text = if native.running {
        "running\n"
    } else {
        "not running\n"
    };
    Report::new(&native, text.to_owned())
}

fn enable_binary(_: &Invocation, client: &Client) -> Outcome {
    set_native(client, "true")
}

fn disable_binary(_: &Invocation, client: &Client) -> Outcome {
    set_native(client, "false")
}

fn set_native(client: &Client, running: &str) -> Outcome {
    let native: Native = client.ask("PUT", NATIVE, &[("running", running)])?;
    Report::new(&native, String::new())
}

fn trace_probability(_: &Invocation, client: &Client) -> Outcome {
    let probability: TraceProbability = client.ask("GET", "/api/v1/trace-probability", &[])?;
    let text = format!("Current trace probability: {}\n", java(probability.value));
    Report::new(&probability, text)
}

fn set_trace_probability(invocation: &Invocation, client: &Client) -> Outcome {
    let value = invocation.argument(0).unwrap_or_default();
    if value.parse::<f64>().is_err() {
        let text = format!("trace_probability: can not convert \"{value}\" to a Double");
        return Err(Failure::usage(&text));
    }
    let done: Done = client.ask("PUT", "/api/v1/trace-probability", &[("value", value)])?;
    Report::done(&done)
}

fn levels(_: &Invocation, client: &Client) -> Outcome {
    let levels: LogLevels = client.ask("GET", "/api/v1/logging", &[])?;
    let mut text = format!("\n{:<50}{:>10}\n", "Logger Name", "Log Level");
    for (module, level) in &levels.levels {
        let name = if module == "root" { "ROOT" } else { module };
        let _ = writeln!(text, "{name:<50}{level:>10}");
    }
    Report::new(&levels, text)
}

fn set_level(invocation: &Invocation, client: &Client) -> Outcome {
    let names = ["module", "level"];
    let given = names
        .into_iter()
        .zip(invocation.arguments.iter().map(String::as_str));
    let query: Vec<(&str, &str)> = given.collect();
    let levels: LogLevels = client.ask("PUT", "/api/v1/logging", &query)?;
    Report::new(&levels, String::new())
}
