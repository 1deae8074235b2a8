//! `nodetool help`.

use super::commands;
use super::spec::{Command, GLOBAL, Opt};
use std::fmt::Write;

/// All commands.
pub fn overview() -> String {
    let mut text = "usage: nodetool".to_owned();
    for option in GLOBAL {
        let _ = write!(text, " [{}]", names(option));
    }
    text.push_str(" <command> [<args>]\n\nThe most commonly used nodetool commands are:\n");
    let mut all: Vec<&Command> = commands::all().collect();
    all.sort_unstable_by_key(|command| command.name);
    let width = all
        .iter()
        .map(|command| command.name.len())
        .max()
        .unwrap_or(0);
    for command in all {
        let _ = writeln!(text, "    {:width$}   {}", command.name, command.about);
    }
    text.push_str(
        "\nSee 'nodetool help <command>' for more information on a specific command.\n\n",
    );
    text
}

/// One command.
pub fn of(command: &Command) -> String {
    let mut text = format!(
        "NAME\n        nodetool {} - {}\n",
        command.name, command.about
    );
    let _ = write!(
        text,
        "\nSYNOPSIS\n        nodetool [<options of all commands>] {}",
        command.name
    );
    for option in command
        .options
        .iter()
        .filter(|option| option.refused.is_none())
    {
        let _ = write!(text, " [{}]", names(option));
    }
    let _ = writeln!(text, " {}\n\nOPTIONS", command.arguments);
    for option in command.options.iter().chain(GLOBAL) {
        let about = option.refused.unwrap_or(option.about);
        let refused = if option.refused.is_some() {
            "Not supported: "
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "        {}\n            {refused}{about}\n",
            names(option)
        );
    }
    text
}

fn names(option: &Opt) -> String {
    let value = option.value.map(|value| format!(" {value}"));
    let value = value.unwrap_or_default();
    let mut names: Vec<String> = option
        .names
        .iter()
        .map(|name| format!("{name}{value}"))
        .collect();
    names.reverse();
    names.join(" | ")
}
