//! What becomes of bytes: cut, spliced and flipped.

use crate::random::Rng;

/// The bytes as a disk may return them: some are others, or missing at the end, and none has moved but over others.
pub fn rotten(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    if bytes.is_empty() {
        return damaged;
    }
    match rng.below(3) {
        0 => damaged.truncate(rng.index(bytes.len())),
        1 => {
            let at = rng.index(bytes.len());
            damaged[at] ^= 1 << rng.below(8);
        }
        _ => {
            let (from, to) = (rng.index(bytes.len()), rng.index(bytes.len()));
            let length = rng.index(64).min(bytes.len() - from.max(to));
            let part = bytes[from..from + length].to_vec();
            damaged[to..to + length].copy_from_slice(&part);
        }
    }
    damaged
}

/// The same, or with bytes put in or taken out; numbers become large ones, as a peer may send them.
pub fn damaged(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() || rng.chance(50) {
        return rotten(rng, bytes);
    }
    let mut damaged = bytes.to_vec();
    let at = rng.index(bytes.len());
    match rng.below(3) {
        0 => {
            let length = rng.index(64);
            let part = rng.bytes(length);
            damaged.splice(at..at, part);
        }
        1 => {
            let end = at + rng.index(64).min(bytes.len() - at);
            damaged.drain(at..end);
        }
        _ => {
            // A variable-length number of nine or ten bytes, near the end of what there is.
            let mut number = vec![0xff; 8 + rng.index(2)];
            number.push(1);
            damaged.splice(at..=at, number);
        }
    }
    damaged
}

/// JSON with a number, a word or a piece of it exchanged for another of its own.
pub fn damaged_json(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let numbers = ["0", "1", "2", "4294967295", "18446744073709551615", "-1"];
    let digits: Vec<usize> = (0..text.len())
        .filter(|at| text[*at].is_ascii_digit())
        .collect();
    if digits.is_empty() || rng.chance(20) {
        return damaged(rng, text);
    }
    let mut start = *rng.pick(&digits);
    while start > 0 && text[start - 1].is_ascii_digit() {
        start -= 1;
    }
    let length = text[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let end = start + length.count();
    let mut changed = text.to_vec();
    changed.splice(start..end, rng.pick(&numbers).bytes());
    changed
}

/// A number as peers and disks say them: mostly small, now and then at the end of what there is.
pub fn number(rng: &mut Rng) -> u64 {
    match rng.below(12) {
        0 => u64::MAX - rng.below(3),
        1 => (1 << 62) + rng.below(3) - 1,
        2 => u64::from(u32::MAX) - rng.below(2),
        _ => rng.below(12),
    }
}
