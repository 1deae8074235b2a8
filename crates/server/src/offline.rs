//! The metadata log of a node that is not running: what it holds, and how the node goes on alone when a majority of the voters is
//! lost for good (docs/clusters.md).
//!
//! What must stay true: the directory is locked meanwhile, so that no process runs on it; nothing is written while another voter
//! can be reached; the file is replaced as a whole, or not at all.

use crate::disk::Disk;
use crate::lock::{DirectoryLock, LockError};
use model::env::IoQueue;
use node::metadata_log::recover::{Held, RecoverError};
use node::shard::METADATA_IO_SPACE;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use storage::{MetaLog, StoreError};

/// Name of the log in the data directory.
const FILE: &str = "metadata.log";
/// How long a voter may take to accept a connection.
const REACH: Duration = Duration::from_secs(3);
/// The one replacement's ticket.
const TICKET: u64 = 1;

/// Why the log is not shown, or not recovered.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A process runs on the directory.
    #[error(transparent)]
    Directory(#[from] LockError),
    /// There is no such log.
    #[error("there is no {FILE} in {0}")]
    NoLog(String),
    /// The file cannot be read or written.
    #[error("the metadata log: {0}")]
    Disk(#[from] StoreError),
    /// It says nothing that could be recovered.
    #[error(transparent)]
    Log(#[from] RecoverError),
    /// A voter is there.
    #[error(
        "voter {number} at {address} answers: with a majority of the voters nothing is to be recovered, and without one the \
         others are stopped first, so that the one that knows most can be chosen"
    )]
    VoterAnswers {
        /// Its number.
        number: u32,
        /// Where it was reached.
        address: SocketAddr,
    },
}

/// The log of a directory that is not in use.
pub struct Offline {
    _lock: DirectoryLock,
    disk: Disk,
    log: MetaLog,
    io: IoQueue,
    held: Held,
}

impl Offline {
    /// Reads it.
    pub fn open(directory: &Path) -> Result<Self, OfflineError> {
        // Neither is made where there is none.
        if !directory.join(FILE).is_file() {
            return Err(OfflineError::NoLog(directory.display().to_string()));
        }
        let lock = DirectoryLock::take(directory)?;
        let disk = Disk::new(directory);
        let mut io = IoQueue::default();
        let mut log = MetaLog::open(METADATA_IO_SPACE, &mut io);
        settle(&disk, &mut log, &mut io);
        if let Some(error) = log.error() {
            return Err(error.clone().into());
        }
        let held = Held::read(&log.take_entries())?;
        Ok(Self {
            _lock: lock,
            disk,
            log,
            io,
            held,
        })
    }

    /// What it holds.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Has this node vote alone from its next start on; refused while another voter accepts connections.
    pub fn recover(mut self) -> Result<(), OfflineError> {
        let entries = self.held.recovered()?;
        for (voter, member) in &self.held.voters {
            let Some(member) = member.as_ref().filter(|_| *voter != self.held.id) else {
                continue;
            };
            let address = member.internode_address;
            if answers(address) {
                return Err(OfflineError::VoterAnswers {
                    number: voter.0,
                    address,
                });
            }
        }
        self.log.replace(entries, TICKET, &mut self.io);
        settle(&self.disk, &mut self.log, &mut self.io);
        if let Some((_, error)) = self.log.failed_tickets().pop() {
            return Err(error.into());
        }
        assert_eq!(self.log.durable_tickets(), [TICKET], "it is written");
        Ok(())
    }
}

/// Whether somebody accepts connections there. Whether nobody does cannot be known of a machine that cannot be reached.
fn answers(address: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&address, REACH) {
        Ok(_) => true,
        // A machine that is up and has no such process says so; a full queue of connections says that there is one.
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Carries out what the log asks of the disk, until it asks for nothing more.
fn settle(disk: &Disk, log: &mut MetaLog, io: &mut IoQueue) {
    loop {
        let requests: Vec<_> = io.drain().collect();
        if requests.is_empty() {
            return;
        }
        for (tag, request) in requests {
            let outcome = disk.execute(0, request);
            log.on_io(tag, outcome, io);
        }
    }
}

#[cfg(test)]
mod tests;
