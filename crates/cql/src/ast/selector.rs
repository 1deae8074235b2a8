//! What a SELECT asks for: columns, parts of them, and what is computed from them.

use super::term::{Binary, Call};
use super::{NativeType, Term, Type};

/// One expression of a selection.
#[derive(Debug, Clone, PartialEq)]
pub enum Selector {
    /// A column.
    Column(String),
    /// A constant, `null` or a bind marker.
    Term(Term),
    /// `count(*)`
    CountRows,
    /// `writetime(column)`, `maxwritetime(column)` or `ttl(column)`
    Attribute {
        /// Which of the three.
        attribute: CellAttribute,
        /// The column.
        column: String,
        /// The column or the part of it that is meant: [`Selector::Column`] or fields, elements and slices of it.
        part: Box<Selector>,
    },
    /// `CAST(selector AS type)`
    Cast {
        /// What is converted.
        selector: Box<Selector>,
        /// The type to convert to.
        target: NativeType,
    },
    /// `function(a, b)`
    Call(Call<Selector>),
    /// `(type) selector`
    TypeHint {
        /// The type it is declared to be.
        target: Type,
        /// The selector.
        selector: Box<Selector>,
    },
    /// `(a, b)`; with a single element either parentheses or a tuple.
    Tuple(Vec<Selector>),
    /// `[a, b]`: a list or a vector.
    List(Vec<Selector>),
    /// `{a, b}`; empty it may also be a map.
    Set(Vec<Selector>),
    /// `{a: b}`: a map or a user type.
    Map(Vec<(Selector, Selector)>),
    /// `selector.field`
    Field {
        /// A value of a user type.
        of: Box<Selector>,
        /// The field.
        field: String,
    },
    /// `selector[key]`
    Element {
        /// A collection.
        of: Box<Selector>,
        /// The key of a map or an element of a set.
        key: Term,
    },
    /// `selector[from..to]`
    Slice {
        /// A collection.
        of: Box<Selector>,
        /// The first key, if bounded.
        from: Option<Term>,
        /// The last key, if bounded.
        to: Option<Term>,
    },
    /// `a + b`
    Binary(Box<Binary<Selector>>),
    /// `-a`
    Negate(Box<Selector>),
}

/// What is asked about a cell instead of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CellAttribute {
    /// When it was written, in µs since the epoch.
    Writetime,
    /// The latest write time of the cells of a collection or user type.
    MaxWritetime,
    /// How many seconds it has left.
    Ttl,
}
