//! QUERY: a statement as text, executed once.
//!
//! Body: `<query as [long string]><parameters>`.

use super::super::decode_error::DecodeError;
use super::super::reader::Reader;
use super::super::version::ProtocolVersion;
use super::parameters::QueryParameters;

/// A statement to execute.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The statement.
    pub text: &'a str,
    /// How to execute it.
    pub parameters: QueryParameters<'a>,
}

impl<'a> Query<'a> {
    pub(super) fn decode(
        body: &mut Reader<'a>,
        version: ProtocolVersion,
    ) -> Result<Self, DecodeError> {
        Ok(Self {
            text: body.long_string()?,
            parameters: QueryParameters::decode(body, version)?,
        })
    }
}
