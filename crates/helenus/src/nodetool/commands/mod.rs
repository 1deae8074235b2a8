//! The commands: a file for each family, each with its part of the table.

mod changes;
mod compaction;
mod control;
mod convergence;
mod describe;
mod detector;
mod gossip;
mod handoff;
mod histograms;
mod hot;
mod info;
mod netstats;
mod refresh;
mod repair;
mod ring;
mod snapshots;
mod status;
mod stopping;
mod tables;
mod tpstats;
mod verify;
mod work;

use super::spec::Command;

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Command> {
    let families = [
        changes::COMMANDS,
        compaction::COMMANDS,
        control::COMMANDS,
        convergence::COMMANDS,
        describe::COMMANDS,
        detector::COMMANDS,
        gossip::COMMANDS,
        handoff::COMMANDS,
        histograms::COMMANDS,
        hot::COMMANDS,
        info::COMMANDS,
        netstats::COMMANDS,
        refresh::COMMANDS,
        repair::COMMANDS,
        ring::COMMANDS,
        snapshots::COMMANDS,
        status::COMMANDS,
        stopping::COMMANDS,
        tables::COMMANDS,
        tpstats::COMMANDS,
        verify::COMMANDS,
        work::COMMANDS,
    ];
    families.into_iter().flatten()
}

/// The command of this name.
pub fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name == name)
}
