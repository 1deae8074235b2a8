//! The ports for other nodes, from the configuration to the tasks that take connections.

use super::acceptor::{PeerAcceptor, PeerTarget, Port};
use super::wire::Wire;
use crate::config::Settings;
use crate::listen::{ListenError, Reserved, reserve};
use crate::process::StartError;
use cluster::internode::admission::{Admission, Place};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_local};

/// Ports that are taken and not yet listened on, and what will be heard there.
#[derive(Debug)]
pub struct InternodePorts {
    storage: Vec<Reserved>,
    encrypted: Option<Reserved>,
    announced: SocketAddr,
    wire: Arc<Wire>,
}

impl InternodePorts {
    /// Takes them and reads the certificates, so that a mistake is told at once. Nobody is let in until the node has
    /// replaced the wire's admission.
    pub fn take(settings: &Settings) -> Result<Self, StartError> {
        let internode = &settings.internode;
        let storage = internode
            .listen
            .iter()
            .map(|address| reserve(*address, "storage_port"))
            .collect::<Result<Vec<_>, _>>()?;
        let encrypted = internode
            .listen_encrypted
            .map(|address| reserve(address, "ssl_storage_port"))
            .transpose()?;
        // The port that was found, if it was to be any.
        let port = storage[0].address().port();
        let announced = SocketAddr::new(internode.announced.ip(), port);
        let place = Place {
            datacenter: settings.dc.clone(),
            rack: settings.rack.clone(),
        };
        let name = settings.cluster_name.clone();
        let admission = Admission::starting(name, place, announced, settings.shards);
        Ok(Self {
            storage,
            encrypted,
            announced,
            wire: Arc::new(Wire::new(internode.clone(), Arc::new(admission))?),
        })
    }

    /// The address that other nodes are told.
    pub fn announced(&self) -> SocketAddr {
        self.announced
    }

    /// What all shards' connections have in common.
    pub fn wire(&self) -> Arc<Wire> {
        self.wire.clone()
    }

    /// Listens, and hands connections to these shards, by their numbers.
    pub fn accept(
        self,
        targets: Vec<Arc<dyn PeerTarget>>,
    ) -> Result<Vec<JoinHandle<()>>, ListenError> {
        let acceptor = PeerAcceptor::new(self.wire, targets);
        let storage = self.storage.into_iter().map(|port| (port, Port::Storage));
        let encrypted = self.encrypted.map(|port| (port, Port::Encrypted));
        storage
            .chain(encrypted)
            .map(|(reserved, port)| {
                let (acceptor, listener) = (acceptor.clone(), reserved.listen()?);
                Ok(spawn_local(
                    async move { acceptor.run(listener, port).await },
                ))
            })
            .collect()
    }
}
