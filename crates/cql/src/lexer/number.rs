//! The tokens that start with a digit, and the other ways to write a duration.
//!
//! Every function looks at the bytes from the token's first digit (or `P`) on and says how many of them the token takes.

use super::Kind;

/// Length of a UUID in text.
pub const UUID_LENGTH: usize = 36;

/// Whether `bytes` starts with the 36 characters of a UUID.
pub fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() >= UUID_LENGTH
        && bytes[8] == b'-'
        && bytes[..UUID_LENGTH]
            .iter()
            .enumerate()
            .all(|(index, byte)| match index {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
}

/// Kind and length of the integer, float or duration `bytes` starts with; on error how far it could be read.
pub fn scan(bytes: &[u8]) -> Result<(Kind, usize), usize> {
    let integer = digits(bytes);
    debug_assert!(integer > 0);
    if let Some(length) = unit_duration(bytes) {
        return Ok((Kind::Duration, length));
    }
    let mut length = integer;
    let mut kind = Kind::Integer;
    // `1..2` is a range of integers and `1...2` a range that starts with the float `1.`.
    let dots = bytes[integer..]
        .iter()
        .take(3)
        .take_while(|byte| **byte == b'.')
        .count();
    if dots == 1 || dots == 3 {
        kind = Kind::Float;
        length += 1;
        if dots == 1 {
            length += digits(&bytes[length..]);
        }
    }
    if dots < 2 && matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = bytes.get(length + 1 + sign..).map_or(0, digits);
        if exponent == 0 {
            return Err(length + 1 + sign);
        }
        return Ok((Kind::Float, length + 1 + sign + exponent));
    }
    // The start of a UUID for the grammar, which does not go back from there.
    if kind == Kind::Integer && bytes.get(length).is_some_and(u8::is_ascii_hexdigit) {
        return Err(length + 1);
    }
    Ok((kind, length))
}

fn digits(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

/// Length of a duration such as `1y2mo3d`, units in any case. What follows at once is a token of its own, as in
/// Cassandra: `1WHERE` is a week and `HERE`.
fn unit_duration(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    loop {
        let count = digits(&bytes[length..]);
        if count == 0 {
            break;
        }
        let unit = unit_length(&bytes[length + count..]);
        if unit == 0 {
            break;
        }
        length += count + unit;
    }
    (length > 0).then_some(length)
}

fn unit_length(bytes: &[u8]) -> usize {
    let lower = |index: usize| bytes.get(index).map_or(0, u8::to_ascii_lowercase);
    match (lower(0), lower(1)) {
        (b'm', b'o' | b's') | (b'u' | b'n', b's') => 2,
        (b'y' | b'w' | b'd' | b'h' | b'm' | b's', _) => 1,
        // The micro sign U+00B5 takes two bytes.
        (0xC2, 0xB5) if lower(2) == b's' => 3,
        _ => 0,
    }
}

/// Length of an ISO 8601 duration (`P1Y2M3DT4H5M6S`, `P2W`, `P0001-02-03T04:05:06`); capitals only.
pub fn iso_duration(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'P') {
        return None;
    }
    if let Some(length) = alternative_form(bytes) {
        return Some(length);
    }
    let rest = &bytes[1..];
    if let Some(week) = designator(rest, b'W') {
        return Some(1 + week);
    }
    let date = designators(rest, b"YMD");
    let time = match rest.get(date) {
        Some(b'T') => match designators(&rest[date + 1..], b"HMS") {
            0 => 0,
            length => length + 1,
        },
        _ => 0,
    };
    (date + time > 0).then_some(1 + date + time)
}

/// Length of a number followed by `unit`.
fn designator(bytes: &[u8], unit: u8) -> Option<usize> {
    let count = digits(bytes);
    (count > 0 && bytes.get(count) == Some(&unit)).then_some(count + 1)
}

/// Length of numbers followed by `units`, each at most once and in order.
fn designators(bytes: &[u8], units: &[u8; 3]) -> usize {
    let mut length = 0;
    for &unit in units {
        length += designator(&bytes[length..], unit).unwrap_or(0);
    }
    length
}

/// Length of `Pyyyy-mm-ddThh:mm:ss`.
fn alternative_form(bytes: &[u8]) -> Option<usize> {
    const SHAPE: &[u8] = b"P0000-00-00T00:00:00";
    let matches = bytes.len() >= SHAPE.len()
        && SHAPE.iter().zip(bytes).all(|(shape, byte)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => shape == byte,
        });
    matches.then_some(SHAPE.len())
}
