//! Typed access to the properties of WITH, with Cassandra's messages for values of the wrong kind.

use super::number;
use crate::ast::{Properties, PropertyValue};
use model::error::RequestError;
use std::collections::BTreeMap;

/// The properties of a statement.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub &'a Properties);

impl<'a> Attributes<'a> {
    fn find(&self, name: &str) -> Option<&'a PropertyValue> {
        self.0
            .0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value)
    }

    /// Whether the property was written.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Refuses properties that are not among `known`.
    pub fn check_names(&self, known: &[&str]) -> Result<(), RequestError> {
        match self
            .0
            .0
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            Some((name, _)) => Err(RequestError::Syntax(format!("Unknown property '{name}'"))),
            None => Ok(()),
        }
    }

    /// A value that is no map.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, RequestError> {
        match self.find(name) {
            None => Ok(None),
            Some(PropertyValue::Simple(text)) => Ok(Some(text)),
            Some(PropertyValue::Map(_)) => Err(RequestError::Syntax(format!(
                "Invalid value for property '{name}'. It should be a string"
            ))),
        }
    }

    /// A map.
    pub fn map(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, RequestError> {
        match self.find(name) {
            None => Ok(None),
            Some(PropertyValue::Map(entries)) => Ok(Some(entries.iter().cloned().collect())),
            Some(PropertyValue::Simple(_)) => Err(RequestError::Syntax(format!(
                "Invalid value for property '{name}'. It should be a map."
            ))),
        }
    }

    /// A 32-bit integer.
    pub fn int(&self, name: &str) -> Result<Option<i32>, RequestError> {
        self.parsed(name, "integer", number::int)
    }

    /// A double.
    pub fn double(&self, name: &str) -> Result<Option<f64>, RequestError> {
        self.parsed(name, "double", number::double)
    }

    fn parsed<T>(
        &self,
        name: &str,
        kind: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, RequestError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(RequestError::Syntax(format!(
                "Invalid {kind} value {text} for '{name}'"
            ))),
        }
    }

    /// `true`, `yes`, `1` or their opposites, in any case of letters.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, RequestError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match text.to_lowercase().as_str() {
            "1" | "true" | "yes" => Ok(Some(true)),
            "0" | "false" | "no" => Ok(Some(false)),
            _ => Err(RequestError::Syntax(format!(
                "Invalid boolean value {text} for '{name}'. Positive values can be '1', 'true' or 'yes'. Negative \
                 values can be '0', 'false' or 'no'."
            ))),
        }
    }
}
