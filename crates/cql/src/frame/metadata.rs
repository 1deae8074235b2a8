//! Column specifications: what the columns of a result, or the markers of a statement, are called and hold.
//!
//! They are encoded once for each family of versions and kept, because a prepared statement sends the same ones with
//! every answer.

use super::put::Put;
use super::type_option::put_type;
use super::version::ProtocolVersion;
use md5::{Digest, Md5};
use model::types::CqlType;
use std::sync::{Arc, OnceLock};

/// One column of a result, or one marker of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Keyspace of the table.
    pub keyspace: Arc<str>,
    /// The table.
    pub table: Arc<str>,
    /// Name or alias of the column, or name of the marker.
    pub name: Arc<str>,
    /// Its type.
    pub cql_type: CqlType,
}

/// The columns of a result, with their encodings.
#[derive(Debug, Default)]
pub struct ResultMetadata {
    columns: Vec<ColumnSpec>,
    /// For versions 3, 4, and 5 with 6, which differ in the types they know.
    encoded: [OnceLock<Vec<u8>>; 3],
    id: OnceLock<[u8; 16]>,
}

impl ResultMetadata {
    /// Of these columns.
    pub fn new(columns: Vec<ColumnSpec>) -> Self {
        Self {
            columns,
            ..Self::default()
        }
    }

    /// The columns in order.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// Whether all columns are of one table, which is then stated once. No columns have no table.
    pub fn is_global(&self) -> bool {
        match self.columns.split_first() {
            Some((first, rest)) => rest
                .iter()
                .all(|spec| spec.table == first.table && spec.keyspace == first.keyspace),
            None => false,
        }
    }

    /// `[<global_table_spec>]<col_spec>…` as this version is told.
    pub fn specifications(&self, version: ProtocolVersion) -> &[u8] {
        let family = match version {
            ProtocolVersion::V3 => 0,
            ProtocolVersion::V4 => 1,
            ProtocolVersion::V5 | ProtocolVersion::V6 => 2,
        };
        self.encoded[family].get_or_init(|| self.encode(version))
    }

    /// Id that changes with the columns, their names and types: MD5 of the specifications.
    pub fn id(&self) -> [u8; 16] {
        *self
            .id
            .get_or_init(|| Md5::digest(self.specifications(ProtocolVersion::V5)).into())
    }

    fn encode(&self, version: ProtocolVersion) -> Vec<u8> {
        let mut out = Vec::new();
        let global = self.is_global();
        if let (true, Some(first)) = (global, self.columns.first()) {
            out.put_string(&first.keyspace);
            out.put_string(&first.table);
        }
        for spec in &self.columns {
            if !global {
                out.put_string(&spec.keyspace);
                out.put_string(&spec.table);
            }
            out.put_string(&spec.name);
            put_type(&mut out, &spec.cql_type, version);
        }
        out
    }
}

impl Clone for ResultMetadata {
    fn clone(&self) -> Self {
        Self::new(self.columns.clone())
    }
}
