//! `helenus dev --nodes 3`: several nodes in one process, on 127.0.0.1, 127.0.0.2, …, to try out on one machine what a cluster does.
//!
//! Each node is whole: it has threads, a data directory and ports of its own, and talks to the others over sockets. What the process may
//! use is divided among them. All share the process's end: a signal drains each, and one that cannot start ends all.

use crate::banner;
use crate::cli::DevOptions;
use server::config::{ConfigErrors, Profile, Settings, Sources};
use server::process::{Serving, StartError};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Instant;

/// Where a node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    datacenter: String,
    rack: String,
}

/// Why there is no such cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The topology cannot be read.
    #[error("--topology `{0}` is not of the form dc1:rack1,rack2;dc2:rack1")]
    Topology(String),
    /// More nodes than loopback addresses that are used, or none.
    #[error("--nodes must be from 1 to {MAX_NODES}")]
    Count,
    /// What is configured does not do.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A node cannot start.
    #[error("node {number}: {error}")]
    Start {
        /// Which, from 1.
        number: usize,
        /// Why.
        error: StartError,
    },
}

/// Nodes are on 127.0.0.1 to 127.0.0.254.
const MAX_NODES: usize = 254;
/// A node with less does not start.
const MIN_NODE_MEMORY_MIB: u64 = 64;

/// The racks of a topology, one after the other.
fn parse_topology(text: &str) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    for part in text.split(';') {
        let (datacenter, racks) = part.trim().split_once(':')?;
        for rack in racks.split(',') {
            let (datacenter, rack) = (datacenter.trim(), rack.trim());
            if datacenter.is_empty() || rack.is_empty() {
                return None;
            }
            places.push(Place {
                datacenter: datacenter.to_owned(),
                rack: rack.to_owned(),
            });
        }
    }
    Some(places)
}

/// Where each node stands: as many nodes as the topology has racks, or as many as are asked for, in turn.
fn places(options: &DevOptions) -> Result<Vec<Place>, ClusterError> {
    let racks = match &options.topology {
        None => vec![Place {
            datacenter: "datacenter1".to_owned(),
            rack: "rack1".to_owned(),
        }],
        Some(text) => parse_topology(text).ok_or_else(|| ClusterError::Topology(text.clone()))?,
    };
    let count = options.nodes.unwrap_or(racks.len());
    if !(1..=MAX_NODES).contains(&count) {
        return Err(ClusterError::Count);
    }
    Ok(racks.into_iter().cycle().take(count).collect())
}

/// The settings of all nodes.
fn settings(options: &DevOptions) -> Result<Vec<Settings>, ClusterError> {
    let places = places(options)?;
    let base = options
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from("helenus-data"));
    let whole = server::config::load(&Sources {
        profile: Profile::Dev,
        overrides: options.set.clone(),
        memory: options.memory.clone(),
        ..Sources::default()
    })?;
    let count = places.len();
    let memory = (whole.memory_bytes >> 20) / count as u64;
    let shards = (usize::from(whole.shards) / count).max(1);
    let node = |(index, place): (usize, Place)| {
        let number = index + 1;
        let address = format!("127.0.0.{number}");
        let own = [
            format!("rpc_address={address}"),
            format!("listen_address={address}"),
            format!("helenus_admin_address={address}:7199"),
            format!("helenus_dc={}", place.datacenter),
            format!("helenus_rack={}", place.rack),
            format!("helenus_shards={shards}"),
        ];
        server::config::load(&Sources {
            profile: Profile::Dev,
            overrides: own.into_iter().chain(options.set.iter().cloned()).collect(),
            data_directory: Some(base.join(format!("node{number}"))),
            seeds: Some("127.0.0.1".to_owned()),
            memory: Some(format!("{}MiB", memory.max(MIN_NODE_MEMORY_MIB))),
            ..Sources::default()
        })
    };
    let nodes = places.into_iter().enumerate().map(node);
    Ok(nodes.collect::<Result<_, _>>()?)
}

enum Told {
    Serves(usize, Serving),
    Ended(usize, Result<(), StartError>),
}

/// Runs the nodes until a signal ends them.
pub fn run(options: &DevOptions, started: Instant) -> Result<ExitCode, ClusterError> {
    let nodes = settings(options)?;
    crate::log::start();
    let (tell, told) = mpsc::channel();
    for (index, settings) in nodes.iter().cloned().enumerate() {
        let tell = tell.clone();
        std::thread::spawn(move || {
            let _node = tracing::info_span!("node", number = index + 1).entered();
            for warning in &settings.warnings {
                tracing::warn!("{warning}");
            }
            let ended = server::node::run(&settings, |serving| {
                // Whoever waited has ended.
                let _ = tell.send(Told::Serves(index, serving));
            });
            let _ = tell.send(Told::Ended(index, ended));
        });
    }
    drop(tell);
    let mut serving: Vec<(usize, Serving)> = Vec::new();
    for told in told {
        match told {
            Told::Serves(index, node) => {
                serving.push((index, node));
                if serving.len() == nodes.len() {
                    serving.sort_by_key(|(index, _)| *index);
                    let addresses = serving
                        .iter()
                        .map(|(index, node)| (&nodes[*index], &node.addresses));
                    print!("{}", banner::of_cluster(addresses, started.elapsed()));
                }
            }
            Told::Ended(_, Ok(())) => {}
            // The others recover from their logs, as after a crash.
            Told::Ended(index, Err(error)) => {
                let number = index + 1;
                return Err(ClusterError::Start { number, error });
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(nodes: Option<usize>, topology: Option<&str>) -> Option<Vec<String>> {
        let options = DevOptions {
            nodes,
            topology: topology.map(str::to_owned),
            ..DevOptions::default()
        };
        let places = places(&options).ok()?;
        let shown = places
            .iter()
            .map(|place| format!("{}/{}", place.datacenter, place.rack));
        Some(shown.collect())
    }

    #[test]
    fn nodes_stand_in_the_racks_they_are_given() {
        let one = "datacenter1/rack1".to_owned();
        assert_eq!(stand(Some(2), None), Some(vec![one.clone(), one]));
        let topology = Some("dc1:r1,r2; dc2:r1");
        let racks = ["dc1/r1", "dc1/r2", "dc2/r1"].map(str::to_owned);
        assert_eq!(stand(None, topology), Some(racks.to_vec()));
        let four = racks.iter().chain(&racks[..1]).cloned().collect();
        assert_eq!(stand(Some(4), topology), Some(four));
        assert_eq!(stand(Some(0), None), None);
        for wrong in ["dc1", "dc1:", ":r1", "dc1:r1;;dc2:r1", "dc1:r1,,r2"] {
            assert_eq!(stand(None, Some(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn nodes_share_what_the_process_may_use() {
        let options = DevOptions {
            nodes: Some(3),
            memory: Some("3GiB".to_owned()),
            ..DevOptions::default()
        };
        let nodes = settings(&options).expect("it can be configured");
        assert_eq!(nodes.len(), 3);
        for (index, node) in nodes.iter().enumerate() {
            assert_eq!(node.memory_bytes, 1 << 30);
            assert!(node.internode.enabled);
            assert_eq!(
                node.listen_address.to_string(),
                format!("127.0.0.{}", index + 1)
            );
        }
    }
}
