//! Which keyspaces nobody may change, and which only in part.
//!
//! The local and computed system keyspaces are nobody's; of the replicated ones (`system_auth`, …) the replication may
//! be altered, their tables may not. Cassandra finds this before it looks whether the thing exists.

use model::error::RequestError;

const LOCAL: &[&str] = &["system", "system_schema"];
const COMPUTED: &[&str] = &["system_views", "system_virtual_schema"];
const REPLICATED: &[&str] = &["system_auth", "system_distributed", "system_traces"];

/// Whether the keyspace belongs to the node alone, or is computed; in any case of letters.
pub(super) fn is_system(keyspace: &str) -> bool {
    let lower = keyspace.to_lowercase();
    LOCAL.contains(&lower.as_str()) || COMPUTED.contains(&lower.as_str())
}

fn check(keyspace: &str, refused: impl FnOnce() -> String) -> Result<(), RequestError> {
    if is_system(keyspace) {
        return Err(RequestError::Unauthorized(format!(
            "{keyspace} keyspace is not user-modifiable."
        )));
    }
    if REPLICATED.contains(&keyspace.to_lowercase().as_str()) {
        return Err(RequestError::Unauthorized(refused()));
    }
    Ok(())
}

/// Whether a table of the keyspace may be dropped or altered.
pub(super) fn check_table(keyspace: &str, table: &str, action: &str) -> Result<(), RequestError> {
    check(keyspace, || {
        format!("Cannot {action} <table {keyspace}.{table}>")
    })
}

/// Whether tables and types may be created, altered and dropped in the keyspace.
pub(super) fn check_content(keyspace: &str, action: &str) -> Result<(), RequestError> {
    check(keyspace, || {
        format!("Cannot {action} <all tables in {keyspace}>")
    })
}

/// Whether the keyspace may be dropped.
pub(super) fn check_drop(keyspace: &str) -> Result<(), RequestError> {
    check(keyspace, || format!("Cannot DROP <keyspace {keyspace}>"))
}

/// Whether the keyspace may be altered.
pub(super) fn check_alter(keyspace: &str) -> Result<(), RequestError> {
    if is_system(keyspace) {
        return check_drop(keyspace);
    }
    Ok(())
}

/// What statements about functions, triggers and indexes say of system keyspaces.
pub(super) fn check_not_system(keyspace: &str) -> Result<(), RequestError> {
    if is_system(keyspace) {
        return Err(RequestError::invalid(format!(
            "System keyspace '{keyspace}' is not user-modifiable"
        )));
    }
    Ok(())
}
