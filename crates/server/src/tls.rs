//! Encryption of connections, without I/O of its own: what clients' and nodes' have in common.
//!
//! The files are PEM: Cassandra's `PEMBasedSslContextFactory` reads the same. Java's own keystores are refused with the
//! command that converts them.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Connection, RootCertStore, SupportedProtocolVersion, version};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use tokio::net::TcpStream;

/// Ciphertext read, and plaintext encrypted, at once.
const CHUNK_BYTES: usize = 32 << 10;
/// First byte of a TLS handshake; no version of our protocols starts so.
const HANDSHAKE: u8 = 0x16;

/// Why encryption cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or cannot be read.
    #[error("{options}: {}: {error}", path.display())]
    Read {
        /// The setting.
        options: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file is there and is not what it should be.
    #[error("{options}: {}: {what}", path.display())]
    Content {
        /// The setting.
        options: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The options do not make a configuration.
    #[error("{options}: {what}")]
    Options {
        /// The setting.
        options: &'static str,
        /// What is wrong with them.
        what: String,
    },
}

/// Whether a connection that starts with this byte is encrypted.
pub fn is_handshake(first: u8) -> bool {
    first == HANDSHAKE
}

/// Reads the files that one setting names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files {
    /// The setting, for errors.
    pub options: &'static str,
}

impl Files {
    /// Something is wrong with the options themselves.
    pub fn error(self, what: impl ToString) -> TlsError {
        TlsError::Options {
            options: self.options,
            what: what.to_string(),
        }
    }

    /// Something is wrong with this file.
    pub fn content(self, path: &Path, what: impl ToString) -> TlsError {
        TlsError::Content {
            options: self.options,
            path: path.to_owned(),
            what: what.to_string(),
        }
    }

    /// The versions of these names, or all that are safe.
    pub fn versions(
        self,
        names: &[String],
    ) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        if names.is_empty() {
            return Ok(rustls::DEFAULT_VERSIONS.to_vec());
        }
        names
            .iter()
            .map(|name| match name.as_str() {
                "TLSv1.2" => Ok(&version::TLS12),
                "TLSv1.3" => Ok(&version::TLS13),
                other => Err(self.error(format!(
                    "only TLSv1.2 and TLSv1.3 are spoken, not `{other}`"
                ))),
            })
            .collect()
    }

    /// A private key and the certificates that lead to it.
    pub fn identity(
        self,
        path: &Path,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let pem = self.read(path)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
            self.content(path, format!("no private key that can be used: {error}"))
        })?;
        Ok((self.certificates(path, &pem)?, key))
    }

    /// Certificates to trust.
    pub fn roots(self, path: &Path) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(path, &self.read(path)?)? {
            roots
                .add(certificate)
                .map_err(|error| self.content(path, error))?;
        }
        Ok(roots)
    }

    fn certificates(
        self,
        path: &Path,
        pem: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.content(path, error))?;
        if certificates.is_empty() {
            Err(self.content(path, "no certificate"))
        } else {
            Ok(certificates)
        }
    }

    fn read(self, path: &Path) -> Result<Vec<u8>, TlsError> {
        let bytes = std::fs::read(path).map_err(|error| TlsError::Read {
            options: self.options,
            path: path.to_owned(),
            error,
        })?;
        if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
            return Ok(bytes);
        }
        let shown = path.display();
        Err(self.content(
            path,
            format!(
                "not a PEM file; one of Java's is converted by `keytool -importkeystore -srckeystore {shown} -destkeystore \
                 store.p12 -deststoretype PKCS12` and `openssl pkcs12 -in store.p12 -nodes -out store.pem`"
            ),
        ))
    }
}

/// One connection's encryption.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
}

impl Session {
    /// A session, of either side, that has seen nothing yet.
    pub fn of(connection: impl Into<Connection>) -> Self {
        let mut connection = connection.into();
        // What waits is bounded by the connection's own buffer, from which this one takes a chunk at a time.
        connection.set_buffer_limit(None);
        Self { connection }
    }

    /// Whether both sides have proved who they are, as far as they were asked to.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
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
