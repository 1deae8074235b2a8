//! A key's value, read as its kind says.

use super::keys::{Key, Kind, Was};
use super::tree::{Content, Node};
use super::units;
use std::fmt;
use std::time::Duration;

/// A value that its key's kind allows.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    /// The key is written without a value, or with one that stands for none.
    Unset,
    Text(String),
    Flag(bool),
    Integer(i64),
    Number(f64),
    Duration(Duration),
    /// Bytes.
    Size(u64),
    /// Bytes a second.
    Rate(u64),
    List(Vec<String>),
    Class(Class),
    Tree(Node),
}

/// A class with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Name as written, with or without its package.
    pub name: String,
    /// Parameters in order.
    pub parameters: Vec<(String, String)>,
}

impl Class {
    /// The name without its package.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A value that its key's kind does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{written}` is not {expected}")]
pub struct WrongValue {
    /// As written.
    written: String,
    /// What would be right.
    expected: String,
}

impl Value {
    /// Reads what is written for `key`, under a name whose bare numbers have the unit `was`.
    pub fn read(key: &Key, was: Was, node: &Node) -> Result<Self, WrongValue> {
        let wrong = |expected: &str| WrongValue {
            written: node.to_string(),
            expected: expected.to_owned(),
        };
        let text = match (&node.content, key.kind) {
            (Content::Null, _) => return Ok(Self::Unset),
            (_, Kind::Tree) => return Ok(Self::Tree(node.clone())),
            (_, Kind::Class) => {
                return class(node)
                    .map(Self::Class)
                    .ok_or_else(|| wrong("a class name"));
            }
            (_, Kind::List) => {
                return list(node)
                    .map(Self::List)
                    .ok_or_else(|| wrong("a list of texts"));
            }
            (Content::Scalar(text), _) => text.trim(),
            _ => return Err(wrong("one value")),
        };
        let quantity = matches!(key.kind, Kind::Duration | Kind::Size | Kind::Rate);
        if quantity && let Ok(number) = text.parse::<f64>() {
            // Cassandra's converters take any negative number of the old spellings for "none".
            if number < 0.0 {
                return Ok(Self::Unset);
            }
            if let Some(value) = bare_number(number, was) {
                return Ok(value);
            }
        }
        match key.kind {
            Kind::Flag => flag(text)
                .map(Self::Flag)
                .ok_or_else(|| wrong("`true` or `false`")),
            Kind::Integer => text
                .parse()
                .map(Self::Integer)
                .map_err(|_| wrong("a whole number")),
            Kind::Number => text
                .parse()
                .map(Self::Number)
                .map_err(|_| wrong("a number")),
            Kind::Duration => units::duration(text).map(Self::Duration).ok_or_else(|| {
                wrong("a duration such as `10s` or `500ms` (units: d, h, m, s, ms, us, ns)")
            }),
            Kind::Size => units::size(text)
                .map(Self::Size)
                .ok_or_else(|| wrong("a size such as `16MiB` (units: B, KiB, MiB, GiB)")),
            Kind::Rate => units::rate(text)
                .map(Self::Rate)
                .ok_or_else(|| wrong("a rate such as `64MiB/s`")),
            Kind::Word(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
                Some(word) => Ok(Self::Text((*word).to_owned())),
                None => Err(wrong(&format!("one of {}", words.join(", ")))),
            },
            _ => Ok(Self::Text(text.to_owned())),
        }
    }
}

/// A bare number in the unit its old name had; `None` if it had none.
fn bare_number(number: f64, was: Was) -> Option<Value> {
    let duration =
        |seconds: f64| Value::Duration(Duration::from_secs_f64((number * seconds).min(1e12)));
    let bytes = |factor: f64| Value::Size((number * factor) as u64);
    Some(match was {
        Was::Same => return None,
        Was::Millis => duration(0.001),
        Was::Seconds => duration(1.0),
        Was::Minutes => duration(60.0),
        Was::Bytes => bytes(1.0),
        Was::Kibibytes => bytes(1024.0),
        Was::Mebibytes => bytes(1024.0 * 1024.0),
        Was::MebibytesPerSecond => Value::Rate((number * 1024.0 * 1024.0) as u64),
        Was::MegabitsPerSecond => Value::Rate((number * 125_000.0) as u64),
    })
}

/// As YAML 1.1 and Cassandra's users write it.
fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A list of scalars, or one scalar with commas, as `--set` writes it.
fn list(node: &Node) -> Option<Vec<String>> {
    match &node.content {
        Content::Scalar(text) => Some(
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
        ),
        Content::List(elements) => elements
            .iter()
            .map(|element| element.text().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

/// `Name`, or `class_name` with `parameters` that are a map or a list of maps, or a list of one of these.
fn class(node: &Node) -> Option<Class> {
    match &node.content {
        Content::Scalar(name) => Some(Class {
            name: name.clone(),
            parameters: Vec::new(),
        }),
        Content::List(elements) => class(elements.first()?),
        Content::Map(_) => {
            let name = node.get("class_name")?.text()?.to_owned();
            let mut parameters = Vec::new();
            if let Some(written) = node.get("parameters") {
                let maps = if written.elements().is_empty() {
                    std::slice::from_ref(written)
                } else {
                    written.elements()
                };
                for map in maps {
                    if let Content::Map(entries) = &map.content {
                        parameters.extend(
                            entries
                                .iter()
                                .map(|(key, value)| (key.clone(), value.to_string())),
                        );
                    }
                }
            }
            Some(Class { name, parameters })
        }
        Content::Null => None,
    }
}

/// As `system_views.settings` shows it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("null"),
            Self::Text(text) => f.write_str(text),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Duration(duration) => match duration.as_nanos() {
                nanos if nanos % 1_000_000 != 0 => write!(f, "{nanos}ns"),
                nanos if nanos % 1_000_000_000 != 0 || nanos == 0 => {
                    write!(f, "{}ms", nanos / 1_000_000)
                }
                nanos => write!(f, "{}s", nanos / 1_000_000_000),
            },
            Self::Size(bytes) => write_bytes(f, *bytes),
            Self::Rate(bytes) => {
                write_bytes(f, *bytes)?;
                f.write_str("/s")
            }
            Self::List(elements) => write!(f, "[{}]", elements.join(", ")),
            Self::Class(class) => f.write_str(&class.name),
            Self::Tree(node) => write!(f, "{node}"),
        }
    }
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
    let (number, unit) = match bytes {
        0 => (0, "B"),
        _ if bytes.is_multiple_of(1 << 20) => (bytes >> 20, "MiB"),
        _ if bytes.is_multiple_of(1 << 10) => (bytes >> 10, "KiB"),
        _ => (bytes, "B"),
    };
    write!(f, "{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;
    use crate::config::tree::parse;

    fn read(yaml: &str) -> Result<String, String> {
        let (name, node) = parse(yaml).unwrap().remove(0);
        let (key, was) = keys::find(&name).unwrap();
        Value::read(key, was, &node)
            .map(|value| format!("{} = {value}", key.name))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn old_spellings_keep_their_units() {
        let cases = [
            ("read_request_timeout: 5000ms", "read_request_timeout = 5s"),
            (
                "read_request_timeout_in_ms: 5000",
                "read_request_timeout = 5s",
            ),
            (
                "native_transport_max_frame_size_in_mb: 256",
                "native_transport_max_frame_size = 256MiB",
            ),
            ("column_index_size_in_kb: 64", "column_index_size = 64KiB"),
            (
                "compaction_throughput_mb_per_sec: 64",
                "compaction_throughput = 64MiB/s",
            ),
            (
                "stream_throughput_outbound_megabits_per_sec: 200",
                "stream_throughput_outbound = 25000000B/s",
            ),
            (
                "key_cache_save_period: 14400",
                "key_cache_save_period = 14400s",
            ),
            (
                "key_cache_save_period: 4h",
                "key_cache_save_period = 14400s",
            ),
            (
                "sstable_preemptive_open_interval_in_mb: -1",
                "sstable_preemptive_open_interval = null",
            ),
            (
                "enable_materialized_views: yes",
                "materialized_views_enabled = true",
            ),
            (
                "commitlog_sync_group_window_in_ms: 1.5",
                "commitlog_sync_group_window = 1500000ns",
            ),
            ("memtable_heap_space:", "memtable_heap_space = null"),
            ("commitlog_sync: PERIODIC", "commitlog_sync = periodic"),
        ];
        for (yaml, expected) in cases {
            assert_eq!(read(yaml), Ok(expected.to_owned()), "{yaml}");
        }
    }

    #[test]
    fn wrong_values_say_what_is_right() {
        let cases = [
            (
                "read_request_timeout: 5000",
                "`5000` is not a duration such as `10s` or `500ms` (units: d, h, m, s, ms, us, ns)",
            ),
            ("num_tokens: many", "`many` is not a whole number"),
            ("auto_snapshot: maybe", "`maybe` is not `true` or `false`"),
            (
                "commitlog_sync: never",
                "`never` is not one of group, batch, periodic",
            ),
            ("cluster_name: [a]", "`[a]` is not one value"),
        ];
        for (yaml, expected) in cases {
            assert_eq!(read(yaml), Err(expected.to_owned()), "{yaml}");
        }
    }

    #[test]
    fn classes_in_every_form() {
        let seeds = |yaml: &str| {
            let (name, node) = parse(yaml).unwrap().remove(0);
            let (key, was) = keys::find(&name).unwrap();
            let Ok(Value::Class(class)) = Value::read(key, was, &node) else {
                panic!("{yaml}")
            };
            (
                class.short_name().to_owned(),
                class.parameter("seeds").map(str::to_owned),
            )
        };
        let expected = (
            "SimpleSeedProvider".to_owned(),
            Some("10.0.0.1,10.0.0.2".to_owned()),
        );
        assert_eq!(
            seeds(
                "seed_provider:\n  - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n    parameters:\n      - seeds: \"10.0.0.1,10.0.0.2\"\n"
            ),
            expected
        );
        assert_eq!(
            seeds(
                "seed_provider:\n  class_name: SimpleSeedProvider\n  parameters:\n    seeds: 10.0.0.1,10.0.0.2\n"
            ),
            expected
        );
        assert_eq!(
            seeds("authenticator: AllowAllAuthenticator").0,
            "AllowAllAuthenticator"
        );
    }
}
