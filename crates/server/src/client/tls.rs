//! Encryption of clients' connections, without I/O of its own.
//!
//! The files are PEM: Cassandra's `PEMBasedSslContextFactory` reads the same. Java's own keystores are refused with the
//! command that converts them.

use crate::config::{ClientAuth, ClientEncryption};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion, version};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;

/// Ciphertext read, and plaintext encrypted, at once.
const CHUNK_BYTES: usize = 32 << 10;
/// First byte of a TLS handshake; no version of the native protocol starts so.
const HANDSHAKE: u8 = 0x16;

/// Why encryption cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or cannot be read.
    #[error("client_encryption_options: {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file is there and is not what it should be.
    #[error("client_encryption_options: {}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The options do not make a configuration.
    #[error("client_encryption_options: {0}")]
    Options(String),
}

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
        let keystore = read_pem(&options.keystore)?;
        let content = |what: String| TlsError::Content {
            path: options.keystore.clone(),
            what,
        };
        let key = PrivateKeyDer::from_pem_slice(&keystore)
            .map_err(|error| content(format!("no private key that can be used: {error}")))?;
        let chain = certificates(&options.keystore, &keystore)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions(&options.protocols)?)
            .map_err(|error| TlsError::Options(error.to_string()))?;
        let builder = match (&options.truststore, options.client_auth) {
            (Some(path), ClientAuth::Optional | ClientAuth::Required) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path, &read_pem(path)?)? {
                    roots.add(certificate).map_err(|error| TlsError::Content {
                        path: path.clone(),
                        what: error.to_string(),
                    })?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match options.client_auth {
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                builder.with_client_cert_verifier(
                    verifier
                        .build()
                        .map_err(|error| TlsError::Options(error.to_string()))?,
                )
            }
            _ => builder.with_no_client_auth(),
        };
        let config = builder
            .with_single_cert(chain, key)
            .map_err(|error| content(error.to_string()))?;
        Ok(Self {
            config: Arc::new(config),
            optional: options.optional,
        })
    }

    /// Whether a connection that starts with this byte is encrypted.
    pub fn is_handshake(first: u8) -> bool {
        first == HANDSHAKE
    }
}

fn versions(names: &[String]) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    if names.is_empty() {
        return Ok(rustls::DEFAULT_VERSIONS.to_vec());
    }
    names
        .iter()
        .map(|name| match name.as_str() {
            "TLSv1.2" => Ok(&version::TLS12),
            "TLSv1.3" => Ok(&version::TLS13),
            other => Err(TlsError::Options(format!(
                "only TLSv1.2 and TLSv1.3 are spoken, not `{other}`"
            ))),
        })
        .collect()
}

fn read_pem(path: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| TlsError::Read {
        path: path.to_owned(),
        error,
    })?;
    if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        return Ok(bytes);
    }
    let shown = path.display();
    Err(TlsError::Content {
        path: path.to_owned(),
        what: format!(
            "not a PEM file; one of Java's is converted by `keytool -importkeystore -srckeystore {shown} -destkeystore \
             store.p12 -deststoretype PKCS12` and `openssl pkcs12 -in store.p12 -nodes -out store.pem`"
        ),
    })
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |what: String| TlsError::Content {
        path: path.to_owned(),
        what,
    };
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(error.to_string()))?;
    if certificates.is_empty() {
        Err(content("no certificate".to_owned()))
    } else {
        Ok(certificates)
    }
}

/// One connection's encryption.
#[derive(Debug)]
pub struct Session {
    connection: ServerConnection,
}

impl Session {
    /// A session that has seen nothing yet.
    pub fn new(encryption: &Encryption) -> Result<Self, rustls::Error> {
        let mut connection = ServerConnection::new(encryption.config.clone())?;
        // What waits is bounded by the connection's own buffer, from which this one takes a chunk at a time.
        connection.set_buffer_limit(None);
        Ok(Self { connection })
    }

    /// Reads what the socket has and appends what it says to `input`. Like a socket's read: 0 at the end,
    /// `WouldBlock` if nothing is to be had yet.
    pub fn read(&mut self, stream: &TcpStream, input: &mut bytes::BytesMut) -> io::Result<usize> {
        let mut ciphertext = [0; CHUNK_BYTES / 2];
        let read = stream.try_read(&mut ciphertext)?;
        if read == 0 {
            return Ok(0);
        }
        let mut unread = &ciphertext[..read];
        let before = input.len();
        while !unread.is_empty() {
            self.connection.read_tls(&mut unread)?;
            let state = self
                .connection
                .process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            let plaintext = state.plaintext_bytes_to_read();
            let start = input.len();
            input.resize(start + plaintext, 0);
            self.connection.reader().read_exact(&mut input[start..])?;
        }
        match input.len() - before {
            0 => Err(ErrorKind::WouldBlock.into()),
            more => Ok(more),
        }
    }

    /// Whether something waits to be sent, be it of the handshake.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Encrypts and sends `plaintext`, as far as the socket takes it; returns how much was taken over.
    pub fn write(&mut self, stream: &TcpStream, plaintext: &[u8]) -> (usize, io::Result<()>) {
        let mut taken = 0;
        loop {
            while self.connection.wants_write() {
                match self.connection.write_tls(&mut Socket(stream)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return (taken, Err(error)),
                }
            }
            if taken == plaintext.len() {
                return (taken, Ok(()));
            }
            let chunk = &plaintext[taken..][..(plaintext.len() - taken).min(CHUNK_BYTES)];
            if let Err(error) = self.connection.writer().write_all(chunk) {
                return (taken, Err(error));
            }
            taken += chunk.len();
        }
    }

    /// Says that nothing more comes, so that the peer does not take the end for one that was cut off; as far as the socket
    /// takes it, for nobody waits for a connection that ends.
    pub fn say_goodbye(&mut self, stream: &TcpStream) {
        self.connection.send_close_notify();
        while self.connection.wants_write()
            && self
                .connection
                .write_tls(&mut Socket(stream))
                .is_ok_and(|written| written > 0)
        {}
    }
}

/// A socket that refuses to wait.
struct Socket<'a>(&'a TcpStream);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
