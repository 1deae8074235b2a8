//! How this node talks to others: addresses, ports, timeouts, buffers, encryption.

use super::Configured;
use super::access::{duration, flag, port, size, text};
use super::encryption::{self, ServerEncryption};
use super::value::Value;
use cluster::internode::admission::Distance;
use model::limits::MAX_INTERNODE_MESSAGE_BYTES;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What waits on one connection at most, unless the configuration says otherwise.
const QUEUE_BYTES: u64 = 4 << 20;

/// Everything about the wire between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Internode {
    /// Whether there may be other nodes: else nothing is listened on for them.
    pub enabled: bool,
    /// Where to listen; at least one address.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for encrypted connections only.
    pub listen_encrypted: Option<SocketAddr>,
    /// The address that other nodes are told.
    pub announced: SocketAddr,
    /// How long opening a connection may take, with all handshakes.
    pub connect_timeout: Duration,
    /// How long what was sent may stay unacknowledged before the connection is given up; `None` for the operating system's own.
    pub user_timeout: Option<Duration>,
    /// The same for streams.
    pub bulk_user_timeout: Option<Duration>,
    /// Size of sockets' send buffers; `None` for the operating system's own.
    pub send_buffer_bytes: Option<usize>,
    /// Size of sockets' receive buffers; `None` for the operating system's own.
    pub receive_buffer_bytes: Option<usize>,
    /// Bytes that may wait on one connection.
    pub queue_bytes: usize,
    /// Longest message.
    pub max_message_bytes: usize,
    /// Which connections are compressed.
    pub compression: CompressionScope,
    /// How connections are encrypted; `None` if none are.
    pub encryption: Option<ServerEncryption>,
}

/// Which connections between nodes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionScope {
    /// None.
    None,
    /// Those to other data centres.
    Datacenters,
    /// All.
    All,
}

impl CompressionScope {
    /// Whether a connection to a peer this far away is compressed.
    pub fn covers(self, distance: Distance) -> bool {
        match self {
            Self::None => false,
            Self::Datacenters => distance == Distance::Elsewhere,
            Self::All => true,
        }
    }
}

/// Types what was configured.
pub(super) fn read(
    configured: &mut Configured,
    enabled: bool,
    listen: IpAddr,
    broadcast: IpAddr,
) -> Internode {
    let storage_port = port(configured, "storage_port").unwrap_or(7000);
    let ssl_port = port(configured, "ssl_storage_port").unwrap_or(7001);
    let encryption = server_encryption(configured);
    let mut listened = vec![SocketAddr::new(listen, storage_port)];
    if flag(configured, "listen_on_broadcast_address")
        && broadcast != listen
        && !listen.is_unspecified()
    {
        listened.push(SocketAddr::new(broadcast, storage_port));
    }
    let timeout = |name: &str| duration(configured, name).filter(|timeout| !timeout.is_zero());
    let bytes = |name: &str| {
        let bytes = size(configured, name).filter(|bytes| *bytes > 0)?;
        usize::try_from(bytes).ok()
    };
    Internode {
        enabled,
        listen: listened,
        listen_encrypted: encryption
            .as_ref()
            .filter(|encryption| encryption.has_ssl_port)
            .map(|_| SocketAddr::new(listen, ssl_port)),
        announced: SocketAddr::new(broadcast, storage_port),
        connect_timeout: timeout("internode_tcp_connect_timeout").unwrap_or(Duration::from_secs(2)),
        user_timeout: timeout("internode_tcp_user_timeout"),
        bulk_user_timeout: timeout("internode_streaming_tcp_user_timeout"),
        send_buffer_bytes: bytes("internode_socket_send_buffer_size"),
        receive_buffer_bytes: bytes("internode_socket_receive_buffer_size"),
        queue_bytes: bytes("internode_application_send_queue_capacity")
            .unwrap_or(QUEUE_BYTES as usize),
        max_message_bytes: max_message_bytes(configured),
        compression: compression(configured),
        encryption,
    }
}

fn max_message_bytes(configured: &mut Configured) -> usize {
    match size(configured, "internode_max_message_size") {
        None => MAX_INTERNODE_MESSAGE_BYTES,
        Some(bytes) if (1..=MAX_INTERNODE_MESSAGE_BYTES as u64).contains(&bytes) => bytes as usize,
        Some(_) => {
            configured.refuse(
                "internode_max_message_size",
                format!("must be above 0 and at most {MAX_INTERNODE_MESSAGE_BYTES}B"),
            );
            MAX_INTERNODE_MESSAGE_BYTES
        }
    }
}

fn compression(configured: &mut Configured) -> CompressionScope {
    match text(configured, "internode_compression").as_deref() {
        None | Some("none") => CompressionScope::None,
        Some("dc") => CompressionScope::Datacenters,
        Some("all") => CompressionScope::All,
        Some(other) => {
            configured.refuse(
                "internode_compression",
                format!("`{other}` is not none, dc or all"),
            );
            CompressionScope::None
        }
    }
}

fn server_encryption(configured: &mut Configured) -> Option<ServerEncryption> {
    let Some(Value::Tree(node)) = configured.get("server_encryption_options") else {
        return None;
    };
    encryption::read_server(&node).unwrap_or_else(|reason| {
        configured.refuse("server_encryption_options", reason);
        None
    })
}
