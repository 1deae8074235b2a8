//! What the machine has, for defaults: cores, memory, an address.

use std::fs;
use std::net::{IpAddr, UdpSocket};

/// Memory assumed where the machine does not say.
const UNKNOWN_MEMORY_BYTES: u64 = 2 << 30;

/// Cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory this process may use: the machine's, or the container's limit if that is lower.
pub fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_memory(&text));
    let container = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .iter()
    .find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let machine = machine.unwrap_or(UNKNOWN_MEMORY_BYTES);
    container.map_or(machine, |limit| limit.min(machine))
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The address this machine would use to reach others; nothing is sent.
pub fn outgoing_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_of_a_machine() {
        assert_eq!(
            super::total_memory("MemFree: 1 kB\nMemTotal:  16384 kB\n"),
            Some(16_384 * 1024)
        );
        assert_eq!(super::total_memory(""), None);
        assert!(super::memory_bytes() > 1 << 20);
    }
}
