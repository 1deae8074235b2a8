//! `system_views.hot_partitions`: which partitions take the most of their tables' requests on this node.

use super::rows::Rows;
use super::values::{bigint, double, text};
use super::view::NodeView;
use crate::hot::HotFact;
use model::key;
use model::schema::{Schema, Table};

pub(super) fn hot_partitions(view: &NodeView<'_>, rows: &mut Rows<'_>) {
    for fact in view.facts.iter().flat_map(|facts| &facts.hot) {
        // A table that is dropped meanwhile has no name to show.
        let Some(table) = table_of(view.schema, fact) else {
            continue;
        };
        rows.row()
            .set("keyspace_name", text(&table.keyspace))
            .set("table_name", text(&table.name))
            .set("operation", text(fact.access.name()))
            .set("partition_key", text(key_text(table, &fact.key)))
            .set("requests", bigint(fact.requests))
            .set("requests_too_high", bigint(fact.error))
            .set("share", double(fact.requests as f64 / fact.of as f64))
            .add();
    }
}

/// The table a fact is of.
fn table_of<'a>(schema: &'a Schema, fact: &HotFact) -> Option<&'a Table> {
    let mut tables = schema.tables();
    tables
        .find(|table| table.id == fact.table)
        .map(AsRef::as_ref)
}

/// A partition key as text, its columns between colons; what is no whole key in hexadecimal.
pub fn key_text(table: &Table, bytes: &[u8]) -> String {
    let columns = table.partition_key();
    let Some(parts) = key::split(bytes, columns.len()) else {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        return format!("0x{}", digits.collect::<String>());
    };
    let texts = columns.iter().zip(parts).map(|(column, part)| {
        let mut text = String::new();
        cql::json::print(&column.ctype, Some(part), &mut text);
        // Texts stand in quotation marks in JSON.
        let bare = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        bare.map_or_else(|| text.clone(), str::to_owned)
    });
    texts.collect::<Vec<_>>().join(":")
}
