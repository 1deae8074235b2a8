//! Values as they are written: constants, bind markers, literals of collections, calls and arithmetic.

use super::{QualifiedName, Type};

/// A value in a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// A constant.
    Literal(Literal),
    /// `null`
    Null,
    /// `?` or `:name`
    Marker(Marker),
    /// `[a, b]`: a list or a vector.
    List(Vec<Term>),
    /// `{a, b}`; empty it may also be a map.
    Set(Vec<Term>),
    /// `{a: b}` with at least one entry.
    Map(Vec<(Term, Term)>),
    /// `{field: value}` with at least one field.
    UserType(Vec<(String, Term)>),
    /// `(a, b)`; with a single element it may also be parentheses.
    Tuple(Vec<Term>),
    /// `(type) term`
    TypeHint {
        /// The type it is declared to be.
        target: Type,
        /// The term.
        term: Box<Term>,
    },
    /// `CAST(term AS type)`
    Cast {
        /// The term.
        term: Box<Term>,
        /// The type to convert to.
        target: NativeType,
    },
    /// `function(a, b)`
    Call(Call<Term>),
    /// `a + b`
    Binary(Box<Binary<Term>>),
    /// `-a`
    Negate(Box<Term>),
}

pub use super::types::NativeType;

/// A constant and its text: the content of a string, the digits of a number, as written otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// What the text is.
    pub kind: LiteralKind,
    /// The text without quotes; `NaN`, `Infinity` and `-Infinity` in this spelling.
    pub text: String,
}

/// The kind of a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralKind {
    /// `'text'` or `$$text$$`
    String,
    /// `-12`
    Integer,
    /// `1.5e3`, `NaN`, `-Infinity`
    Float,
    /// `true`
    Boolean,
    /// `1h30m`
    Duration,
    /// `123e4567-e89b-12d3-a456-426614174000`
    Uuid,
    /// `0xcafe`
    Hex,
}

/// A place for a value that comes with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Its number in order of appearance, from 0.
    pub index: usize,
    /// Its name, if it is not `?`.
    pub name: Option<String>,
}

/// A function call; `T` is a term or a selector.
#[derive(Debug, Clone, PartialEq)]
pub struct Call<T> {
    /// The function, its keyspace only if it was written.
    pub function: QualifiedName,
    /// The arguments.
    pub arguments: Vec<T>,
}

/// Two operands and the operator between them; `T` is a term or a selector.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary<T> {
    /// The operand before the operator.
    pub left: T,
    /// The operator.
    pub operator: ArithmeticOperator,
    /// The operand after the operator.
    pub right: T,
}

/// `+ - * / %`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithmeticOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}
