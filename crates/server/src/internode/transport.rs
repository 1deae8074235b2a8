//! A connection's bytes, encrypted or not.

use crate::tls::Session;
use bytes::BytesMut;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Read at once during a handshake.
const READ_BYTES: usize = 4 << 10;

/// A socket and its encryption, if it has any.
#[derive(Debug)]
pub(super) struct Transport {
    stream: Rc<TcpStream>,
    session: Option<Session>,
}

impl Transport {
    pub(super) fn new(stream: TcpStream, session: Option<Session>) -> Self {
        let stream = Rc::new(stream);
        Self { stream, session }
    }

    /// The socket, to wait on while the transport is used elsewhere.
    pub(super) fn stream(&self) -> Rc<TcpStream> {
        self.stream.clone()
    }

    /// The socket and its encryption, to be used on another thread. Nobody else waits on it.
    pub(super) fn into_parts(self) -> io::Result<(std::net::TcpStream, Option<Session>)> {
        let stream = Rc::into_inner(self.stream)
            .ok_or_else(|| io::Error::other("the connection is in use"))?;
        Ok((stream.into_std()?, self.session))
    }

    /// Reads what the socket has, decrypted: 0 at the end, `WouldBlock` if there is nothing yet.
    pub(super) fn try_read(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        match &mut self.session {
            None => self.stream.try_read_buf(input),
            Some(session) => session.read(&self.stream, input),
        }
    }

    /// Takes over as much as the socket takes, and says how much that is. `WouldBlock` if some is left to be sent, be it
    /// taken over or not.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        match &mut self.session {
            Some(session) => session.write(&self.stream, bytes),
            None => {
                let mut taken = 0;
                while taken < bytes.len() {
                    match self.stream.try_write(&bytes[taken..]) {
                        Ok(written) => taken += written,
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return (taken, Err(error)),
                    }
                }
                (taken, Ok(()))
            }
        }
    }

    /// Whether the encryption has something to send of its own.
    pub(super) fn wants_write(&self) -> bool {
        self.session.as_ref().is_some_and(Session::wants_write)
    }

    /// Waits until something can be read, and reads it; 0 at the end.
    pub(super) async fn read(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        loop {
            self.write_all(&[]).await?;
            self.stream.ready(Interest::READABLE).await?;
            input.reserve(READ_BYTES);
            match self.try_read(input) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    // What is wrong with a certificate is told by an alert, as far as that goes.
                    let _ = self.try_write(&[]);
                    return Err(error);
                }
                read => return read,
            }
        }
    }

    /// Sends all of it, waiting for the socket where it must.
    pub(super) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let (taken, result) = self.try_write(bytes);
            bytes = &bytes[taken..];
            match result {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                result => return result,
            }
        }
    }

    /// Ends both directions. What was written still leaves.
    pub(super) fn shutdown(&mut self) {
        if let Some(session) = &mut self.session {
            session.say_goodbye(&self.stream);
        }
        // The peer may be gone already; then there is nothing to shut.
        let _ = socket2::SockRef::from(&*self.stream).shutdown(std::net::Shutdown::Both);
    }
}
