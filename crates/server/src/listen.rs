//! Listening on a port, and finding out who has it if it is taken.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Why a port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another socket has it.
    #[error("{address} is taken by {holder}; `{key}` names another")]
    Taken {
        /// The address.
        address: SocketAddr,
        /// Who has it, in words.
        holder: String,
        /// The setting to change.
        key: &'static str,
    },
    /// It cannot be listened on.
    #[error("cannot listen on {address} (`{key}`): {error}")]
    Unusable {
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
        /// The setting to change.
        key: &'static str,
    },
}

/// An address that is taken and not yet listened on: whoever connects is refused until [`Reserved::listen`].
#[derive(Debug)]
pub struct Reserved {
    socket: TcpSocket,
    address: SocketAddr,
    key: &'static str,
}

/// Takes an address; `key` is the setting an error should name.
pub fn reserve(address: SocketAddr, key: &'static str) -> Result<Reserved, ListenError> {
    let bind = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let address = socket.local_addr()?;
        Ok(Reserved {
            socket,
            address,
            key,
        })
    };
    bind().map_err(|error| failure(address, key, error))
}

impl Reserved {
    /// The address, with the port that was found if it was to be any.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens.
    pub fn listen(self) -> Result<TcpListener, ListenError> {
        let Self {
            socket,
            address,
            key,
        } = self;
        socket
            .listen(BACKLOG)
            .map_err(|error| failure(address, key, error))
    }
}

fn failure(address: SocketAddr, key: &'static str, error: io::Error) -> ListenError {
    match error.kind() {
        ErrorKind::AddrInUse => ListenError::Taken {
            address,
            holder: holder(address),
            key,
        },
        _ => ListenError::Unusable {
            address,
            error,
            key,
        },
    }
}

/// The process that listens on an address, as far as `/proc` tells.
fn holder(address: SocketAddr) -> String {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, address))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    match owner_of(&sockets) {
        Some((process, command)) => format!("process {process} ({command})"),
        None => "another process".to_owned(),
    }
}

/// Inodes of the sockets that listen on an address or on all, from a table of `/proc/net`.
fn listening_inodes(table: &str, address: SocketAddr) -> Vec<String> {
    const LISTENING: &str = "0A";
    let words = |octets: &[u8]| -> String {
        octets
            .chunks_exact(4)
            .map(|word| {
                format!(
                    "{:08X}",
                    u32::from_ne_bytes([word[0], word[1], word[2], word[3]])
                )
            })
            .collect()
    };
    let mapped = match address.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let mut hosts = vec![words(&mapped.octets()), "0".repeat(32), "0".repeat(8)];
    if let IpAddr::V4(address) = address.ip() {
        hosts.push(words(&address.octets()));
    }
    let any = address.ip().is_unspecified();
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (host, port) = fields.get(1)?.split_once(':')?;
            let same = port == format!("{:04X}", address.port())
                && (any || hosts.iter().any(|own| own == host));
            (same && *fields.get(3)? == LISTENING)
                .then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
        })
        .collect()
}

/// The process that has one of these sockets open. Other users' processes cannot be looked into.
fn owner_of(sockets: &[String]) -> Option<(u32, String)> {
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else {
                continue;
            };
            if sockets
                .iter()
                .any(|socket| target.as_os_str() == socket.as_str())
            {
                let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                return Some((process, command.trim().to_owned()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:2352 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0\n\
             1: 0100007F:2352 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4343 1 0\n\
             2: 0000000000000000FFFF00000900007F:2352 00:0000 0A 0:0 00:0 0  1000        0 4444 1 0\n\
             3: 00000000:2353 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4545 1 0\n";
        let inodes = |address: &str| listening_inodes(table, address.parse().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(inodes("127.0.0.1:9042"), ["4242"]);
            assert_eq!(inodes("127.0.0.9:9042"), ["4444"]);
            assert_eq!(inodes("0.0.0.0:9042"), ["4242", "4444"]);
            assert_eq!(inodes("127.0.0.1:9043"), ["4545"]);
            assert!(inodes("127.0.0.1:9044").is_empty());
        }
    }

    #[tokio::test]
    async fn a_taken_port_names_its_holder() {
        let first = reserve("127.0.0.1:0".parse().unwrap(), "native_transport_port").unwrap();
        let address = first.address();
        let first = first.listen().unwrap();
        let error = reserve(address, "native_transport_port")
            .unwrap_err()
            .to_string();
        if cfg!(target_os = "linux") {
            assert!(
                error.contains(&format!("taken by process {}", std::process::id())),
                "{error}"
            );
        }
        assert!(error.contains("`native_transport_port` names another"));
        drop(first);
        reserve(address, "native_transport_port").unwrap();
    }
}
