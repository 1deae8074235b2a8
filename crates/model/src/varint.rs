//! Variable-length integers of our own formats: LEB128, low seven bits first; signed values zigzag-coded.
//!
//! Decoding never panics: a cut or overlong number is `None`, and the caller says which record it was in.

/// The most bytes a `u64` takes.
pub const MAX_BYTES: usize = 10;

/// Appends `value`.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed `value`, zigzag-coded so that small magnitudes are short.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a length and the bytes.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of `input` and moves it past what was read.
#[inline]
pub fn get(input: &mut &[u8]) -> Option<u64> {
    // Most numbers are column ids and lengths of one or two bytes.
    match *input {
        [byte, rest @ ..] if byte & 0x80 == 0 => {
            *input = rest;
            Some(u64::from(*byte))
        }
        [low, high, rest @ ..] if high & 0x80 == 0 => {
            *input = rest;
            Some(u64::from(low & 0x7f) | u64::from(*high) << 7)
        }
        _ => get_long(input),
    }
}

/// Reads a number of any length; those of up to eight bytes, as timestamps are, without a loop.
fn get_long(input: &mut &[u8]) -> Option<u64> {
    if let Some((front, _)) = input.split_first_chunk::<8>() {
        let front = u64::from_le_bytes(*front);
        // The first byte without the bit that says that more follow is the last.
        let last = !front & 0x8080_8080_8080_8080;
        if last != 0 {
            let bits = last.trailing_zeros() + 1;
            *input = &input[bits as usize / 8..];
            return Some(squeezed(front & (u64::MAX >> (64 - bits))));
        }
    }
    get_slowly(input)
}

/// The low seven bits of each byte, next to each other: pairs of bytes, then of pairs, then of those.
fn squeezed(bytes: u64) -> u64 {
    let ones = bytes & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = ones & 0x007f_007f_007f_007f | (ones & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
}

#[cold]
fn get_slowly(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate().take(MAX_BYTES) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if index == MAX_BYTES - 1 && byte > 1 {
                return None;
            }
            *input = &input[index + 1..];
            return Some(value);
        }
    }
    None
}

/// The signed counterpart of [`get`].
#[inline]
pub fn get_signed(input: &mut &[u8]) -> Option<i64> {
    get(input).map(|raw| ((raw >> 1) as i64) ^ -((raw & 1) as i64))
}

/// Reads a length and that many bytes.
#[inline]
pub fn get_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(get(input)?).ok()?;
    take(input, length)
}

/// Takes `length` bytes off the front.
#[inline]
pub fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (front, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(front)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_back_what_was_written(unsigned: u64, signed: i64) {
            let mut out = Vec::new();
            put(&mut out, unsigned);
            put_signed(&mut out, signed);
            let mut input = out.as_slice();
            prop_assert_eq!(get(&mut input), Some(unsigned));
            prop_assert_eq!(get_signed(&mut input), Some(signed));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn of_any_length(shift in 0u32..64, number: u64, behind in proptest::collection::vec(any::<u8>(), 0..10)) {
            let mut out = Vec::new();
            put(&mut out, number >> shift);
            let length = out.len();
            out.extend(behind);
            let (mut quick, mut slow) = (out.as_slice(), out.as_slice());
            prop_assert_eq!(get(&mut quick), Some(number >> shift));
            prop_assert_eq!(get_slowly(&mut slow), Some(number >> shift));
            prop_assert_eq!(quick, &out[length..]);
            prop_assert_eq!(quick, slow);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let mut input = bytes.as_slice();
            while get_bytes(&mut input).is_some_and(|_| !input.is_empty()) {}
        }
    }
}
