//! Rows, appended cell by cell.
//!
//! ```text
//! [int] 2  [int] flags  [int] columns  ([bytes] paging state)  ([short bytes] new metadata id)  (specifications)
//! [int] rows  then for each row and column [bytes]
//! ```
//! How many rows there are, and where the next page starts, is known at the end: the count is patched, the paging state
//! moved in.

use super::kind;
use crate::frame::metadata::ResultMetadata;
use crate::frame::put::Put;
use crate::frame::response::MAX_RESPONSE_BYTES;
use crate::frame::version::ProtocolVersion;

mod bits {
    pub const GLOBAL_TABLES_SPEC: i32 = 1;
    pub const HAS_MORE_PAGES: i32 = 2;
    pub const NO_METADATA: i32 = 4;
    pub const METADATA_CHANGED: i32 = 8;
}

/// Which column specifications go with the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataForm {
    /// All of them.
    Full,
    /// None: the client knows them.
    Skipped,
    /// All of them and their new id: those the client knows are out of date (version 5).
    Changed,
}

/// Writes the body of a Rows result.
#[derive(Debug)]
pub struct RowsWriter<'a> {
    out: &'a mut Vec<u8>,
    flags_at: usize,
    count_at: usize,
    columns: usize,
    cells: usize,
}

impl<'a> RowsWriter<'a> {
    /// Starts the body at the end of `out`.
    pub fn begin(
        out: &'a mut Vec<u8>,
        metadata: &ResultMetadata,
        version: ProtocolVersion,
        form: MetadataForm,
    ) -> Self {
        out.put_int(kind::ROWS);
        let flags_at = out.len();
        put_metadata(out, metadata, version, form);
        let count_at = out.len();
        out.put_int(0);
        Self {
            out,
            flags_at,
            count_at,
            columns: metadata.columns().len(),
            cells: 0,
        }
    }

    /// Appends the next cell: rows in order, in each row the columns in order.
    #[inline]
    pub fn cell(&mut self, value: Option<&[u8]>) {
        if !self.is_oversized() {
            self.out.put_bytes(value);
        }
        self.cells += 1;
    }

    /// Whether the answer is longer than a frame can be: cells are left out from then on, for an error takes its place.
    fn is_oversized(&self) -> bool {
        self.out.len() - self.flags_at > MAX_RESPONSE_BYTES
    }

    /// Whole rows written so far.
    pub fn rows(&self) -> usize {
        self.cells.checked_div(self.columns).unwrap_or(0)
    }

    /// Fills in the number of rows and, if there are more pages, where the next one starts.
    pub fn finish(self, paging_state: Option<&[u8]>) {
        assert!(
            self.columns == 0 || self.cells.is_multiple_of(self.columns),
            "{} cells do not make rows of {} columns",
            self.cells,
            self.columns
        );
        let rows = self.rows() as i32;
        self.out[self.count_at..self.count_at + 4].copy_from_slice(&rows.to_be_bytes());
        if let Some(state) = paging_state {
            self.out[self.flags_at + 3] |= bits::HAS_MORE_PAGES as u8;
            let end = self.out.len();
            self.out.put_bytes(Some(state));
            let added = self.out.len() - end;
            self.out[self.flags_at + 8..].rotate_right(added);
        }
    }
}

/// Appends `<flags><columns_count>[<new_metadata_id>][<specifications>]`.
pub(super) fn put_metadata(
    out: &mut Vec<u8>,
    metadata: &ResultMetadata,
    version: ProtocolVersion,
    form: MetadataForm,
) {
    let columns = metadata.columns().len() as i32;
    let changed = form == MetadataForm::Changed && version >= ProtocolVersion::V5;
    if form == MetadataForm::Skipped || columns == 0 {
        out.put_int(bits::NO_METADATA);
        return out.put_int(columns);
    }
    let global = if metadata.is_global() {
        bits::GLOBAL_TABLES_SPEC
    } else {
        0
    };
    out.put_int(global | if changed { bits::METADATA_CHANGED } else { 0 });
    out.put_int(columns);
    if changed {
        out.put_short_bytes(&metadata.id());
    }
    out.extend_from_slice(metadata.specifications(version));
}
