//! Takes connections and hands each to a shard.
//!
//! On the ordinary port the shard with the fewest connections gets it; on the shard-aware port the client's source port
//! modulo the number of shards says which.

use super::admission::{Admission, Verdict};
use crate::shard::NewConnection;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long accepting rests after an error such as running out of file descriptors.
const REST: Duration = Duration::from_millis(50);

/// Where a shard's connections are put.
pub trait Target: Send + Sync + 'static {
    /// Serves this connection.
    fn connect(&self, connection: NewConnection);
}

/// Hands connections to shards.
pub struct Acceptor {
    targets: Vec<(Arc<dyn Target>, Arc<AtomicUsize>)>,
    admission: Arc<Admission>,
    keepalive: bool,
}

/// How the shard of a connection is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one with the fewest connections.
    LeastLoaded,
    /// The source port says.
    SourcePort,
}

impl Acceptor {
    /// Hands connections to these shards, each with its number of connections, which the shard counts down.
    pub fn new(
        targets: Vec<(Arc<dyn Target>, Arc<AtomicUsize>)>,
        admission: Arc<Admission>,
        keepalive: bool,
    ) -> Self {
        assert!(!targets.is_empty(), "there is at least one shard");
        Self {
            targets,
            admission,
            keepalive,
        }
    }

    /// Takes connections for ever.
    pub async fn run(&self, listener: TcpListener, choice: Choice) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    if let Err(error) = self.hand_over(stream, address, choice) {
                        tracing::debug!(client = %address, %error, "a connection was lost before it was served");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    fn hand_over(&self, stream: TcpStream, address: SocketAddr, choice: Choice) -> io::Result<()> {
        stream.set_nodelay(true)?;
        if self.keepalive {
            socket2::SockRef::from(&stream).set_keepalive(true)?;
        }
        let shard = match choice {
            Choice::SourcePort => usize::from(address.port()) % self.targets.len(),
            Choice::LeastLoaded => self.least_loaded(),
        };
        let (target, connections) = &self.targets[shard];
        let admitted = self.admission.admit(address.ip());
        if admitted.verdict == Verdict::Close {
            return Err(io::Error::other("no file descriptor is left for it"));
        }
        let stream = stream.into_std()?;
        connections.fetch_add(1, Ordering::Relaxed);
        target.connect(NewConnection {
            stream,
            address,
            admitted,
        });
        Ok(())
    }

    fn least_loaded(&self) -> usize {
        let load = |(index, (_, connections)): (usize, &(_, Arc<AtomicUsize>))| {
            (connections.load(Ordering::Relaxed), index)
        };
        self.targets
            .iter()
            .enumerate()
            .map(load)
            .min()
            .map_or(0, |(_, index)| index)
    }
}
