//! EXECUTE: a prepared statement.
//!
//! Body: `<id as [short bytes]>`, from version 5 on `<result metadata id as [short bytes]>`, then `<parameters>`.

use super::super::decode_error::DecodeError;
use super::super::reader::Reader;
use super::super::version::ProtocolVersion;
use super::parameters::QueryParameters;

/// A prepared statement to execute.
#[derive(Debug, Clone, Copy)]
pub struct Execute<'a> {
    /// Id that PREPARE answered.
    pub id: &'a [u8],
    /// Id of the result's columns as the client knows them; if they have changed, the answer says so.
    pub result_metadata_id: Option<&'a [u8]>,
    /// How to execute it.
    pub parameters: QueryParameters<'a>,
}

impl<'a> Execute<'a> {
    pub(super) fn decode(
        body: &mut Reader<'a>,
        version: ProtocolVersion,
    ) -> Result<Self, DecodeError> {
        let id = body.short_bytes()?;
        let result_metadata_id = if version >= ProtocolVersion::V5 {
            Some(body.short_bytes()?)
        } else {
            None
        };
        Ok(Self {
            id,
            result_metadata_id,
            parameters: QueryParameters::decode(body, version)?,
        })
    }
}
