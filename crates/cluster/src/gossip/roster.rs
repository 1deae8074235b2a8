//! The endpoints in an order that every node computes alike, cut into buckets.
//!
//! Endpoints stand by a hash of their address. A bucket is what begins with the same bits of that hash, so for any
//! number of buckets (a power of two) it is a slice, and two nodes agree on what belongs to it whatever else they know.
//! A bucket's hash covers who its members are and which life they are in. Where both sides compute the same hash, a
//! member is its position, and its versions travel as bare numbers.

use crate::gossip::endpoint::Endpoint;
use crate::gossip::state::put_address;
use model::murmur;
use std::net::SocketAddr;
use std::ops::Range;

/// How many endpoints a bucket holds about: few enough that naming them all costs little when one has changed.
const BUCKET_ENDPOINTS: usize = 16;
/// The most buckets, as a power of two.
pub(super) const MAX_BUCKET_BITS: u8 = 12;

/// The endpoints.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// By place, then address.
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    place: u64,
    endpoint: Endpoint,
}

/// Several buckets in a row: `count` of them from `first`, of `1 << bits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Window {
    pub bits: u8,
    pub first: u32,
    pub count: u32,
}

impl Window {
    /// Whether there are such buckets.
    pub fn is_valid(self) -> bool {
        self.bits <= MAX_BUCKET_BITS
            && u64::from(self.first) + u64::from(self.count) <= 1 << self.bits
    }

    /// The buckets' numbers.
    pub fn buckets(self) -> Range<u32> {
        self.first..self.first + self.count
    }
}

/// Where an address stands.
fn place(address: SocketAddr) -> u64 {
    let mut bytes = Vec::with_capacity(19);
    put_address(&mut bytes, address);
    murmur::hash(&bytes) as u64
}

/// Adds one more hash to those before; the order counts.
pub(super) fn fold(hash: u64, next: u64) -> u64 {
    let mixed = (hash ^ next).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ mixed >> 32
}

impl Roster {
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Endpoint> {
        self.members.iter().map(|member| &member.endpoint)
    }

    fn find(&self, address: SocketAddr) -> Result<usize, usize> {
        let wanted = (place(address), address);
        self.members
            .binary_search_by(|member| (member.place, member.endpoint.address()).cmp(&wanted))
    }

    pub fn get(&self, address: SocketAddr) -> Option<&Endpoint> {
        let index = self.find(address).ok()?;
        Some(&self.members[index].endpoint)
    }

    pub fn get_mut(&mut self, address: SocketAddr) -> Option<&mut Endpoint> {
        let index = self.find(address).ok()?;
        Some(&mut self.members[index].endpoint)
    }

    /// The endpoint at a position.
    pub fn at(&self, index: usize) -> &Endpoint {
        &self.members[index].endpoint
    }

    /// The endpoint at a position.
    pub fn at_mut(&mut self, index: usize) -> &mut Endpoint {
        &mut self.members[index].endpoint
    }

    /// Adds an endpoint, in place of another at the same address.
    pub fn insert(&mut self, endpoint: Endpoint) {
        match self.find(endpoint.address()) {
            Ok(index) => self.members[index].endpoint = endpoint,
            Err(index) => {
                let place = place(endpoint.address());
                self.members.insert(index, Member { place, endpoint });
            }
        }
    }

    pub fn remove(&mut self, address: SocketAddr) -> Option<Endpoint> {
        let index = self.find(address).ok()?;
        Some(self.members.remove(index).endpoint)
    }

    /// The power of two of buckets that suits so many endpoints.
    pub fn bits(&self) -> u8 {
        let buckets = (self.len() / BUCKET_ENDPOINTS).max(1).next_power_of_two();
        (buckets.trailing_zeros() as u8).min(MAX_BUCKET_BITS)
    }

    /// The positions of a bucket's members.
    pub fn bucket(&self, bits: u8, bucket: u32) -> Range<usize> {
        let start = |bucket: u32| {
            if u64::from(bucket) >= 1 << bits {
                return self.len();
            }
            let least = (u128::from(bucket) << 64 >> bits) as u64;
            self.members.partition_point(|member| member.place < least)
        };
        start(bucket)..start(bucket + 1)
    }

    /// The hash of who stands in a range of positions.
    pub fn hash(&self, range: Range<usize>) -> u64 {
        self.members[range]
            .iter()
            .fold(0, |hash, member| fold(hash, member.endpoint.digest()))
    }

    /// The positions that a window covers, and the hash of its buckets' hashes.
    pub fn window(&self, window: Window) -> (Range<usize>, u64) {
        let mut hash = 0;
        let mut covered: Option<Range<usize>> = None;
        for bucket in window.buckets() {
            let range = self.bucket(window.bits, bucket);
            hash = fold(hash, self.hash(range.clone()));
            let start = covered.map_or(range.start, |covered| covered.start);
            covered = Some(start..range.end);
        }
        (covered.unwrap_or(0..0), hash)
    }
}
