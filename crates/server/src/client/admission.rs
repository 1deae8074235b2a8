//! How many connections and how many bytes of unanswered requests the process and each client address may have.
//!
//! Counted with atomics by all shards and the acceptor. Bytes are added and taken back once a turn and connection, so a
//! limit may be overrun by what one turn reads, which the read buffer bounds.

use super::rate::RateLimit;
use crate::config::NativeTransport;
use crate::descriptors::Descriptors;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The process's counters and limits.
#[derive(Debug)]
pub struct Admission {
    max_connections: u64,
    max_connections_per_ip: u64,
    /// Connections that have a descriptor, served or not.
    max_open: u64,
    max_bytes: u64,
    max_bytes_per_ip: u64,
    /// How many requests a second, if that is limited.
    pub rate: Option<RateLimit>,
    /// Whether clients that do not say are refused what is too much.
    pub throws: bool,
    total: Counters,
    by_ip: Mutex<HashMap<IpAddr, Arc<Counters>>>,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    bytes: AtomicU64,
}

/// What the acceptor decides about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Serve,
    /// It is one too many: its first request is answered with Overloaded and it is closed.
    Refuse,
    /// There is no descriptor to tell it with: it is closed at once.
    Close,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
    of_address: Arc<Counters>,
    /// Whether it may be served.
    pub verdict: Verdict,
    /// Bytes this connection has added to the counters.
    bytes: u64,
}

impl Admission {
    /// Counters at zero under the configured limits, and what descriptors there are.
    pub fn new(transport: &NativeTransport, descriptors: Descriptors) -> Arc<Self> {
        let configured = transport.max_connections.unwrap_or(u64::MAX);
        let max_connections = configured.min(descriptors.connections);
        if transport.max_connections.is_some() && max_connections < configured {
            tracing::warn!(
                configured,
                served = max_connections,
                "native_transport_max_concurrent_connections is more than the limit of open files allows"
            );
        }
        Arc::new(Self {
            max_connections,
            max_open: max_connections + descriptors.refused,
            max_connections_per_ip: transport.max_connections_per_ip.unwrap_or(u64::MAX),
            max_bytes: transport.max_in_flight_bytes,
            max_bytes_per_ip: transport.max_in_flight_bytes_per_ip,
            rate: transport
                .max_requests_per_second
                .map(|rate| RateLimit::new(rate, Instant::now())),
            throws: transport.throw_on_overload,
            total: Counters::default(),
            by_ip: Mutex::default(),
        })
    }

    /// Counts a connection from this address.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Admitted {
        let (of_address, from_address) = {
            let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
            let counters = by_ip.entry(address).or_default().clone();
            // Counted up under the lock: who counts down to nothing removes the entry.
            let before = counters.connections.fetch_add(1, Ordering::Relaxed);
            (counters, before)
        };
        let total = self.total.connections.fetch_add(1, Ordering::Relaxed);
        let fits = total < self.max_connections && from_address < self.max_connections_per_ip;
        Admitted {
            admission: self.clone(),
            address,
            of_address,
            verdict: if fits {
                Verdict::Serve
            } else if total >= self.max_open {
                Verdict::Close
            } else {
                Verdict::Refuse
            },
            bytes: 0,
        }
    }

    /// Connections now.
    pub fn connections(&self) -> u64 {
        self.total.connections.load(Ordering::Relaxed)
    }

    /// Bytes of unanswered requests now.
    pub fn bytes(&self) -> u64 {
        self.total.bytes.load(Ordering::Relaxed)
    }
}

impl Admitted {
    /// The limits.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Whether a request of `more` bytes, beside `pending` not yet counted, is within the limits. A request alone
    /// always is.
    pub fn has_room(&self, pending: u64, more: u64) -> bool {
        let fits = |counters: &Counters, limit: u64| {
            let used = counters.bytes.load(Ordering::Relaxed) + pending;
            used == 0 || used + more <= limit
        };
        fits(&self.admission.total, self.admission.max_bytes)
            && fits(&self.of_address, self.admission.max_bytes_per_ip)
    }

    /// Bytes of this connection in the counters.
    pub fn settled(&self) -> u64 {
        self.bytes
    }

    /// Makes the counters say that this connection has `bytes` of unanswered requests.
    pub fn settle(&mut self, bytes: u64) {
        for counters in [&self.admission.total, &*self.of_address] {
            if bytes > self.bytes {
                counters
                    .bytes
                    .fetch_add(bytes - self.bytes, Ordering::Relaxed);
            } else if bytes < self.bytes {
                counters
                    .bytes
                    .fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            }
        }
        self.bytes = bytes;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.settle(0);
        self.admission
            .total
            .connections
            .fetch_sub(1, Ordering::Relaxed);
        let mut by_ip = self
            .admission
            .by_ip
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Counted down under the lock: nobody counts up an entry that is being removed.
        if self.of_address.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            by_ip.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn admission(overrides: &[&str]) -> Arc<Admission> {
        admission_with(overrides, Descriptors::of(1_024))
    }

    fn admission_with(overrides: &[&str], descriptors: Descriptors) -> Arc<Admission> {
        let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
        Admission::new(
            &load(&Sources {
                overrides,
                ..Sources::default()
            })
            .unwrap()
            .native,
            descriptors,
        )
    }

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn connections_are_counted_in_all_and_by_address() {
        let admission = admission(&[
            "native_transport_max_concurrent_connections=3",
            "native_transport_max_concurrent_connections_per_ip=2",
        ]);
        let first = admission.admit(A);
        let second = admission.admit(A);
        assert_eq!(
            (first.verdict, second.verdict),
            (Verdict::Serve, Verdict::Serve)
        );
        let third = admission.admit(A);
        assert_eq!(third.verdict, Verdict::Refuse);
        drop(third);
        let other = admission.admit(B);
        assert_eq!(other.verdict, Verdict::Serve);
        assert_eq!(admission.admit(B).verdict, Verdict::Refuse, "three in all");
        drop((first, second, other));
        assert_eq!(admission.connections(), 0);
        assert!(admission.by_ip.lock().unwrap().is_empty());
    }

    #[test]
    fn connections_leave_descriptors_for_files() {
        let descriptors = Descriptors {
            connections: 2,
            refused: 1,
            files: 3,
        };
        for overrides in [
            &[][..],
            &["native_transport_max_concurrent_connections=9"][..],
        ] {
            let admission = admission_with(overrides, descriptors);
            let open: Vec<Admitted> = (0..4).map(|_| admission.admit(A)).collect();
            let verdicts: Vec<Verdict> = open.iter().map(|one| one.verdict).collect();
            let expected = [
                Verdict::Serve,
                Verdict::Serve,
                Verdict::Refuse,
                Verdict::Close,
            ];
            assert_eq!(verdicts, expected);
        }
    }

    #[test]
    fn bytes_are_bounded_but_one_request_always_fits() {
        let admission = admission(&[
            "native_transport_max_request_data_in_flight=1000B",
            "native_transport_max_request_data_in_flight_per_ip=600B",
        ]);
        let mut a = admission.admit(A);
        let mut b = admission.admit(B);
        assert!(a.has_room(0, 5000), "alone");
        a.settle(500);
        assert!(a.has_room(0, 100) && !a.has_room(0, 101) && !a.has_room(50, 60));
        assert!(b.has_room(0, 500) && b.has_room(0, 400));
        b.settle(400);
        assert!(!b.has_room(0, 101));
        a.settle(100);
        assert!(b.has_room(0, 200));
        assert_eq!(admission.bytes(), 500);
        drop((a, b));
        assert_eq!(admission.bytes(), 0);
    }
}
