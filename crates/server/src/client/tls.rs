//! Encryption of clients' connections.

use crate::config::{ClientAuth, ClientEncryption};
use crate::tls::{Files, Session, TlsError};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};
use std::sync::Arc;

/// What every encrypted connection starts from.
#[derive(Debug, Clone)]
pub struct Encryption {
    config: Arc<ServerConfig>,
    /// Whether unencrypted connections are served too.
    pub optional: bool,
}

impl Encryption {
    /// Reads the certificates.
    pub fn load(options: &ClientEncryption) -> Result<Self, TlsError> {
        let files = Files {
            options: "client_encryption_options",
        };
        let (chain, key) = files.identity(&options.keystore)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&files.versions(&options.protocols)?)
            .map_err(|error| files.error(error))?;
        let builder = match (&options.truststore, options.client_auth) {
            (Some(path), ClientAuth::Optional | ClientAuth::Required) => {
                let roots = Arc::new(files.roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = match options.client_auth {
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                builder.with_client_cert_verifier(
                    verifier.build().map_err(|error| files.error(error))?,
                )
            }
            _ => builder.with_no_client_auth(),
        };
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| files.content(&options.keystore, error))?;
        Ok(Self {
            config: Arc::new(config),
            optional: options.optional,
        })
    }

    /// The encryption of one connection.
    pub fn session(&self) -> Result<Session, rustls::Error> {
        ServerConnection::new(self.config.clone()).map(Session::of)
    }
}
