//! PREPARE: a statement as text, to be executed later by its id.
//!
//! Body: `<query as [long string]>`, from version 5 on followed by `<flags as [int]>[<keyspace>]`.

use super::super::decode_error::DecodeError;
use super::super::reader::Reader;
use super::super::version::ProtocolVersion;

const KEYSPACE: i32 = 0x01;

/// A statement to prepare.
#[derive(Debug, Clone, Copy)]
pub struct Prepare<'a> {
    /// The statement.
    pub text: &'a str,
    /// Keyspace of names that state none, instead of the connection's.
    pub keyspace: Option<&'a str>,
}

impl<'a> Prepare<'a> {
    pub(super) fn decode(
        body: &mut Reader<'a>,
        version: ProtocolVersion,
    ) -> Result<Self, DecodeError> {
        let text = body.long_string()?;
        let with_keyspace = version >= ProtocolVersion::V5 && body.int()? & KEYSPACE != 0;
        Ok(Self {
            text,
            keyspace: if with_keyspace {
                Some(body.string()?)
            } else {
                None
            },
        })
    }
}
