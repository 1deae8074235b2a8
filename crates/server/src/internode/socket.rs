//! What the sockets between nodes are set to.

use crate::config::Internode;
use cluster::internode::Class;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// How long a connection is silent before the operating system asks whether the peer is still there, how often it asks
/// then, and how often in vain.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
#[cfg(target_os = "linux")]
const KEEPALIVE_PROBES: u32 = 4;

/// Connects from the address that this node listens on, so that what filters by address sees the node.
pub(super) async fn connect(peer: SocketAddr, settings: &Internode) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(bytes) = settings.send_buffer_bytes {
        socket.set_send_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
    }
    if let Some(source) = source(settings.listen[0].ip(), peer.ip()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(peer).await
}

/// The address to connect from, if the peer can be reached from it at all.
fn source(listened: IpAddr, peer: IpAddr) -> Option<IpAddr> {
    let can = !listened.is_unspecified()
        && listened.is_ipv4() == peer.is_ipv4()
        && listened.is_loopback() == peer.is_loopback();
    can.then_some(listened)
}

/// Sets an accepted socket's buffers, which its listener did not have.
pub(super) fn configure_accepted(stream: &TcpStream, settings: &Internode) -> io::Result<()> {
    if let Some(bytes) = settings.receive_buffer_bytes {
        SockRef::from(stream).set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

/// Sets what every connection of a class has.
pub(super) fn configure(stream: &TcpStream, class: Class, settings: &Internode) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL);
    #[cfg(target_os = "linux")]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    let timeout = match class {
        Class::Urgent | Class::Small => settings.user_timeout,
        Class::Bulk => settings.bulk_user_timeout,
    };
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(timeout)?;
    #[cfg(not(target_os = "linux"))]
    let _ = timeout;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_cannot_reach_the_peer_is_not_taken() {
        let source = |listened: &str, peer: &str| {
            source(listened.parse().unwrap(), peer.parse().unwrap()).is_some()
        };
        assert!(source("127.0.0.2", "127.0.0.1") && source("10.0.0.1", "10.0.0.2"));
        assert!(!source("0.0.0.0", "10.0.0.2") && !source("127.0.0.1", "10.0.0.2"));
        assert!(!source("10.0.0.1", "::1"));
    }
}
