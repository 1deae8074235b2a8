//! BATCH: several statements, as text or prepared, executed as one.
//!
//! Body: `<type><n><statement>…<parameters>`, each statement `<kind><text or id><values>`. Values are never named here:
//! the specification's flag for it cannot work, since it follows what it would describe.

use super::super::decode_error::DecodeError;
use super::super::reader::Reader;
use super::super::version::ProtocolVersion;
use super::parameters::QueryParameters;
use super::values::Values;

/// How a batch's statements belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BatchKind {
    Logged,
    Unlogged,
    Counter,
}

/// The statements and how to execute them.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// Logged, unlogged or of counters.
    pub kind: BatchKind,
    /// What to execute.
    pub statements: BatchStatements<'a>,
    /// How; its values are empty.
    pub parameters: QueryParameters<'a>,
}

/// One statement of a batch.
#[derive(Debug, Clone, Copy)]
pub struct BatchStatement<'a> {
    /// What to execute.
    pub query: BatchQuery<'a>,
    /// What is bound to it.
    pub values: Values<'a>,
}

/// A statement of a batch, as text or by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BatchQuery<'a> {
    Text(&'a str),
    Prepared(&'a [u8]),
}

/// A batch's statements as the frame holds them; checked once, walked in place.
#[derive(Debug, Clone)]
pub struct BatchStatements<'a> {
    region: Reader<'a>,
    left: u16,
    version: ProtocolVersion,
}

impl<'a> Batch<'a> {
    pub(super) fn decode(
        body: &mut Reader<'a>,
        version: ProtocolVersion,
    ) -> Result<Self, DecodeError> {
        let kind = match body.byte()? {
            0 => BatchKind::Logged,
            1 => BatchKind::Unlogged,
            2 => BatchKind::Counter,
            other => return Err(DecodeError::BatchKind(other)),
        };
        let left = body.short()?;
        let statements = BatchStatements {
            region: *body,
            left,
            version,
        };
        for _ in 0..left {
            BatchStatement::decode(body, version)?;
        }
        let parameters = QueryParameters {
            values: Values::none(),
            ..QueryParameters::decode(body, version)?
        };
        Ok(Self {
            kind,
            statements,
            parameters,
        })
    }
}

impl<'a> BatchStatement<'a> {
    fn decode(body: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let query = match body.byte()? {
            0 => BatchQuery::Text(body.long_string()?),
            1 => BatchQuery::Prepared(body.short_bytes()?),
            other => return Err(DecodeError::BatchStatementKind(other)),
        };
        Ok(Self {
            query,
            values: Values::decode(body, version, false)?,
        })
    }
}

impl<'a> Iterator for BatchStatements<'a> {
    type Item = BatchStatement<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // Read without an error when the frame was decoded; the same bytes read the same again.
        BatchStatement::decode(&mut self.region, self.version).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for BatchStatements<'_> {}
