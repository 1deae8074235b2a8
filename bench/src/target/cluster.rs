//! Several nodes that are one database.

use super::{Cache, Directories, START_LIMIT, Target, start};
use crate::failure::{Failure, Outcome};
use crate::load::Connection;
use cql::frame::ProtocolVersion;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(250);

/// Nodes, each of which joins the first.
pub struct Cluster {
    nodes: Vec<Box<dyn Target>>,
    version: ProtocolVersion,
}

impl Cluster {
    /// Of these nodes, which are asked in this version whether they know each other.
    pub fn new(nodes: Vec<Box<dyn Target>>, version: ProtocolVersion) -> Self {
        assert!(!nodes.is_empty(), "a cluster has nodes");
        Self { nodes, version }
    }

    /// Waits until every node knows all others.
    fn await_each_other(&self) -> Outcome {
        let (began, others) = (Instant::now(), self.nodes.len() - 1);
        for address in self.addresses() {
            while peers(address, self.version)? != others {
                if began.elapsed() > START_LIMIT {
                    return Err(Failure::new(format!("{address} does not know the others")));
                }
                sleep(POLL);
            }
        }
        Ok(())
    }
}

/// How many other nodes one knows.
fn peers(address: SocketAddr, version: ProtocolVersion) -> Outcome<usize> {
    let mut connection = Connection::open(address, version)?;
    Ok(connection.count("SELECT peer FROM system.peers")? as usize)
}

impl Target for Cluster {
    fn title(&self) -> &'static str {
        self.nodes[0].title()
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let nodes = self.nodes.iter();
        nodes.flat_map(|node| node.addresses()).collect()
    }

    fn processes(&self) -> Outcome<Vec<u32>> {
        let mut all = Vec::new();
        for node in &self.nodes {
            all.extend(node.processes()?);
        }
        Ok(all)
    }

    fn wipe(&mut self) -> Outcome {
        self.nodes.iter_mut().try_for_each(|node| node.wipe())
    }

    /// One after the other: Cassandra lets one join at a time.
    fn launch(&mut self, cache: Cache) -> Outcome {
        for node in &mut self.nodes {
            start(node.as_mut(), cache, self.version)?;
        }
        self.await_each_other()
    }

    fn ended(&mut self) -> Option<String> {
        self.nodes.iter_mut().find_map(|node| node.ended())
    }

    fn flush(&mut self) -> Outcome {
        self.nodes.iter_mut().try_for_each(|node| node.flush())
    }

    fn kill(&mut self) -> Outcome {
        self.nodes.iter_mut().try_for_each(|node| node.kill())
    }

    /// Those who joined first.
    fn stop(&mut self) -> Outcome {
        let nodes = self.nodes.iter_mut().rev();
        nodes.map(|node| node.stop()).fold(Ok(()), Result::and)
    }

    fn last_node(&mut self) -> Option<&mut dyn Target> {
        match self.nodes.last_mut() {
            Some(node) => Some(node.as_mut()),
            None => None,
        }
    }

    fn directories(&self) -> Option<Directories> {
        self.nodes[0].directories()
    }
}
