//! Values bound to a statement, and what evaluating a term gives.

use crate::frame::Value;
use crate::frame::request::Values;
use crate::functions::CallContext;
use model::error::RequestError;
use std::borrow::Cow;

/// What a term evaluates to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound<'a> {
    /// Null: deletes.
    Null,
    /// Unset: leaves as it is.
    Unset,
    /// Bytes of a value.
    Value(Cow<'a, [u8]>),
}

impl<'a> Bound<'a> {
    /// The bytes, or `None` for null; unset is refused with `message`.
    pub fn required(
        self,
        unset: impl FnOnce() -> RequestError,
    ) -> Result<Option<Cow<'a, [u8]>>, RequestError> {
        match self {
            Self::Null => Ok(None),
            Self::Unset => Err(unset()),
            Self::Value(bytes) => Ok(Some(bytes)),
        }
    }
}

/// The values of one execution, in the order of the statement's markers.
#[derive(Debug, Clone, Default)]
pub struct BoundValues<'a> {
    values: Vec<Value<'a>>,
    /// Values of an INSERT JSON's columns, behind markers numbered from [`super::json::FIRST`].
    columns: Vec<Bound<'a>>,
    /// Time and entropy for the functions of this execution.
    pub context: CallContext,
}

impl<'a> BoundValues<'a> {
    /// Puts a request's values in the order of `markers` (the names of the statement's markers, in order).
    pub fn new(
        values: Values<'a>,
        markers: &[String],
        context: CallContext,
    ) -> Result<Self, RequestError> {
        let bound = if values.are_named() {
            markers
                .iter()
                .filter_map(|name| {
                    let mut given = values.iter();
                    given.find(|(given, _)| *given == Some(name.as_str()))
                })
                .map(|(_, value)| value)
                .collect()
        } else {
            values.iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        if bound.len() != markers.len() {
            return Err(RequestError::invalid(format!(
                "Invalid amount of bind variables: expected {} but got {}",
                markers.len(),
                bound.len()
            )));
        }
        Ok(Self {
            values: bound,
            columns: Vec::new(),
            context,
        })
    }

    /// The value of the marker at `index`.
    pub fn get(&self, index: usize) -> Bound<'a> {
        if let Some(column) = index.checked_sub(super::json::FIRST) {
            return self.columns.get(column).cloned().unwrap_or(Bound::Null);
        }
        match self.values.get(index) {
            Some(Value::Set(bytes)) => Bound::Value(Cow::Borrowed(bytes)),
            Some(Value::Unset) => Bound::Unset,
            Some(Value::Null) | None => Bound::Null,
        }
    }

    /// Sets the values of an INSERT JSON's columns.
    pub(super) fn set_columns(&mut self, columns: impl Iterator<Item = Bound<'a>>) {
        self.columns = columns.collect();
    }

    /// No values: for terms that need none.
    pub fn none() -> Self {
        Self::default()
    }
}

/// A value that outlives its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
enum OwnedValue {
    Null,
    Unset,
    Set(Vec<u8>),
}

/// Values that outlive their frame: what an operation keeps while it waits.
#[derive(Debug, Clone, Default)]
pub struct OwnedValues {
    values: Vec<OwnedValue>,
    now_micros: i64,
    seed: u64,
    drawn: u32,
}

impl OwnedValues {
    /// Evaluating with them goes on after so many values drawn ([`CallContext::drawn`]).
    pub fn resume_after(&mut self, drawn: u32) {
        self.drawn = drawn;
    }
}

impl<'a> BoundValues<'a> {
    /// A copy that outlives the frame. Evaluating it again and again gives the same each time, `uuid()` included.
    pub fn to_owned_values(&self) -> OwnedValues {
        let owned = |value: &Value<'_>| match value {
            Value::Null => OwnedValue::Null,
            Value::Unset => OwnedValue::Unset,
            Value::Set(bytes) => OwnedValue::Set(bytes.to_vec()),
        };
        OwnedValues {
            values: self.values.iter().map(owned).collect(),
            now_micros: self.context.now_micros,
            seed: self.context.seed(),
            drawn: self.context.drawn(),
        }
    }

    /// The values kept.
    pub fn from_owned(owned: &'a OwnedValues) -> Self {
        let borrowed = |value: &'a OwnedValue| match value {
            OwnedValue::Null => Value::Null,
            OwnedValue::Unset => Value::Unset,
            OwnedValue::Set(bytes) => Value::Set(bytes),
        };
        let context = CallContext::new(owned.now_micros, owned.seed);
        context.resume_after(owned.drawn);
        Self {
            values: owned.values.iter().map(borrowed).collect(),
            columns: Vec::new(),
            context,
        }
    }
}
