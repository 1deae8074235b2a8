//! The one table of every key that a configuration may have.
//!
//! All keys of Apache Cassandra 5.0's `Config`, with the names they had in 4.0 and 4.1, those that older versions had,
//! and Helenus' own. What is not here stops the start. `docs/configuration.md` is generated from it.

mod cluster;
mod former;
mod guardrails;
mod network;
mod own;
mod security;
mod storage;

/// What a key's value is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number; negative mostly means no limit.
    Integer,
    /// A number.
    Number,
    /// `10s`, `500ms`, ….
    Duration,
    /// `16MiB`, ….
    Size,
    /// `64MiB/s`, ….
    Rate,
    /// A list of texts.
    List,
    /// A class name, or `class_name` and `parameters`.
    Class,
    /// Nested keys.
    Tree,
}

impl Kind {
    /// As the documentation names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Word(_) => "word",
            Self::Flag => "flag",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Rate => "rate",
            Self::List => "list",
            Self::Class => "class",
            Self::Tree => "keys",
        }
    }
}

/// The unit a bare number had under an older name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Was {
    /// Written as it is now.
    Same,
    Millis,
    Seconds,
    Minutes,
    Bytes,
    Kibibytes,
    Mebibytes,
    MebibytesPerSecond,
    MegabitsPerSecond,
}

/// What Helenus does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does what Cassandra's documentation says; the text says more, if there is more to say.
    Effective(&'static str),
    /// Something else does it, which the text names. Accepted in silence.
    Replaced(&'static str),
    /// Nothing reads it so far. Accepted; the start warns if it is not at its default.
    NotYet,
    /// Nothing reads it so far, and ignoring it would leave open what it closes, or lose what it keeps. The start is
    /// refused if it is switched on.
    NotYetRefused,
    /// The start is refused if it is not at its default.
    Refused(&'static str),
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name in Cassandra 5.0, or ours.
    pub name: &'static str,
    /// How its value is written.
    pub kind: Kind,
    /// Cassandra's default, or ours; empty if it is unset.
    pub default: &'static str,
    /// Older names, and the unit of a bare number under them. A name equal to `name` says what a bare number means now.
    pub formerly: &'static [(&'static str, Was)],
    /// What becomes of it.
    pub state: State,
}

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    formerly: &'static [(&'static str, Was)],
    state: State,
) -> Key {
    Key {
        name,
        kind,
        default,
        formerly,
        state,
    }
}

/// The table's sections, as the documentation shows them.
pub const SECTIONS: [(&str, &[Key]); 7] = [
    ("Helenus' own", own::KEYS),
    ("Network and timeouts", network::KEYS),
    ("Cluster", cluster::KEYS),
    ("Storage", storage::KEYS),
    ("Security", security::KEYS),
    ("Guardrails and switches", guardrails::KEYS),
    ("Gone from Cassandra", former::KEYS),
];

/// Every key.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|(_, keys)| keys.iter())
}

/// The key of this name, current or old, and the unit of a bare number under it.
pub fn find(name: &str) -> Option<(&'static Key, Was)> {
    for key in all() {
        if let Some((_, was)) = key.formerly.iter().find(|(old, _)| *old == name) {
            return Some((key, *was));
        }
        if key.name == name {
            return Some((key, Was::Same));
        }
    }
    None
}

/// The known name that is written most like `name`, if one is near enough to be meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    all()
        .flat_map(|key| std::iter::once(key.name).chain(key.formerly.iter().map(|(old, _)| *old)))
        .map(|known| (distance(name, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(name.len()).div_ceil(3))
        .map(|(_, known)| known)
}

/// Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Value;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_defaults_are_values() {
        let mut names = HashSet::new();
        for key in all() {
            assert!(names.insert(key.name), "{} twice", key.name);
            for (old, _) in key.formerly {
                assert!(*old == key.name || names.insert(old), "{old} twice");
            }
            if !key.default.is_empty() {
                let node = crate::config::tree::Node::scalar(key.default);
                Value::read(key, Was::Same, &node)
                    .unwrap_or_else(|error| panic!("{}: {error}", key.name));
            }
        }
        assert!(names.len() > 450, "{}", names.len());
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(
            nearest("native_transport_prot"),
            Some("native_transport_port")
        );
        assert_eq!(nearest("num_token"), Some("num_tokens"));
        assert_eq!(nearest("helenus_shard"), Some("helenus_shards"));
        assert_eq!(nearest("xyzzy"), None);
    }
}
