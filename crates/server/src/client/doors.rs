//! The ports that clients come in by, as an operator opens and closes them while the process runs (`nodetool disablebinary`).

use super::{Acceptor, Choice};
use crate::listen::{ListenError, Reserved, reserve};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_local};

/// The ports and who accepts there.
pub struct Doors {
    acceptor: Rc<Acceptor>,
    native: SocketAddr,
    shard_aware: Option<SocketAddr>,
    accepting: Vec<JoinHandle<()>>,
}

impl Doors {
    /// Opens the ports that were reserved at the start.
    pub fn open(
        acceptor: Acceptor,
        native: Reserved,
        shard_aware: Option<Reserved>,
    ) -> Result<Self, ListenError> {
        let mut doors = Self {
            acceptor: Rc::new(acceptor),
            native: native.address(),
            shard_aware: shard_aware.as_ref().map(Reserved::address),
            accepting: Vec::new(),
        };
        doors.listen(native, shard_aware)?;
        Ok(doors)
    }

    /// Whether clients are let in.
    pub fn is_open(&self) -> bool {
        !self.accepting.is_empty()
    }

    /// Opens the same ports again.
    pub fn reopen(&mut self) -> Result<(), ListenError> {
        if self.is_open() {
            return Ok(());
        }
        let native = reserve(self.native, "native_transport_port")?;
        let shard_aware = self.shard_aware;
        let shard_aware = shard_aware.map(|port| reserve(port, "helenus_shard_aware_port"));
        self.listen(native, shard_aware.transpose()?)
    }

    /// Lets nobody in any more. Connections that are there stay.
    pub fn close(&mut self) {
        self.accepting.drain(..).for_each(|task| task.abort());
    }

    fn listen(
        &mut self,
        native: Reserved,
        shard_aware: Option<Reserved>,
    ) -> Result<(), ListenError> {
        let shard_aware = shard_aware.map(Reserved::listen).transpose()?;
        let native = native.listen()?;
        if let Some(listener) = shard_aware {
            self.accept(listener, Choice::SourcePort);
        }
        self.accept(native, Choice::LeastLoaded);
        Ok(())
    }

    fn accept(&mut self, listener: TcpListener, choice: Choice) {
        let acceptor = self.acceptor.clone();
        let accepting = async move {
            acceptor.run(listener, choice).await;
        };
        self.accepting.push(spawn_local(accepting));
    }
}
