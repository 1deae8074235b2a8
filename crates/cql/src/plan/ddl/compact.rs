//! COMPACT STORAGE: what a table must look like to have been made in Thrift's time.

use crate::ast::PrimaryKey;
use model::error::RequestError;
use model::types::CqlType;

/// Checks the columns outside the key: name, type, whether static.
pub(super) fn check<'a>(
    primary_key: &PrimaryKey,
    columns: impl Iterator<Item = (&'a str, &'a CqlType, bool)>,
) -> Result<(), RequestError> {
    let invalid = |message: &str| Err(RequestError::invalid(message));
    let columns: Vec<_> = columns.collect();
    if columns.iter().any(|(_, ctype, _)| ctype.is_multi_cell()) {
        return invalid("Non-frozen collections and UDTs are not supported with COMPACT STORAGE");
    }
    if columns.iter().any(|(_, _, is_static)| *is_static) {
        return invalid("Static columns are not supported in COMPACT STORAGE tables");
    }
    if primary_key.clustering.is_empty() && columns.is_empty() {
        return invalid("No definition found that is not part of the PRIMARY KEY");
    }
    if !primary_key.clustering.is_empty() && columns.len() > 1 {
        let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
        return Err(RequestError::invalid(format!(
            "COMPACT STORAGE with composite PRIMARY KEY allows no more than one column not part of the PRIMARY KEY \
             (got: {})",
            names.join(", ")
        )));
    }
    Ok(())
}
