//! The commands: a file for each family, each with its part of the table.

mod changes;
mod compaction;
mod control;
mod describe;
mod detector;
mod gossip;
mod histograms;
mod hot;
mod info;
mod netstats;
mod not_yet;
mod ring;
mod snapshots;
mod status;
mod stopping;
mod tables;
mod tpstats;
mod work;

use super::spec::Command;

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Command> {
    let families = [
        changes::COMMANDS,
        compaction::COMMANDS,
        control::COMMANDS,
        describe::COMMANDS,
        detector::COMMANDS,
        gossip::COMMANDS,
        histograms::COMMANDS,
        hot::COMMANDS,
        info::COMMANDS,
        netstats::COMMANDS,
        not_yet::COMMANDS,
        ring::COMMANDS,
        snapshots::COMMANDS,
        status::COMMANDS,
        stopping::COMMANDS,
        tables::COMMANDS,
        tpstats::COMMANDS,
        work::COMMANDS,
    ];
    families.into_iter().flatten()
}

/// The command of this name.
pub fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name == name)
}
