//! Encryption of connections between nodes: `server_encryption_options`.

use crate::config::{ClientAuth, EncryptionScope, ServerEncryption};
use crate::tls::{Files, Session, TlsError};
use cluster::internode::admission::Distance;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
};
use std::net::SocketAddr;
use std::sync::Arc;

const FILES: Files = Files {
    options: "server_encryption_options",
};

/// What every encrypted connection between nodes starts from.
#[derive(Debug, Clone)]
pub(super) struct PeerEncryption {
    accepting: Arc<ServerConfig>,
    connecting: Arc<ClientConfig>,
    scope: EncryptionScope,
    optional: bool,
}

impl PeerEncryption {
    /// Reads the certificates.
    pub(super) fn load(options: &ServerEncryption) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(FILES.roots(&options.truststore)?);
        Ok(Self {
            accepting: Arc::new(accepting(options, &roots, &provider)?),
            connecting: Arc::new(connecting(options, &roots, &provider)?),
            scope: options.scope,
            optional: options.optional,
        })
    }

    /// Whether connections to a peer this far away are encrypted.
    pub(super) fn covers(&self, distance: Distance) -> bool {
        match self.scope {
            EncryptionScope::None => false,
            EncryptionScope::Datacenters => distance == Distance::Elsewhere,
            EncryptionScope::Racks => distance != Distance::Rack,
            EncryptionScope::All => true,
        }
    }

    /// Whether an unencrypted connection of a peer this far away is refused.
    pub(super) fn requires(&self, distance: Distance) -> bool {
        !self.optional && self.covers(distance)
    }

    /// The encryption of a connection that a peer opened.
    pub(super) fn accept(&self) -> Result<Session, rustls::Error> {
        ServerConnection::new(self.accepting.clone()).map(Session::of)
    }

    /// The encryption of a connection to a peer.
    pub(super) fn connect(&self, peer: SocketAddr) -> Result<Session, rustls::Error> {
        let name = ServerName::IpAddress(peer.ip().into());
        ClientConnection::new(self.connecting.clone(), name).map(Session::of)
    }
}

fn accepting(
    options: &ServerEncryption,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let (chain, key) = FILES.identity(&options.keystore)?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&FILES.versions(&options.protocols)?)
        .map_err(|error| FILES.error(error))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let builder = match options.client_auth {
        ClientAuth::No => builder.with_no_client_auth(),
        ClientAuth::Optional => {
            let verifier = verifier.allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(|error| FILES.error(error))?)
        }
        ClientAuth::Required => {
            let verifier = verifier.build();
            builder.with_client_cert_verifier(verifier.map_err(|error| FILES.error(error))?)
        }
    };
    builder
        .with_single_cert(chain, key)
        .map_err(|error| FILES.content(&options.keystore, error))
}

fn connecting(
    options: &ServerEncryption,
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, TlsError> {
    let (chain, key) = FILES.identity(&options.outbound_keystore)?;
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&FILES.versions(&options.protocols)?)
        .map_err(|error| FILES.error(error))?;
    let builder = if options.verifies_endpoint {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        builder.with_webpki_verifier(verifier.map_err(|error| FILES.error(error))?)
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ChainVerifier {
                roots: roots.clone(),
                provider: provider.clone(),
            }))
    };
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| FILES.content(&options.outbound_keystore, error))
}

/// Takes any certificate that a trusted one has signed, whatever address it is for: what Cassandra does without
/// `require_endpoint_verification`.
#[derive(Debug)]
struct ChainVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
