//! Partition keys, tokens, and which shard a token belongs to.
//!
//! A partition orders by (token, key bytes). A key of one column is that column's bytes; a key of several is, per
//! column, a 16-bit length, the bytes and a zero byte (Cassandra's `CompositeType`), so that tokens agree with every
//! driver's token-aware routing.

use crate::murmur;
use serde::{Deserialize, Serialize};

/// A position on the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub i64);

impl Token {
    /// The smallest token. No key hashes to it: it only bounds ranges.
    pub const MIN: Self = Self(i64::MIN);
    /// The largest token.
    pub const MAX: Self = Self(i64::MAX);

    /// The token of a partition key. The smallest value is moved to the largest, as in Cassandra's Murmur3Partitioner.
    pub fn of(key: &[u8]) -> Self {
        match murmur::hash(key) {
            i64::MIN => Self(i64::MAX),
            hash => Self(hash),
        }
    }

    /// The shard, of `shards` on a node, that owns the token: Scylla's `biased-token-round-robin`, as its drivers
    /// compute it from the SUPPORTED options, leaving out the `ignore_msb` top bits.
    pub fn shard(self, shards: u32, ignore_msb: u32) -> u16 {
        let biased = (self.0 as u64).wrapping_add(1 << 63) << ignore_msb;
        ((u128::from(biased) * u128::from(shards)) >> 64) as u16
    }
}

/// A partition key with its token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecoratedKey {
    /// The token; first, so that keys order by it.
    pub token: Token,
    /// The key as Cassandra serialises it.
    pub key: Box<[u8]>,
}

impl DecoratedKey {
    /// Hashes `key`.
    pub fn new(key: impl Into<Box<[u8]>>) -> Self {
        let key = key.into();
        Self {
            token: Token::of(&key),
            key,
        }
    }
}

/// Serialises the components of a partition key.
pub fn join(components: &[&[u8]]) -> Vec<u8> {
    if let [only] = components {
        return only.to_vec();
    }
    let mut out = Vec::with_capacity(components.iter().map(|component| component.len() + 3).sum());
    for component in components {
        out.extend_from_slice(&(component.len() as u16).to_be_bytes());
        out.extend_from_slice(component);
        out.push(0);
    }
    out
}

/// The components of a key of `count` columns; `None` if the bytes are no such key.
pub fn split(key: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    if count == 1 {
        return Some(vec![key]);
    }
    let mut rest = key;
    let mut components = Vec::with_capacity(count);
    for _ in 0..count {
        let (component, after) = after_component(rest)?;
        components.push(component);
        rest = after;
    }
    rest.is_empty().then_some(components)
}

/// The component at a position of a partition key of `count` columns, as [`split`] gives it.
pub fn component(key: &[u8], count: usize, position: usize) -> Option<&[u8]> {
    if count == 1 {
        return (position == 0).then_some(key);
    }
    let mut rest = key;
    for _ in 0..position {
        rest = after_component(rest)?.1;
    }
    after_component(rest).map(|(component, _)| component)
}

/// The component at the front of a composite key, and what follows it.
fn after_component(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, after) = key.split_first_chunk::<2>()?;
    let (component, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (_end_of_component, after) = after.split_first()?;
    Some((component, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of real Cassandra (`SELECT token(k)`), among them keys whose tail bytes are negative.
    #[test]
    fn tokens_are_cassandras() {
        for (key, token) in [
            (&b"a"[..], -8_839_064_797_231_613_815),
            (&1i32.to_be_bytes()[..], -4_069_959_284_402_364_209),
            (&[0xff, 0x80, 0x7f][..], 38_824_423_781_480_973),
            (
                "\u{e9}t\u{e9} d'\u{e9}t\u{e9} 0123456789 \u{fc}".as_bytes(),
                -7_354_453_201_410_647_920,
            ),
        ] {
            assert_eq!(Token::of(key), Token(token), "{key:x?}");
        }
    }

    #[test]
    fn composite_keys_split_into_what_was_joined() {
        let joined = join(&[b"ab", b"", b"c"]);
        assert_eq!(joined, b"\0\x02ab\0\0\0\0\0\x01c\0");
        assert_eq!(split(&joined, 3), Some(vec![&b"ab"[..], b"", b"c"]));
        assert_eq!(split(&joined[..4], 3), None);
        assert_eq!(split(b"raw", 1), Some(vec![&b"raw"[..]]));
        assert_eq!(component(&joined, 3, 2), Some(&b"c"[..]));
        assert_eq!(component(&joined, 3, 0), Some(&b"ab"[..]));
        assert_eq!(component(&joined[..4], 3, 0), None);
        assert_eq!(component(b"raw", 1, 0), Some(&b"raw"[..]));
    }

    #[test]
    fn shards_share_the_ring_evenly() {
        let shards: Vec<u16> = (0..4096i64)
            .map(|section| Token((section << 52) ^ i64::MIN).shard(2, 12))
            .collect();
        assert!(
            shards.iter().all(|&shard| shard == 0),
            "a section begins with shard 0"
        );
        assert_eq!(
            Token(i64::MIN + (1 << 51)).shard(2, 12),
            1,
            "and its second half is shard 1's"
        );
        assert_eq!(Token(i64::MAX).shard(3, 12), 2);
    }
}
