//! Opening a connection to a peer: socket, TLS, handshake.

use super::socket;
use super::transport::Transport;
use super::wire::Wire;
use bytes::BytesMut;
use cluster::internode::handshake::{Accepted, Answer, FrameCompression};
use cluster::internode::{Class, Refusal};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// A connection on which frames may be sent.
pub(super) struct Opened {
    pub(super) transport: Transport,
    pub(super) accepted: Accepted,
    pub(super) compression: FrameCompression,
}

/// Why there is none.
pub(super) enum Failure {
    /// One side does not talk to the other.
    Refused(Refusal),
    /// It did not come to that.
    Unreachable(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// Opens a connection from a shard to a peer, in no longer than `internode_tcp_connect_timeout`.
pub(super) async fn open(
    wire: &Wire,
    shard: u16,
    peer: SocketAddr,
    class: Class,
) -> Result<Opened, Failure> {
    let limit = wire.settings.connect_timeout;
    match tokio::time::timeout(limit, shake_hands(wire, shard, peer, class)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Unreachable(format!(
            "no connection within {} ms",
            limit.as_millis()
        ))),
    }
}

async fn shake_hands(
    wire: &Wire,
    shard: u16,
    peer: SocketAddr,
    class: Class,
) -> Result<Opened, Failure> {
    let admission = wire.admission();
    let distance = admission.distance(peer);
    let stream = socket::connect(peer, &wire.settings).await?;
    socket::configure(&stream, class, &wire.settings)?;
    let encryption = wire.encryption.as_ref();
    let session = encryption
        .filter(|encryption| encryption.covers(distance))
        .map(|encryption| encryption.connect(peer))
        .transpose()
        .map_err(io::Error::other)?;
    let mut transport = Transport::new(stream, session);
    let compression = if wire.settings.compression.covers(distance) {
        FrameCompression::Lz4
    } else {
        FrameCompression::None
    };
    let mut hello = Vec::new();
    admission
        .hello(shard, class, compression)
        .encode(&mut hello);
    transport.write_all(&hello).await?;
    match answer(&mut transport).await? {
        Answer::Refused(refusal) => Err(Failure::Refused(refusal)),
        Answer::Accepted(accepted) => match admission.judge_answer(&accepted) {
            Err(refusal) => Err(Failure::Refused(refusal)),
            Ok(()) => Ok(Opened {
                transport,
                accepted,
                compression,
            }),
        },
    }
}

/// Waits for the answer; nothing may come behind it.
async fn answer(transport: &mut Transport) -> io::Result<Answer> {
    let invalid = |what: String| io::Error::new(ErrorKind::InvalidData, what);
    let mut input = BytesMut::new();
    loop {
        match Answer::decode(&input) {
            Ok(Some((answer, length))) if length == input.len() => return Ok(answer),
            Ok(Some(_)) => return Err(invalid("something came behind its answer".to_owned())),
            Ok(None) => {}
            Err(error) => return Err(invalid(error.to_string())),
        }
        if transport.read(&mut input).await? == 0 {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the peer closed the connection instead of answering",
            ));
        }
    }
}
