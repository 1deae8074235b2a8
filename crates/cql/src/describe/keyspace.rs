//! CREATE KEYSPACE.

use super::VIRTUAL_KEYSPACES;
use crate::ast::maybe_quote;
use model::schema::Keyspace;
use std::fmt::Write as _;

/// The statement that creates a keyspace; for a virtual one a comment that says what it is.
pub fn create_keyspace(keyspace: &Keyspace) -> String {
    let name = maybe_quote(&keyspace.name);
    if VIRTUAL_KEYSPACES.contains(&keyspace.name.as_str()) {
        return format!(
            "/*\nWarning: Keyspace {name} is a virtual keyspace and cannot be recreated with CQL.\n\
             Structure, for reference:\nVIRTUAL KEYSPACE {name};\n*/"
        );
    }
    let replication = &keyspace.replication;
    let mut options = format!("'class': {}", quoted(&replication.class));
    for (key, value) in &replication.options {
        let _ = write!(options, ", {}: {}", quoted(key), quoted(value));
    }
    format!(
        "CREATE KEYSPACE {name} WITH replication = {{{options}}}  AND durable_writes = {};",
        keyspace.durable_writes
    )
}

/// A string constant.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
