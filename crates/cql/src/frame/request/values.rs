//! The values bound to a statement, as the frame holds them.
//!
//! Checked once when the frame is read, then walked in place as often as needed: no list is built.

use super::super::decode_error::DecodeError;
use super::super::reader::{Reader, Value};
use super::super::version::ProtocolVersion;

/// Bound values, in the order of the wire, each perhaps with the name of its marker.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Starts at the first value; what follows the last one is not looked at.
    region: Reader<'a>,
    count: u16,
    named: bool,
    unset_known: bool,
}

impl<'a> Values<'a> {
    /// No values.
    pub fn none() -> Self {
        Self {
            region: Reader::new(&[]),
            count: 0,
            named: false,
            unset_known: true,
        }
    }

    /// Reads a count and that many values, leaving `body` after the last.
    pub(super) fn decode(
        body: &mut Reader<'a>,
        version: ProtocolVersion,
        named: bool,
    ) -> Result<Self, DecodeError> {
        let count = body.short()?;
        let values = Self {
            region: *body,
            count,
            named,
            unset_known: version >= ProtocolVersion::V4,
        };
        let mut iter = values.iter();
        while let Some(value) = iter.step() {
            value?;
        }
        *body = iter.rest;
        Ok(values)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether each comes with a name.
    pub fn are_named(&self) -> bool {
        self.named
    }

    /// Walks them.
    pub fn iter(&self) -> ValueIter<'a> {
        ValueIter {
            rest: self.region,
            left: self.count,
            named: self.named,
            unset_known: self.unset_known,
        }
    }
}

impl<'a> IntoIterator for &Values<'a> {
    type Item = (Option<&'a str>, Value<'a>);
    type IntoIter = ValueIter<'a>;

    fn into_iter(self) -> ValueIter<'a> {
        self.iter()
    }
}

/// Walks [`Values`]: the name, if they are named, and the value.
#[derive(Debug, Clone)]
pub struct ValueIter<'a> {
    rest: Reader<'a>,
    left: u16,
    named: bool,
    unset_known: bool,
}

impl<'a> ValueIter<'a> {
    fn step(&mut self) -> Option<Result<(Option<&'a str>, Value<'a>), DecodeError>> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read())
    }

    fn read(&mut self) -> Result<(Option<&'a str>, Value<'a>), DecodeError> {
        let name = if self.named {
            Some(self.rest.string()?)
        } else {
            None
        };
        Ok((name, self.rest.value(self.unset_known)?))
    }
}

impl<'a> Iterator for ValueIter<'a> {
    type Item = (Option<&'a str>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        // Read without an error when the frame was decoded; the same bytes read the same again.
        self.step()?.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for ValueIter<'_> {}
