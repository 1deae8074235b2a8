//! What is known of an argument before its function is chosen, and which types it could be given to.

use crate::ast::LiteralKind;
use model::types::{CqlType, Frozen};

/// An argument of a call that is still to be resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    text: String,
    known: Known,
    in_parentheses: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Known {
    Typed(CqlType),
    Literal(LiteralKind, CqlType),
    List(Vec<Argument>),
    Set(Vec<Argument>),
    Map(Vec<(Argument, Argument)>),
    Null,
    Marker,
}

/// How well an argument fits a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignment {
    /// Not at all.
    No,
    /// Its bytes can be read as that type.
    Weak,
    /// It is of that type.
    Exact,
}

impl Argument {
    /// Something of a known type: a column, a call, a type hint. `text` is how messages print it.
    pub fn typed(text: impl Into<String>, ctype: CqlType) -> Self {
        Self {
            text: text.into(),
            known: Known::Typed(ctype),
            in_parentheses: false,
        }
    }

    /// A constant, and the type it has where nothing else is asked for.
    pub fn literal(text: impl Into<String>, kind: LiteralKind, natural: CqlType) -> Self {
        let text = text.into();
        let natural = match kind {
            LiteralKind::String if text.is_ascii() => CqlType::Ascii,
            LiteralKind::String => CqlType::Text,
            _ => natural,
        };
        Self {
            text,
            known: Known::Literal(kind, natural),
            in_parentheses: false,
        }
    }

    /// `[a, b]`, a list or a vector. Only selectors infer a type from the elements of a literal.
    pub fn list(text: impl Into<String>, elements: Vec<Argument>) -> Self {
        Self {
            text: text.into(),
            known: Known::List(elements),
            in_parentheses: false,
        }
    }

    /// `{a, b}`.
    pub fn set(text: impl Into<String>, elements: Vec<Argument>) -> Self {
        Self {
            text: text.into(),
            known: Known::Set(elements),
            in_parentheses: false,
        }
    }

    /// `{a: b, c: d}`.
    pub fn map(text: impl Into<String>, entries: Vec<(Argument, Argument)>) -> Self {
        Self {
            text: text.into(),
            known: Known::Map(entries),
            in_parentheses: false,
        }
    }

    /// `null`
    pub fn null(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            known: Known::Null,
            in_parentheses: false,
        }
    }

    /// A bind marker, or anything else that could be of any type.
    pub fn marker(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            known: Known::Marker,
            in_parentheses: false,
        }
    }

    /// The same between so many pairs of parentheses. It fits what it fits, but has no type where nothing is asked for: there
    /// it could be a tuple as well.
    #[must_use]
    pub fn within(mut self, parentheses: usize) -> Self {
        self.text = format!(
            "{}{}{}",
            "(".repeat(parentheses),
            self.text,
            ")".repeat(parentheses)
        );
        self.in_parentheses |= parentheses > 0;
        self
    }

    /// How messages print it.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_marker(&self) -> bool {
        self.known == Known::Marker
    }

    /// The type of its value, if that is certain.
    pub fn certain_type(&self) -> Option<&CqlType> {
        match &self.known {
            Known::Typed(ctype) => Some(ctype),
            _ => None,
        }
    }

    /// The type it has where nothing else is asked for.
    pub fn natural_type(&self) -> Option<CqlType> {
        let first = |element: Option<&Argument>| {
            let natural = element.and_then(Argument::natural_type)?;
            Some(std::sync::Arc::new(natural))
        };
        if self.in_parentheses {
            return None;
        }
        match &self.known {
            Known::Typed(ctype) | Known::Literal(_, ctype) => Some(ctype.clone()),
            Known::List(elements) => Some(CqlType::List(first(elements.first())?, Frozen::Yes)),
            Known::Set(elements) => Some(CqlType::Set(first(elements.first())?, Frozen::Yes)),
            Known::Map(entries) => {
                let (key, item) = entries.first().map(|(key, item)| (key, item)).unzip();
                Some(CqlType::Map(first(key)?, first(item)?, Frozen::Yes))
            }
            Known::Null | Known::Marker => None,
        }
    }

    /// The number of elements of a list literal.
    pub(super) fn list_length(&self) -> Option<usize> {
        match &self.known {
            _ if self.in_parentheses => None,
            Known::List(elements) => Some(elements.len()),
            _ => None,
        }
    }

    /// How well it fits a type.
    pub fn assignment(&self, target: &CqlType) -> Assignment {
        match &self.known {
            Known::Typed(ctype) => value_assignment(ctype, target),
            Known::Literal(kind, natural) => literal_assignment(*kind, natural, target),
            Known::List(elements) => match target {
                CqlType::List(element, _) => all_assignable(elements, element),
                CqlType::Vector(element, dimension) if elements.len() == *dimension as usize => {
                    all_assignable(elements, element)
                }
                _ => Assignment::No,
            },
            Known::Set(elements) => match target {
                CqlType::Set(element, _) => all_assignable(elements, element),
                CqlType::Map(..) if elements.is_empty() => Assignment::Weak,
                _ => Assignment::No,
            },
            Known::Map(entries) => match target {
                CqlType::Map(key, item, _) => entries
                    .iter()
                    .map(|(left, right)| left.assignment(key).min(right.assignment(item)))
                    .min()
                    .unwrap_or(Assignment::Weak),
                _ => Assignment::No,
            },
            Known::Null if *target == CqlType::Counter => Assignment::No,
            Known::Null | Known::Marker => Assignment::Weak,
        }
    }
}

fn all_assignable(elements: &[Argument], element: &CqlType) -> Assignment {
    elements
        .iter()
        .map(|argument| argument.assignment(element))
        .min()
        .unwrap_or(Assignment::Weak)
}

/// How well a value of type `found` fits `target`: what Cassandra calls value compatibility.
pub fn value_assignment(found: &CqlType, target: &CqlType) -> Assignment {
    use CqlType::*;
    if found == target || found.freeze() == target.freeze() {
        return Assignment::Exact;
    }
    let compatible = match (target, found) {
        (Blob, _)
        | (Bigint, Timestamp)
        | (Varint, Int | Bigint | Timestamp)
        | (Text, Ascii)
        | (Uuid, Timeuuid)
        | (Timestamp | Time, Bigint)
        | (Date, Int) => true,
        (Tuple(targets), Tuple(founds)) => parts_fit(targets.iter(), founds.iter()),
        (Tuple(targets), Udt(definition, _)) => parts_fit(
            targets.iter(),
            definition.fields.iter().map(|(_, field)| field),
        ),
        _ => false,
    };
    if compatible {
        Assignment::Weak
    } else {
        Assignment::No
    }
}

fn parts_fit<'a>(
    mut targets: impl ExactSizeIterator<Item = &'a CqlType>,
    mut founds: impl ExactSizeIterator<Item = &'a CqlType>,
) -> bool {
    targets.len() >= founds.len()
        && founds.all(|found| {
            targets
                .next()
                .is_some_and(|target| value_assignment(found, target) != Assignment::No)
        })
}

fn literal_assignment(kind: LiteralKind, natural: &CqlType, target: &CqlType) -> Assignment {
    use CqlType::*;
    if natural == target {
        return Assignment::Exact;
    }
    let fits = match kind {
        LiteralKind::String => matches!(target, Ascii | Text | Inet | Date | Time | Timestamp),
        LiteralKind::Integer => matches!(
            target,
            Bigint
                | Counter
                | Date
                | Decimal
                | Double
                | Duration
                | Float
                | Int
                | Smallint
                | Time
                | Timestamp
                | Tinyint
                | Varint
        ),
        LiteralKind::Uuid => matches!(target, Uuid | Timeuuid),
        LiteralKind::Float => matches!(target, Decimal | Double | Float),
        LiteralKind::Boolean => matches!(target, Boolean),
        LiteralKind::Hex => matches!(target, Blob),
        LiteralKind::Duration => matches!(target, CqlType::Duration),
    };
    if fits || matches!(target, Custom(_)) {
        Assignment::Weak
    } else {
        Assignment::No
    }
}
