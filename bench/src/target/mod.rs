//! The servers that are measured, each started, flushed, killed and stopped in its own way.
//!
//! Every one is stopped by its own process id, also when a measurement fails: a target stops its server on drop.

mod cassandra;
mod cluster;
mod helenus;
mod null;
mod running;

pub use cassandra::Cassandra;
pub use cluster::Cluster;
pub use helenus::Helenus;
pub use null::Null;
pub use running::Running;

use crate::failure::{Failure, Outcome};
use crate::load::Connection;
use cql::frame::ProtocolVersion;
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_mins(4);
const STOP_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(5);

/// How much of the data the block cache can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// All of it.
    Ample,
    /// A quarter of one table.
    Scarce {
        /// Its size.
        bytes: u64,
    },
}

/// A server that can be measured.
pub trait Target {
    /// As the table writes it.
    fn title(&self) -> &'static str;
    /// Where CQL answers, on each of its nodes.
    fn addresses(&self) -> Vec<SocketAddr>;
    /// Ids of its processes while they run.
    fn processes(&self) -> Outcome<Vec<u32>>;
    /// Deletes its data.
    fn wipe(&mut self) -> Outcome;
    /// Launches it; [`start`] waits for it.
    fn launch(&mut self, cache: Cache) -> Outcome;
    /// Whether it ended instead of answering, and why.
    fn ended(&mut self) -> Option<String>;
    /// Brings everything written so far into SSTables.
    fn flush(&mut self) -> Outcome;
    /// Ends it with no warning.
    fn kill(&mut self) -> Outcome;
    /// Ends it as an operator would.
    fn stop(&mut self) -> Outcome;
    /// The node that joined last, if there are several.
    fn last_node(&mut self) -> Option<&mut dyn Target> {
        None
    }
    /// Directories of the SSTables and of the commit log of its first node; `None` for what keeps nothing.
    fn directories(&self) -> Option<Directories>;
}

/// Where a server keeps what.
#[derive(Debug, Clone)]
pub struct Directories {
    /// Tables.
    pub data: PathBuf,
    /// Commit log.
    pub log: PathBuf,
}

/// Launches a server and waits until it answers a CQL statement; how long that took.
pub fn start(target: &mut dyn Target, cache: Cache, version: ProtocolVersion) -> Outcome<Duration> {
    let began = Instant::now();
    target.launch(cache)?;
    while began.elapsed() < START_LIMIT {
        let addresses = target.addresses();
        if addresses
            .into_iter()
            .all(|address| answers(address, version))
        {
            return Ok(began.elapsed());
        }
        if let Some(why) = target.ended() {
            return Err(Failure::new(format!(
                "{} ended at its start: {why}",
                target.title()
            )));
        }
        sleep(POLL);
    }
    Err(Failure::new(format!(
        "{} gives no CQL answer within {START_LIMIT:?}",
        target.title()
    )))
}

fn answers(address: SocketAddr, version: ProtocolVersion) -> bool {
    Connection::open(address, version)
        .and_then(|mut connection| connection.query("SELECT release_version FROM system.local"))
        .is_ok()
}

/// Fails if somebody serves the address already: its figures would be taken for the target's.
pub fn must_be_free(address: SocketAddr) -> Outcome {
    match std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        Ok(_) => Err(Failure::new(format!("something else answers on {address}"))),
        Err(_) => Ok(()),
    }
}

/// Sends a signal to a process of ours.
fn signal(id: u32, signal: Signal) -> Outcome {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    let id = id.ok_or_else(|| Failure::new("no process id"))?;
    kill_process(id, signal).map_err(|error| Failure::new(format!("kill: {error}")))
}

/// SIGTERM, and SIGKILL if that takes too long.
fn stop_child(child: &mut Child) -> Outcome<ExitStatus> {
    signal(child.id(), Signal::TERM)?;
    let began = Instant::now();
    while began.elapsed() < STOP_LIMIT {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        sleep(POLL);
    }
    child.kill()?;
    Ok(child.wait()?)
}
