//! Reads the protocol's notations (section 3 of the specification) from a body, borrowing from it.
//!
//! Nothing is allocated and no length is believed before it is compared with the bytes that are there.

use super::decode_error::DecodeError;
use model::error::Consistency;

type Decoded<T> = Result<T, DecodeError>;

/// A cursor over the rest of a body.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// A `[value]` of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Length −1.
    Null,
    /// Length −2, from version 4 on: leaves the column as it is.
    Unset,
    /// The value in its type's encoding; may be empty.
    Set(&'a [u8]),
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, length: usize, what: &'static str) -> Decoded<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Decoded<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// `[byte]`.
    pub fn byte(&mut self) -> Decoded<u8> {
        Ok(self.array::<1>("a byte")?[0])
    }

    /// `[short]`.
    pub fn short(&mut self) -> Decoded<u16> {
        self.array("a short").map(u16::from_be_bytes)
    }

    /// `[int]`.
    pub fn int(&mut self) -> Decoded<i32> {
        self.array("an int").map(i32::from_be_bytes)
    }

    /// `[long]`.
    pub fn long(&mut self) -> Decoded<i64> {
        self.array("a long").map(i64::from_be_bytes)
    }

    /// `[consistency]`.
    pub fn consistency(&mut self) -> Decoded<Consistency> {
        let code = self.short()?;
        Consistency::from_code(code).ok_or(DecodeError::Consistency(code))
    }

    /// `[string]`.
    pub fn string(&mut self) -> Decoded<&'a str> {
        const WHAT: &str = "an UTF8 serialized string preceded by its 2 bytes length";
        let length = self.array("a string's length").map(u16::from_be_bytes)?;
        std::str::from_utf8(self.take(usize::from(length), WHAT)?).map_err(|_| DecodeError::NotUtf8)
    }

    /// `[long string]`.
    pub fn long_string(&mut self) -> Decoded<&'a str> {
        const WHAT: &str = "an UTF8 serialized string preceded by its 4 bytes length";
        let length = usize::try_from(self.int()?).map_err(|_| DecodeError::Truncated(WHAT))?;
        std::str::from_utf8(self.take(length, WHAT)?).map_err(|_| DecodeError::NotUtf8)
    }

    /// `[short bytes]`.
    pub fn short_bytes(&mut self) -> Decoded<&'a [u8]> {
        let length = self.short()?;
        self.take(
            usize::from(length),
            "a byte array preceded by its 2 bytes length",
        )
    }

    /// `[bytes]`: any negative length is null.
    pub fn bytes(&mut self) -> Decoded<Option<&'a [u8]>> {
        match usize::try_from(self.int()?) {
            Ok(length) => self
                .take(length, "a byte array preceded by its 4 bytes length")
                .map(Some),
            Err(_) => Ok(None),
        }
    }

    /// `[value]`. Before version 4 there is no unset: `unset_known` is false and every negative length is null.
    pub fn value(&mut self, unset_known: bool) -> Decoded<Value<'a>> {
        match self.int()? {
            length @ 0.. => Ok(Value::Set(
                self.take(length as usize, "a value preceded by its 4 bytes length")?,
            )),
            _ if !unset_known => Ok(Value::Null),
            -1 => Ok(Value::Null),
            -2 => Ok(Value::Unset),
            length => Err(DecodeError::Length(length)),
        }
    }

    /// `[string list]`.
    pub fn string_list(&mut self) -> Decoded<Vec<&'a str>> {
        let count = usize::from(self.short()?);
        // Each string is at least its two length bytes.
        let mut strings = Vec::with_capacity(count.min(self.rest.len() / 2));
        for _ in 0..count {
            strings.push(self.string()?);
        }
        Ok(strings)
    }

    /// `[string map]`, in the order of the wire.
    pub fn string_map(&mut self) -> Decoded<Vec<(&'a str, &'a str)>> {
        let count = usize::from(self.short()?);
        let mut pairs = Vec::with_capacity(count.min(self.rest.len() / 4));
        for _ in 0..count {
            pairs.push((self.string()?, self.string()?));
        }
        Ok(pairs)
    }

    /// `[bytes map]`, in the order of the wire.
    pub fn bytes_map(&mut self) -> Decoded<Vec<(&'a str, Option<&'a [u8]>)>> {
        let count = usize::from(self.short()?);
        let mut pairs = Vec::with_capacity(count.min(self.rest.len() / 6));
        for _ in 0..count {
            pairs.push((self.string()?, self.bytes()?));
        }
        Ok(pairs)
    }
}
