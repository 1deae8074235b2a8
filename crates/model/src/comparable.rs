//! Byte-comparable encodings: bytes whose `memcmp` order is the order of the type.
//!
//! The idea is that of Cassandra's ByteComparable document; the bytes are ours (`docs/formats/comparable.md`). A
//! component is a marker byte and a self-terminating body, so no encoded component is a prefix of another, and a row's
//! key is the plain concatenation of its components. Descending columns invert every byte of theirs. Markers and their
//! inverses stay strictly between 0x00 and 0xFF, which is what lets a bound be a prefix alone (below all it covers) or
//! a prefix and 0xFF (above all it covers).
//!
//! Decoding gives back the value. Where it cannot (a decimal's scale, a padded varint, a short tuple, a NaN that is
//! not the usual one), [`is_exact`] is false and the row keeps the original bytes beside.

use crate::types::CqlType;
use crate::value;
use num_bigint::{BigInt, Sign};

/// End of a collection; sorts before any further element.
const END: u8 = 0x30;
/// A null inside a tuple or user type.
const NULL: u8 = 0x38;
/// The zero-length value of a type whose values otherwise have bytes.
const EMPTY: u8 = 0x3c;
/// A value follows.
const VALUE: u8 = 0x40;
/// Greater than every byte a component begins with, in either order.
pub const ABOVE: u8 = 0xff;

/// Appends the encoding of one component; `descending` inverts it.
pub fn encode(ctype: &CqlType, wire: &[u8], descending: bool, out: &mut Vec<u8>) {
    let start = out.len();
    ascending(ctype, Some(wire), out);
    if descending {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn ascending(ctype: &CqlType, wire: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(wire) = wire else {
        return out.push(NULL);
    };
    if wire.is_empty()
        && !matches!(
            ctype,
            CqlType::Text | CqlType::Ascii | CqlType::Blob | CqlType::Custom(_)
        )
    {
        return out.push(EMPTY);
    }
    out.push(VALUE);
    match ctype {
        CqlType::Text
        | CqlType::Ascii
        | CqlType::Blob
        | CqlType::Inet
        | CqlType::Custom(_)
        | CqlType::Duration
        | CqlType::Empty => {
            escaped(wire, out);
        }
        CqlType::Tinyint
        | CqlType::Smallint
        | CqlType::Int
        | CqlType::Bigint
        | CqlType::Counter
        | CqlType::Time
        | CqlType::Timestamp => {
            out.push(wire[0] ^ 0x80);
            out.extend_from_slice(&wire[1..]);
        }
        CqlType::Boolean | CqlType::Date => out.extend_from_slice(wire),
        CqlType::Float | CqlType::Double => {
            let flip = if wire[0] & 0x80 == 0 { 0x80 } else { 0xff };
            let rest = if flip == 0xff { 0xff } else { 0 };
            out.push(wire[0] ^ flip);
            out.extend(wire[1..].iter().map(|byte| byte ^ rest));
        }
        CqlType::Uuid => uuid(wire, out),
        CqlType::Timeuuid => {
            out.extend_from_slice(&time_first(wire));
            out.extend(wire[8..16].iter().map(|byte| byte ^ 0x80));
        }
        CqlType::Varint => {
            let number = BigInt::from_signed_bytes_be(wire);
            magnitude(number.sign(), &number.to_signed_bytes_be(), out);
        }
        CqlType::Decimal => decimal(wire, out),
        CqlType::List(..)
        | CqlType::Set(..)
        | CqlType::Map(..)
        | CqlType::Tuple(_)
        | CqlType::Udt(..)
        | CqlType::Vector(..) => parts(ctype, wire, out),
    }
}

/// The parts of a value that is made of others, each a component.
fn parts(ctype: &CqlType, wire: &[u8], out: &mut Vec<u8>) {
    match ctype {
        CqlType::List(element, _) | CqlType::Set(element, _) => {
            for item in value::elements(wire) {
                ascending(element, item, out);
            }
            out.push(END);
        }
        CqlType::Map(key, item, _) => {
            for (index, part) in value::elements_of(wire, 2).enumerate() {
                ascending(if index % 2 == 0 { key } else { item }, part, out);
            }
            out.push(END);
        }
        CqlType::Tuple(types) => {
            let mut parts = value::fields(wire);
            types
                .iter()
                .for_each(|part| ascending(part, parts.next().flatten(), out));
        }
        CqlType::Udt(definition, _) => {
            // Trailing nulls are left out, so that a value written before fields were added to its type stays equal
            // to the same value written after.
            let parts: Vec<_> = value::fields(wire).collect();
            let known = parts
                .iter()
                .rposition(Option::is_some)
                .map_or(0, |last| last + 1);
            for ((_, field), part) in definition.fields.iter().zip(&parts[..known]) {
                ascending(field, *part, out);
            }
            out.push(END);
        }
        CqlType::Vector(element, dimension) => {
            value::vector_elements(element, *dimension, wire)
                .for_each(|item| ascending(element, Some(item), out));
        }
        scalar => unreachable!("{scalar} has no parts"),
    }
}

/// Zero bytes are followed by 0xFF, and the end is 0x00 0x00, so a prefix sorts first.
fn escaped(wire: &[u8], out: &mut Vec<u8>) {
    out.reserve(wire.len() + 2);
    for &byte in wire {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// A time UUID's 60-bit timestamp, most significant bits first, with the version nibble on top.
fn time_first(wire: &[u8]) -> [u8; 8] {
    [
        wire[6], wire[7], wire[4], wire[5], wire[0], wire[1], wire[2], wire[3],
    ]
}

/// Cassandra's UUIDType: by version, time UUIDs by time, others by their bytes.
fn uuid(wire: &[u8], out: &mut Vec<u8>) {
    let version = wire[6] >> 4;
    out.push(version);
    if version == 1 {
        out.extend_from_slice(&time_first(wire));
    } else {
        out.extend_from_slice(&wire[..8]);
    }
    out.extend_from_slice(&wire[8..16]);
}

/// A signed big-endian number: sign and length first (longer is further from zero), then the two's complement bytes.
fn magnitude(sign: Sign, bytes: &[u8], out: &mut Vec<u8>) {
    let length = (bytes.len() as u32).to_be_bytes();
    if sign == Sign::Minus {
        out.push(0x01);
        out.extend(length.iter().map(|byte| !byte));
    } else {
        out.push(0x02);
        out.extend_from_slice(&length);
    }
    out.extend_from_slice(bytes);
}

/// `0.d1d2… × 10^exponent`: sign, exponent, digits + 1, a zero at the end; all inverted for negative numbers.
fn decimal(wire: &[u8], out: &mut Vec<u8>) {
    let Some((scale, unscaled)) = value::decimal_parts(wire) else {
        return escaped(wire, out);
    };
    let number = BigInt::from_signed_bytes_be(unscaled);
    if number.sign() == Sign::NoSign {
        return out.push(0x02);
    }
    let digits = number.magnitude().to_str_radix(10);
    let exponent = digits.len() as i64 - i64::from(scale);
    let digits = digits.trim_end_matches('0');
    let start = out.len();
    out.push(0x03);
    out.extend_from_slice(&(exponent ^ i64::MIN).to_be_bytes());
    out.extend(digits.bytes().map(|digit| digit - b'0' + 1));
    out.push(0);
    if number.sign() == Sign::Minus {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
        out[start] = 0x01;
    }
}

/// Reads one component off the front of `input` and returns it as the protocol carries it.
/// `None` means the bytes are no encoding of the type: corruption.
pub fn decode(ctype: &CqlType, input: &mut &[u8], descending: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    decode_into(ctype, input, descending, &mut out).map(|()| out)
}

/// [`decode`], appending to `out`; what was appended before a corruption was met stays there.
pub fn decode_into(
    ctype: &CqlType,
    input: &mut &[u8],
    descending: bool,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut reader = Reader {
        input,
        invert: if descending { 0xff } else { 0 },
    };
    // A null is part of a tuple, never a component of its own.
    reader.component_into(ctype, out)?.then_some(())
}

/// Moves `input` past one component without decoding it.
pub fn skip(ctype: &CqlType, input: &mut &[u8], descending: bool) -> Option<()> {
    decode(ctype, input, descending).map(|_| ())
}

/// Whether [`decode`] gives back exactly `wire`.
pub fn is_exact(ctype: &CqlType, wire: &[u8]) -> bool {
    match ctype {
        CqlType::Text
        | CqlType::Ascii
        | CqlType::Blob
        | CqlType::Custom(_)
        | CqlType::Inet
        | CqlType::Tinyint
        | CqlType::Smallint
        | CqlType::Int
        | CqlType::Bigint
        | CqlType::Counter
        | CqlType::Time
        | CqlType::Timestamp
        | CqlType::Boolean
        | CqlType::Date
        | CqlType::Uuid
        | CqlType::Timeuuid => true,
        _ => {
            let mut bytes = Vec::new();
            encode(ctype, wire, false, &mut bytes);
            decode(ctype, &mut bytes.as_slice(), false).is_some_and(|decoded| decoded == wire)
        }
    }
}

struct Reader<'a, 'b> {
    input: &'a mut &'b [u8],
    invert: u8,
}

impl Reader<'_, '_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.input.split_first()?;
        *self.input = rest;
        Some(first ^ self.invert)
    }

    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(count);
        self.bytes_into(count, &mut out)?;
        Some(out)
    }

    /// Appends bytes and returns where they begin.
    fn bytes_into(&mut self, count: usize, out: &mut Vec<u8>) -> Option<usize> {
        let (front, rest) = self.input.split_at_checked(count)?;
        *self.input = rest;
        let start = out.len();
        out.extend(front.iter().map(|byte| byte ^ self.invert));
        Some(start)
    }

    /// Takes bytes of a length known when this is compiled, which is several times faster than [`Self::bytes_into`]:
    /// nearly all clustering columns are integers, times and UUIDs.
    #[inline]
    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.input.split_first_chunk::<N>()?;
        *self.input = rest;
        Some(front.map(|byte| byte ^ self.invert))
    }

    /// Appends a signed integer of `N` bytes.
    #[inline]
    fn signed<const N: usize>(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let mut bytes = self.fixed::<N>()?;
        bytes[0] ^= 0x80;
        out.extend_from_slice(&bytes);
        Some(())
    }

    /// The outer `None` is corruption, the inner one a null.
    fn component(&mut self, ctype: &CqlType) -> Option<Option<Vec<u8>>> {
        let mut out = Vec::new();
        let present = self.component_into(ctype, &mut out)?;
        Some(present.then_some(out))
    }

    /// Appends a component's value; `Some(false)` if it is a null, `None` if the bytes are corrupt.
    fn component_into(&mut self, ctype: &CqlType, out: &mut Vec<u8>) -> Option<bool> {
        match self.byte()? {
            NULL => return Some(false),
            EMPTY => {}
            VALUE => self.body(ctype, out)?,
            _ => return None,
        }
        Some(true)
    }

    fn body(&mut self, ctype: &CqlType, out: &mut Vec<u8>) -> Option<()> {
        match ctype {
            CqlType::Text
            | CqlType::Ascii
            | CqlType::Blob
            | CqlType::Inet
            | CqlType::Custom(_)
            | CqlType::Duration
            | CqlType::Empty => self.escaped(out)?,
            CqlType::Bigint | CqlType::Counter | CqlType::Time | CqlType::Timestamp => {
                self.signed::<8>(out)?;
            }
            CqlType::Int => self.signed::<4>(out)?,
            CqlType::Smallint => self.signed::<2>(out)?,
            CqlType::Tinyint => self.signed::<1>(out)?,
            CqlType::Boolean | CqlType::Date => {
                self.bytes_into(ctype.fixed_length()?, out)?;
            }
            CqlType::Float | CqlType::Double => {
                let start = self.bytes_into(ctype.fixed_length()?, out)?;
                if out[start] & 0x80 != 0 {
                    out[start] ^= 0x80;
                } else {
                    out[start..].iter_mut().for_each(|byte| *byte = !*byte);
                }
            }
            CqlType::Uuid => {
                let version = self.byte()?;
                let mut bytes = self.fixed::<16>()?;
                if version == 1 {
                    let front = time_last(&bytes);
                    bytes[..8].copy_from_slice(&front);
                }
                out.extend_from_slice(&bytes);
            }
            CqlType::Timeuuid => {
                let mut bytes = self.fixed::<16>()?;
                let front = time_last(&bytes);
                bytes[..8].copy_from_slice(&front);
                bytes[8..].iter_mut().for_each(|byte| *byte ^= 0x80);
                out.extend_from_slice(&bytes);
            }
            CqlType::Varint => {
                let negative = self.byte()? == 0x01;
                let length = self.bytes(4)?;
                let length = u32::from_be_bytes(length.try_into().ok()?);
                self.bytes_into(if negative { !length } else { length } as usize, out)?;
            }
            CqlType::Decimal => out.extend(self.decimal()?),
            CqlType::List(element, _) | CqlType::Set(element, _) => {
                out.extend(self.collection(&[element])?);
            }
            CqlType::Map(key, item, _) => out.extend(self.collection(&[key, item])?),
            CqlType::Tuple(_) | CqlType::Udt(..) | CqlType::Vector(..) => {
                out.extend(self.parts(ctype)?);
            }
        }
        Some(())
    }

    /// A tuple, user type or vector.
    fn parts(&mut self, ctype: &CqlType) -> Option<Vec<u8>> {
        match ctype {
            CqlType::Tuple(types) => {
                let mut out = Vec::new();
                for part in types.iter() {
                    value::put_field(&mut out, self.component(part)?.as_deref());
                }
                Some(out)
            }
            CqlType::Udt(definition, _) => {
                let mut out = Vec::new();
                for (_, field) in &definition.fields {
                    if self.input.first()? ^ self.invert == END {
                        break;
                    }
                    value::put_field(&mut out, self.component(field)?.as_deref());
                }
                (self.byte()? == END).then_some(out)
            }
            CqlType::Vector(element, dimension) => {
                let mut items = Vec::new();
                for _ in 0..*dimension {
                    items.push(self.component(element)??);
                }
                Some(value::join_vector(element, &items))
            }
            scalar => unreachable!("{scalar} has no parts"),
        }
    }

    fn escaped(&mut self, out: &mut Vec<u8>) -> Option<()> {
        loop {
            let byte = self.byte()?;
            if byte == 0 && self.byte()? == 0 {
                return Some(());
            }
            out.push(byte);
        }
    }

    fn decimal(&mut self) -> Option<Vec<u8>> {
        let sign = self.byte()?;
        if sign == 0x02 {
            return Some(vec![0, 0, 0, 0, 0]);
        }
        let flip = if sign == 0x01 { 0xff } else { 0 };
        let exponent =
            self.bytes(8)?
                .iter()
                .fold(0u64, |number, byte| number << 8 | u64::from(byte ^ flip)) as i64
                ^ i64::MIN;
        let mut digits = Vec::new();
        loop {
            match self.byte()? ^ flip {
                0 => break,
                digit => digits.push((digit - 1).wrapping_add(b'0')),
            }
        }
        let scale = i32::try_from(digits.len() as i64 - exponent).ok()?;
        let number = BigInt::parse_bytes(&digits, 10)?;
        let number = if flip == 0 { number } else { -number };
        let mut out = scale.to_be_bytes().to_vec();
        out.extend(number.to_signed_bytes_be());
        Some(out)
    }

    fn collection(&mut self, types: &[&CqlType]) -> Option<Vec<u8>> {
        let mut out = vec![0; 4];
        let mut count = 0usize;
        while self.input.first()? ^ self.invert != END {
            value::put_field(
                &mut out,
                self.component(types[count % types.len()])?.as_deref(),
            );
            count += 1;
        }
        self.byte()?;
        out[..4].copy_from_slice(&((count / types.len()) as i32).to_be_bytes());
        Some(out)
    }
}

fn time_last(bytes: &[u8]) -> [u8; 8] {
    [
        bytes[4], bytes[5], bytes[6], bytes[7], bytes[2], bytes[3], bytes[0], bytes[1],
    ]
}

#[cfg(test)]
mod tests;
