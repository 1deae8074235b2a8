//! A row of a table as JSON.

use super::tree::{self, Tree};
use super::{decode, print};
use model::error::RequestError;
use model::types::CqlType;

/// What a JSON text says about a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Missing,
    /// That it is null.
    Null,
    /// Its value.
    Value(Vec<u8>),
}

/// The name a key means: in lower case, unless it is in double quotes itself.
pub(super) fn folded(key: &str) -> String {
    match key
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(quoted) => quoted.to_owned(),
        None => key.to_lowercase(),
    }
}

/// Reads the text of an INSERT JSON for columns of these names and types; the cells come in their order.
pub fn parse_row(text: &str, columns: &[(&str, &CqlType)]) -> Result<Vec<Cell>, RequestError> {
    let invalid = RequestError::Invalid;
    let undecodable = |reason: String| {
        invalid(format!(
            "Could not decode JSON string as a map: {reason}. (String was: {text})"
        ))
    };
    let entries = match tree::parse(text).map_err(undecodable)? {
        Tree::Object(entries) => entries,
        Tree::Null => return Err(RequestError::invalid("Got null for INSERT JSON values")),
        other => {
            return Err(undecodable(format!(
                "Cannot deserialize a {} as a map",
                other.class()
            )));
        }
    };
    let mut given: Vec<Option<&Tree>> = vec![None; columns.len()];
    let mut unknown = None;
    for (key, tree) in &entries {
        let name = folded(key);
        match columns.iter().position(|(column, _)| *column == name) {
            Some(index) => given[index] = Some(tree),
            None => unknown = unknown.or(Some(name)),
        }
    }
    let mut cells = Vec::with_capacity(columns.len());
    for ((name, ctype), tree) in columns.iter().zip(given) {
        let Some(tree) = tree else {
            cells.push(Cell::Missing);
            continue;
        };
        let decoded = decode(ctype, tree)
            .map_err(|reason| invalid(format!("Error decoding JSON value for {name}: {reason}")))?;
        cells.push(decoded.map_or(Cell::Null, Cell::Value));
    }
    match unknown {
        Some(name) => Err(invalid(format!(
            "JSON values map contains unrecognized column: {name}"
        ))),
        None => Ok(cells),
    }
}

/// Prints result columns of these names, types and values as SELECT JSON does.
pub fn print_row<'a>(
    columns: impl Iterator<Item = (&'a str, &'a CqlType, Option<&'a [u8]>)>,
) -> String {
    let mut out = String::from("{");
    for (index, (name, ctype, wire)) in columns.enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        print::key_of(name, &mut out);
        out.push_str(": ");
        print(ctype, wire, &mut out);
    }
    out.push('}');
    out
}
