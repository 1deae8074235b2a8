//! `helenus metadata show|recover`: the metadata log of a node that is not running (docs/clusters.md).

use crate::cli::{DataOptions, MetadataAction};
use server::config::{Profile, Sources};
use server::offline::Offline;
use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

/// Does it.
pub fn run(action: &MetadataAction) -> Result<ExitCode, Box<dyn Error>> {
    match action {
        MetadataAction::Show(options) => print!("{}", text(&open(options)?)),
        MetadataAction::Recover(options) => {
            let offline = open(options)?;
            print!("{}", text(&offline));
            offline.recover()?;
            println!(
                "From its next start on this node decides alone, until others are added to it. Nodes whose data is lost are \
                 replaced or removed then; none of those that voted before may be started again with the data it had."
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(options: &DataOptions) -> Result<Offline, Box<dyn Error>> {
    let settings = server::config::load(&Sources {
        profile: Profile::Server,
        file: options.config.clone(),
        data_directory: options.data_dir.clone(),
        ..Sources::default()
    })?;
    Ok(Offline::open(&settings.data_directory)?)
}

fn text(offline: &Offline) -> String {
    let held = offline.held();
    let (term, place) = held.last;
    let mut text = format!(
        "Cluster: {}\nNode: {}\nLast entry: term {term}, place {place}\nDecided: up to place {}, epoch {}\nVoters:\n",
        held.metadata.cluster.name, held.id.0, held.decided, held.metadata.epoch,
    );
    for (voter, member) in &held.voters {
        let place = match member {
            Some(member) => format!(
                "{} ({}, {})",
                member.internode_address, member.location.datacenter, member.location.rack
            ),
            None => "no member as far as is known here".to_owned(),
        };
        let own = if *voter == held.id { ", this node" } else { "" };
        let _ = writeln!(text, "  {}: {place}{own}", voter.0);
    }
    text
}
