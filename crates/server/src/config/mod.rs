//! Configuration: a `cassandra.yaml` as Cassandra 3.11 to 5.0 read it, the container image's variables, and the
//! command line; later ones win.
//!
//! [`keys`] is the one table of what may be written. [`load`] reads everything into [`Settings`], or says everything
//! that is wrong with it at once. What is accepted but not acted on is told, never passed over in silence:
//! [`Settings::warnings`].

mod access;
mod docs;
mod encryption;
mod environment;
mod internode;
pub mod keys;
mod machine;
pub mod memory;
mod report;
mod ring;
mod settings;
mod snitch;
mod tree;
mod units;
mod value;

pub use docs::markdown;
pub use encryption::{ClientAuth, ClientEncryption, EncryptionScope, ServerEncryption};
pub use internode::{CompressionScope, Internode};
pub use ring::RingSettings;
pub use settings::{
    Authentication, CommitlogSync, Features, NativeTransport, Settings, Thresholds, Timeouts,
};

use keys::{Key, State, Was};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use tree::{Content, Node, YamlError};
use value::{Value, WrongValue};

/// What `helenus` was started as; the defaults that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// `helenus dev`.
    Dev,
    /// `helenus server`.
    #[default]
    Server,
}

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The defaults to start from.
    pub profile: Profile,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The process's environment, or nothing where it does not count.
    pub environment: Vec<(String, String)>,
    /// Each `--set key=value`.
    pub overrides: Vec<String>,
    /// `--data-dir`.
    pub data_directory: Option<PathBuf>,
    /// `--seeds`.
    pub seeds: Option<String>,
    /// `--memory`.
    pub memory: Option<String>,
}

/// Where one setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Origin {
    Default,
    File { line: usize },
    Environment(&'static str),
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "line {line}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// Why there is no configuration to start with. For the operator to act on.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file is not the YAML it should be.
    #[error("{}: {error}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and what.
        error: YamlError,
    },
    /// No such key.
    #[error("{origin}: unknown key `{name}`{}", nearest.map_or_else(String::new, |known| format!("; did you mean `{known}`?")))]
    Unknown {
        /// As written.
        name: String,
        /// Where.
        origin: Origin,
        /// What is written most like it.
        nearest: Option<&'static str>,
    },
    /// The key exists, its value is wrong.
    #[error("{origin}: {name}: {error}")]
    Value {
        /// As written.
        name: String,
        /// Where.
        origin: Origin,
        /// What is wrong.
        error: WrongValue,
    },
    /// A file gives one setting under two of its names.
    #[error("{origin}: `{name}`: `{key}` is given under another name before; keep one of the two")]
    Twice {
        /// As written.
        name: String,
        /// Today's name.
        key: &'static str,
        /// Where.
        origin: Origin,
    },
    /// The value is understood and cannot be had.
    #[error("{origin}: {name}: {reason}")]
    Refused {
        /// The key.
        name: String,
        /// Where.
        origin: Origin,
        /// Why.
        reason: String,
    },
    /// `--set` without `=`.
    #[error("--set {0}: expected key=value")]
    Override(String),
}

/// Everything that is wrong with a configuration.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

/// The keys that were set, with their values; what is not here has its default.
#[derive(Debug, Default)]
struct Configured {
    values: BTreeMap<&'static str, (Value, Origin)>,
    errors: Vec<ConfigError>,
}

impl Configured {
    /// Sets a key by any of its names.
    fn set(&mut self, name: &str, node: &Node, origin: Origin) {
        let Some((key, was)) = keys::find(name) else {
            self.errors.push(ConfigError::Unknown {
                name: name.to_owned(),
                origin,
                nearest: keys::nearest(name),
            });
            return;
        };
        match Value::read(key, was, node) {
            // A key without a value is as if it were not written.
            Ok(Value::Unset) => {}
            Ok(value) => {
                let before = self.values.insert(key.name, (value, origin.clone()));
                // Of two lines nobody knows which was meant; what ranks higher than the file overrides it.
                if let (Some((_, Origin::File { .. })), Origin::File { .. }) = (before, &origin) {
                    self.errors.push(ConfigError::Twice {
                        name: name.to_owned(),
                        key: key.name,
                        origin,
                    });
                }
            }
            Err(error) => self.errors.push(ConfigError::Value {
                name: name.to_owned(),
                origin,
                error,
            }),
        }
    }

    /// The value that counts, or `None` if the key is unset and has no default.
    fn get(&self, name: &str) -> Option<Value> {
        if let Some((value, _)) = self.values.get(name) {
            return Some(value.clone());
        }
        let key = table_key(name);
        default_value(key)
    }

    fn origin(&self, name: &str) -> Origin {
        self.values
            .get(name)
            .map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    fn refuse(&mut self, name: &str, reason: impl Into<String>) {
        let origin = self.origin(name);
        self.errors.push(ConfigError::Refused {
            name: name.to_owned(),
            origin,
            reason: reason.into(),
        });
    }
}

fn table_key(name: &str) -> &'static Key {
    keys::all()
        .find(|key| key.name == name)
        .unwrap_or_else(|| panic!("{name} is a key of the table"))
}

fn default_value(key: &Key) -> Option<Value> {
    if key.default.is_empty() {
        return None;
    }
    Value::read(key, Was::Same, &Node::scalar(key.default)).ok()
}

/// Reads everything there is into settings.
pub fn load(sources: &Sources) -> Result<Settings, ConfigErrors> {
    let mut configured = Configured::default();
    if let Some(path) = &sources.file {
        read_file(path, &mut configured);
    }
    let variable = |name: &str| {
        sources
            .environment
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let (variables, seeds) = environment::settings(variable);
    for (variable, key, value) in variables {
        configured.set(key, &Node::scalar(value), Origin::Environment(variable));
    }
    if let Some(seeds) = seeds {
        configured.set(
            "seed_provider",
            &seed_provider(&seeds),
            Origin::Environment("CASSANDRA_SEEDS"),
        );
    }
    for text in &sources.overrides {
        match text.split_once('=') {
            Some((name, value)) => set_nested(&mut configured, name.trim(), value.trim()),
            None => configured.errors.push(ConfigError::Override(text.clone())),
        }
    }
    if let Some(directory) = &sources.data_directory {
        let list = Node {
            line: 0,
            content: Content::List(vec![Node::scalar(directory.to_string_lossy())]),
        };
        configured.set("data_file_directories", &list, Origin::CommandLine);
    }
    if let Some(seeds) = &sources.seeds {
        configured.set("seed_provider", &seed_provider(seeds), Origin::CommandLine);
    }
    if let Some(memory) = &sources.memory {
        configured.set("helenus_memory", &Node::scalar(memory), Origin::CommandLine);
    }
    judge_states(&mut configured);
    let files = sources
        .file
        .as_deref()
        .map(snitch::Files::beside)
        .unwrap_or_default();
    let settings = Settings::build(&mut configured, sources.profile, &files);
    if configured.errors.is_empty() {
        Ok(settings)
    } else {
        Err(ConfigErrors(configured.errors))
    }
}

fn read_file(path: &std::path::Path, configured: &mut Configured) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            configured.errors.push(ConfigError::Read {
                path: path.to_owned(),
                error,
            });
            return;
        }
    };
    match tree::parse(&text) {
        Ok(entries) => {
            for (name, node) in &entries {
                configured.set(name, node, Origin::File { line: node.line });
            }
        }
        Err(error) => configured.errors.push(ConfigError::Yaml {
            path: path.to_owned(),
            error,
        }),
    }
}

fn seed_provider(seeds: &str) -> Node {
    let mut node = Node {
        line: 0,
        content: Content::Map(Vec::new()),
    };
    node.set(&["class_name"], Node::scalar("SimpleSeedProvider"));
    node.set(&["parameters", "seeds"], Node::scalar(seeds));
    node
}

/// `--set key=value`, where a dotted key reaches into a key's tree.
fn set_nested(configured: &mut Configured, name: &str, value: &str) {
    let Some((outer, inner)) = name.split_once('.') else {
        return configured.set(name, &Node::scalar(value), Origin::CommandLine);
    };
    let mut node = match configured.values.get(outer) {
        Some((Value::Tree(node), _)) => node.clone(),
        Some((Value::Class(class), _)) => {
            let mut node = Node {
                line: 0,
                content: Content::Null,
            };
            node.set(&["class_name"], Node::scalar(&class.name));
            for (key, value) in &class.parameters {
                node.set(&["parameters", key], Node::scalar(value));
            }
            node
        }
        _ => Node {
            line: 0,
            content: Content::Null,
        },
    };
    let path: Vec<&str> = inner.split('.').collect();
    node.set(&path, Node::scalar(value));
    configured.set(outer, &node, Origin::CommandLine);
}

/// Whether what was set differs from the key's default in a way that asks for something.
fn asks_for_something(key: &Key, value: &Value) -> bool {
    match value {
        Value::Tree(node) => match node
            .get("enabled")
            .or_else(|| node.get("internode_encryption"))
        {
            Some(switch) => !matches!(switch.text(), Some("false" | "none")),
            None => key.state != State::NotYetRefused,
        },
        Value::Class(class) => {
            !class.short_name().starts_with("AllowAll")
                && class.short_name() != "DefaultCryptoProvider"
        }
        value => default_value(key).as_ref() != Some(value),
    }
}

/// Refuses what must not be ignored.
fn judge_states(configured: &mut Configured) {
    let refused: Vec<(&'static str, String)> = configured
        .values
        .iter()
        .map(|(name, (value, _))| (table_key(name), value))
        .filter(|(key, value)| asks_for_something(key, value))
        .filter_map(|(key, _)| match key.state {
            State::Refused(reason) => Some((key.name, reason.to_owned())),
            State::NotYetRefused => Some((
                key.name,
                "not supported yet, and a start that ignored it would not give what it promises"
                    .to_owned(),
            )),
            _ => None,
        })
        .collect();
    for (name, reason) in refused {
        configured.refuse(name, reason);
    }
}

/// The keys that were set to something nothing acts on so far.
fn ignored(configured: &Configured) -> Vec<&'static str> {
    configured
        .values
        .iter()
        .filter(|(name, (value, _))| {
            let key = table_key(name);
            key.state == State::NotYet && asks_for_something(key, value)
        })
        .map(|(name, _)| *name)
        .collect()
}

#[cfg(test)]
mod tests;
