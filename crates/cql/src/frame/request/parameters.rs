//! The parameters of QUERY, EXECUTE and BATCH.
//!
//! `<consistency><flags>[values][page size][paging state][serial consistency][timestamp][keyspace][now in seconds]`,
//! the flags a byte before version 5 and four from then on. Each option is read wherever its flag is set, also in
//! versions whose specification does not name it, because Cassandra does so.

use super::super::decode_error::DecodeError;
use super::super::reader::Reader;
use super::super::version::ProtocolVersion;
use super::values::Values;
use model::error::Consistency;

mod bits {
    pub const VALUES: u32 = 0x01;
    pub const SKIP_METADATA: u32 = 0x02;
    pub const PAGE_SIZE: u32 = 0x04;
    pub const PAGING_STATE: u32 = 0x08;
    pub const SERIAL_CONSISTENCY: u32 = 0x10;
    pub const TIMESTAMP: u32 = 0x20;
    pub const NAMED_VALUES: u32 = 0x40;
    pub const KEYSPACE: u32 = 0x80;
    pub const NOW_IN_SECONDS: u32 = 0x100;
}

/// How a statement is to be executed.
#[derive(Debug, Clone, Copy)]
pub struct QueryParameters<'a> {
    /// Consistency level of the read or write.
    pub consistency: Consistency,
    /// Bound values; a batch has them per statement instead.
    pub values: Values<'a>,
    /// The client knows the result's columns: leave them out of the answer.
    pub skip_metadata: bool,
    /// Rows per page; `None` for all rows in one.
    pub page_size: Option<u32>,
    /// Where the page before this one ended.
    pub paging_state: Option<&'a [u8]>,
    /// Level of the conditional part; `None` for the default, SERIAL. Not checked to be a serial one.
    pub serial_consistency: Option<Consistency>,
    /// Write timestamp in microseconds, for statements that state none.
    pub timestamp: Option<i64>,
    /// Keyspace of names that state none, instead of the connection's.
    pub keyspace: Option<&'a str>,
    /// The request's idea of now, in seconds since 1970, for TTLs.
    pub now_in_seconds: Option<i32>,
}

impl<'a> QueryParameters<'a> {
    pub(super) fn decode(
        body: &mut Reader<'a>,
        version: ProtocolVersion,
    ) -> Result<Self, DecodeError> {
        let consistency = body.consistency()?;
        let flags = if version >= ProtocolVersion::V5 {
            body.int()? as u32
        } else {
            u32::from(body.byte()?)
        };
        let has = |bit| flags & bit != 0;

        let values = if has(bits::VALUES) {
            Values::decode(body, version, has(bits::NAMED_VALUES))?
        } else {
            Values::none()
        };
        let page_size = if has(bits::PAGE_SIZE) {
            Some(body.int()?)
        } else {
            None
        };
        let paging_state = if has(bits::PAGING_STATE) {
            body.bytes()?
        } else {
            None
        };
        let serial_consistency = if has(bits::SERIAL_CONSISTENCY) {
            Some(body.consistency()?)
        } else {
            None
        };
        let timestamp = if has(bits::TIMESTAMP) {
            Some(body.long()?)
        } else {
            None
        };
        if let Some(timestamp @ i64::MIN) = timestamp {
            return Err(DecodeError::Timestamp(timestamp));
        }
        let keyspace = if has(bits::KEYSPACE) {
            Some(body.string()?)
        } else {
            None
        };
        let now_in_seconds = if has(bits::NOW_IN_SECONDS) {
            Some(body.int()?)
        } else {
            None
        };
        Ok(Self {
            consistency,
            values,
            skip_metadata: has(bits::SKIP_METADATA),
            // A negative number asks for no paging. Zero is refused by whoever pages.
            page_size: page_size.and_then(|rows| u32::try_from(rows).ok()),
            paging_state,
            serial_consistency,
            timestamp,
            keyspace,
            now_in_seconds,
        })
    }
}
