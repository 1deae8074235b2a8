//! The bloom filter over partition tokens: blocks of 512 bits, so that a question touches one cache line.
//!
//! A token is a 64-bit hash already; it is mixed once more because a shard's tokens share bits. Two keys with one
//! token are one entry, which can only make the filter say "maybe".

use model::key::Token;

const WORDS: usize = 8;
/// Bits set per entry, one per word of its block.
const BLOCK_BITS: f64 = (WORDS * 64) as f64;

/// The filter: says "no" only when it is sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bloom {
    words: Vec<u64>,
}

impl Bloom {
    /// A filter for so many entries with about this chance of a false "maybe"; none if the chance is 1.
    pub(crate) fn new(entries: u64, false_positive: f64) -> Option<Self> {
        if false_positive >= 1.0 {
            return None;
        }
        // An entry sets one bit in each of eight words: the chance that all eight of another are set.
        let mut bits = 4.0f64;
        let chance = |bits: f64| (1.0 - (-(WORDS as f64) / bits).exp()).powi(WORDS as i32);
        // Uneven load of blocks costs about a sixth more than the formula says.
        while chance(bits) * 1.2 > false_positive && bits < 40.0 {
            bits += 0.5;
        }
        let blocks = ((entries.max(1) as f64 * bits / BLOCK_BITS).ceil() as usize).max(1);
        Some(Self {
            words: vec![0; blocks * WORDS],
        })
    }

    fn block(&self, hash: u64) -> usize {
        let blocks = (self.words.len() / WORDS) as u64;
        ((u128::from(hash) * u128::from(blocks)) >> 64) as usize * WORDS
    }

    /// Adds a token.
    pub(crate) fn insert(&mut self, token: Token) {
        let hash = mix(token);
        let at = self.block(hash);
        for (index, word) in self.words[at..at + WORDS].iter_mut().enumerate() {
            *word |= bit(hash, index);
        }
    }

    /// Whether the token may have been added.
    pub(crate) fn contains(&self, token: Token) -> bool {
        let hash = mix(token);
        let at = self.block(hash);
        self.words[at..at + WORDS]
            .iter()
            .enumerate()
            .all(|(index, word)| word & bit(hash, index) != 0)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// Appends the words.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// Reads what [`Self::encode`] wrote; `None` if the length is no multiple of a block or zero.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(WORDS * 8) {
            return None;
        }
        let words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
            .collect();
        Some(Self { words })
    }
}

/// The finaliser of SplitMix64 (public domain, S. Vigna).
fn mix(token: Token) -> u64 {
    let mut word = (token.0 as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The bit of a hash in the word at `index`: six bits of it, well away from those that choose the block.
fn bit(hash: u64, index: usize) -> u64 {
    let turned = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15 | 1);
    1 << (turned >> (index * 6 + 8) & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_denies_and_seldom_errs() {
        let token = |number: u64| Token::of(&number.to_be_bytes());
        for (chance, bound) in [(0.01, 0.013), (0.1, 0.12), (0.001, 0.002)] {
            let mut filter = Bloom::new(20_000, chance).unwrap();
            (0..20_000).for_each(|number| filter.insert(token(number)));
            assert!((0..20_000).all(|number| filter.contains(token(number))));
            let wrong = (20_000..120_000)
                .filter(|number| filter.contains(token(*number)))
                .count();
            assert!(
                (wrong as f64) < bound * 100_000.0,
                "{chance}: {wrong} of 100000"
            );
            let mut bytes = Vec::new();
            filter.encode(&mut bytes);
            assert_eq!(Bloom::decode(&bytes), Some(filter));
        }
        assert_eq!(Bloom::new(10, 1.0), None);
    }
}
