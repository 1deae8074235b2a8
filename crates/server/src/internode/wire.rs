//! What all shards' connections with other nodes have in common.

use super::encryption::PeerEncryption;
use crate::config::Internode;
use crate::tls::TlsError;
use cluster::internode::admission::Admission;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

/// Settings, certificates, and who is let in at this moment.
#[derive(Debug)]
pub struct Wire {
    pub(super) settings: Internode,
    pub(super) encryption: Option<PeerEncryption>,
    admission: Mutex<Arc<Admission>>,
    /// Connections that ended before they said who they are, or said nothing that can be understood.
    pub(super) failed_handshakes: AtomicU64,
    /// Connections that were refused.
    pub(super) refusals: AtomicU64,
}

impl Wire {
    /// Reads the certificates.
    pub fn new(settings: Internode, admission: Arc<Admission>) -> Result<Self, TlsError> {
        let encryption = settings.encryption.as_ref().map(PeerEncryption::load);
        Ok(Self {
            encryption: encryption.transpose()?,
            settings,
            admission: Mutex::new(admission),
            failed_handshakes: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        })
    }

    /// What decides about connections now. It is looked at once for each connection.
    pub fn admission(&self) -> Arc<Admission> {
        let admission = self.admission.lock();
        admission.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Decides about connections by this from here on.
    pub fn replace_admission(&self, admission: Arc<Admission>) {
        let mut current = self
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = admission;
    }
}
