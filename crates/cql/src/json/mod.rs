//! JSON: what SELECT JSON and `to_json` print, and what INSERT JSON and `from_json` read.
//!
//! `tree` parses a text, `decode` makes a value of a type out of what was parsed, `print` writes values, `row` does
//! both for the columns of a table. Keys name columns and fields as CQL does: in lower case unless the key itself
//! carries double quotes (`"\"Name\""`). What is refused, and in which words, is what Cassandra 5.0.6 refuses; it reads
//! numbers with a point as doubles, whatever they are for, and ignores what follows the first value of a text.

mod decode;
mod print;
mod row;
mod tree;

pub use decode::decode;
pub use print::print;
pub(crate) use print::{Native, native_text};
pub use row::{Cell, parse_row, print_row};
pub use tree::{Tree, parse};

use crate::functions::{CallContext, SYSTEM, Scalar};
use model::error::RequestError;
use model::types::CqlType;

/// The body of `to_json`: null is the text `null`.
pub(crate) fn to_json(
    scalar: &Scalar,
    arguments: &[Option<&[u8]>],
    _: &CallContext,
) -> Result<Option<Vec<u8>>, RequestError> {
    let ctype = scalar.argument_type(0);
    // To functions a value without bytes is null where the type has no such value.
    let has_empty_values = matches!(ctype, CqlType::Ascii | CqlType::Text | CqlType::Blob);
    let value = arguments[0].filter(|wire| !wire.is_empty() || has_empty_values);
    let mut out = String::new();
    print(ctype, value, &mut out);
    Ok(Some(out.into_bytes()))
}

/// The body of `from_json`, for the type of its receiver.
pub(crate) fn from_json(
    scalar: &Scalar,
    arguments: &[Option<&[u8]>],
    _: &CallContext,
) -> Result<Option<Vec<u8>>, RequestError> {
    let Some(text) = arguments[0] else {
        return Ok(None);
    };
    let failure = |detail: String| RequestError::FunctionFailure {
        keyspace: SYSTEM.to_owned(),
        function: scalar.short_name().to_owned(),
        arg_types: vec!["text".to_owned()],
        detail,
    };
    let text = String::from_utf8_lossy(text);
    let tree = tree::parse(&text).map_err(|reason| {
        let name = scalar.display_name();
        failure(format!(
            "execution of '{name}[text]' failed: Could not decode JSON string '{text}': {reason}"
        ))
    })?;
    decode(scalar.return_type(), &tree).map_err(|error| {
        failure(format!(
            "org.apache.cassandra.serializers.MarshalException: {error}"
        ))
    })
}

#[cfg(test)]
mod tests;
