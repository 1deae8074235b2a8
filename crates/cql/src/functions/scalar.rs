//! A function of one row's values.

use super::{CallContext, CallSite, SYSTEM};
use model::error::RequestError;
use model::types::{CqlType, Identifier};
use std::borrow::Cow;
use std::fmt;

/// What a scalar function does with the bytes of its arguments.
pub(super) type Body =
    fn(&Scalar, &[Option<&[u8]>], &CallContext) -> Result<Option<Vec<u8>>, RequestError>;

/// What a function does when an argument is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnNull {
    /// It is not called, and gives null.
    ReturnsNull,
    /// It is called all the same.
    Called,
}

/// A scalar function with concrete types.
#[derive(Clone)]
pub struct Scalar {
    pub(super) name: Cow<'static, str>,
    pub(super) arguments: Vec<CqlType>,
    pub(super) returns: CqlType,
    pub(super) body: Body,
    pub(super) on_null: OnNull,
    pub(super) deterministic: bool,
    pub(super) site: CallSite,
}

impl fmt::Debug for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.signature())
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.arguments == other.arguments
            && self.returns == other.returns
    }
}

impl Scalar {
    /// A deterministic function that gives null for null.
    pub(super) fn new(
        name: impl Into<Cow<'static, str>>,
        arguments: Vec<CqlType>,
        returns: CqlType,
        body: Body,
    ) -> Self {
        Self {
            name: name.into(),
            arguments,
            returns,
            body,
            on_null: OnNull::ReturnsNull,
            deterministic: true,
            site: CallSite::ANEW,
        }
    }

    /// The same, called on null too.
    pub(super) fn called_on_null(mut self) -> Self {
        self.on_null = OnNull::Called;
        self
    }

    /// The same, with results that differ from call to call.
    pub(super) fn not_deterministic(mut self) -> Self {
        self.deterministic = false;
        self
    }

    /// The same, called at a place of its own in a statement.
    pub fn at(mut self, site: CallSite) -> Self {
        self.site = site;
        self
    }

    /// Calls it. `arguments` are as many as [`Self::argument_types`], valid values of those types.
    pub fn call(
        &self,
        arguments: &[Option<&[u8]>],
        context: &CallContext,
    ) -> Result<Option<Vec<u8>>, RequestError> {
        debug_assert_eq!(arguments.len(), self.arguments.len());
        if self.on_null == OnNull::ReturnsNull && arguments.iter().any(Option::is_none) {
            return Ok(None);
        }
        (self.body)(self, arguments, context)
    }

    /// Its name without keyspace.
    pub fn short_name(&self) -> &str {
        &self.name
    }

    /// Its name with keyspace, as messages have it.
    pub fn display_name(&self) -> String {
        format!("{SYSTEM}.{}", self.name)
    }

    /// Type of its result.
    pub fn return_type(&self) -> &CqlType {
        &self.returns
    }

    /// Types of its arguments.
    pub fn argument_types(&self) -> &[CqlType] {
        &self.arguments
    }

    /// Type of the argument at `index`.
    pub fn argument_type(&self, index: usize) -> &CqlType {
        &self.arguments[index]
    }

    /// What the argument at `index` is called in messages and in the metadata of a bind marker.
    pub fn argument_name(&self, index: usize) -> String {
        format!("arg{index}({})", self.display_name().to_lowercase())
    }

    /// Whether equal arguments always give equal results.
    pub fn is_deterministic(&self) -> bool {
        self.deterministic
    }

    /// Whether it keeps the order of its first argument while the others are constant: what GROUP BY asks.
    pub fn is_monotonic(&self) -> bool {
        matches!(
            self.name.as_ref(),
            "floor"
                | "to_date"
                | "todate"
                | "to_timestamp"
                | "totimestamp"
                | "to_unix_timestamp"
                | "tounixtimestamp"
                | "dateof"
                | "unixtimestampof"
        )
    }

    /// The name of a result column that calls it with arguments of these names.
    pub fn column_name(&self, arguments: &[String]) -> String {
        if let Some(operator) = super::resolve::operator_symbol(&self.name) {
            return format!("{} {operator} {}", arguments[0], arguments[1]);
        }
        if self.name == super::resolve::NEGATION {
            return format!("-{}", arguments[0]);
        }
        if let Some(target) = self.name.strip_prefix(super::resolve::CAST_PREFIX) {
            return format!("cast({} as {target})", arguments[0]);
        }
        format!("{}({})", self.display_name(), arguments.join(", "))
    }

    /// `system.name : (types) -> type`
    pub fn signature(&self) -> String {
        signature(&self.name, &self.arguments, &self.returns)
    }
}

/// A signature as messages list them.
pub(super) fn signature(name: &str, arguments: &[CqlType], returns: &CqlType) -> String {
    let arguments: Vec<String> = arguments.iter().map(plain).collect();
    format!(
        "{SYSTEM}.{} : ({}) -> {}",
        Identifier(name),
        arguments.join(", "),
        plain(returns)
    )
}

fn plain(ctype: &CqlType) -> String {
    ctype.to_string()
}
