//! A configuration as text: what a YAML file holds before anything is known about the keys.
//!
//! Scalars keep their text, because what `1024` or `no` means depends on the key. Every node knows its line, so that an
//! error can say where. Anchors are refused: no `cassandra.yaml` has them, and they can make a small file endless.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use std::fmt;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 32;

/// A node and the line it starts on; 0 if it came from no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Line in the file, from 1.
    pub line: usize,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Content {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Why a file is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// Not YAML.
    #[error("line {line}: {message}")]
    Syntax {
        /// Line in the file.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// YAML, but not of the kind a configuration is.
    #[error("line {line}: {what}")]
    Shape {
        /// Line in the file.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The same key twice in one map.
    #[error("line {line}: `{key}` is given a second time")]
    Duplicate {
        /// Line of the second.
        line: usize,
        /// The key.
        key: String,
    },
}

impl From<ScanError> for YamlError {
    fn from(error: ScanError) -> Self {
        Self::Syntax {
            line: error.marker().line(),
            message: error.info().to_owned(),
        }
    }
}

impl Node {
    /// A scalar that came from no file.
    pub fn scalar(text: impl Into<String>) -> Self {
        Self {
            line: 0,
            content: Content::Scalar(text.into()),
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The entry of this name, if this is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match &self.content {
            Content::Map(entries) => entries
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// The entries of a map; anything else has none.
    pub fn entries(&self) -> &[(String, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; the entries' values of a map are none.
    pub fn elements(&self) -> &[Self] {
        match &self.content {
            Content::List(elements) => elements,
            _ => &[],
        }
    }

    /// Sets a nested entry, making maps on the way; whatever is in the way is replaced.
    pub fn set(&mut self, path: &[&str], value: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self.content, Content::Map(_)) {
            self.content = Content::Map(Vec::new());
        }
        let Content::Map(entries) = &mut self.content else {
            unreachable!("made a map above")
        };
        let at = match entries.iter().position(|(key, _)| key == first) {
            Some(at) => at,
            None => {
                entries.push((
                    (*first).to_owned(),
                    Self {
                        line: 0,
                        content: Content::Null,
                    },
                ));
                entries.len() - 1
            }
        };
        entries[at].1.set(rest, value);
    }
}

/// As JSON-like text, for the log and `system_views.settings`.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Null => f.write_str("null"),
            Content::Scalar(text) => f.write_str(text),
            Content::List(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Content::Map(entries) => {
                f.write_str("{")?;
                for (index, (key, node)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {node}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Reads one document, which must be a map or empty.
pub fn parse(text: &str) -> Result<Vec<(String, Node)>, YamlError> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
    };
    let mut root = None;
    while let Some((event, line)) = reader.next()? {
        match event {
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::Nothing => {}
            _ if root.is_some() => {
                return Err(YamlError::Shape {
                    line,
                    what: "a second document",
                });
            }
            event => root = Some(reader.node(event, line, 0)?),
        }
    }
    match root {
        None => Ok(Vec::new()),
        Some(Node {
            content: Content::Null,
            ..
        }) => Ok(Vec::new()),
        Some(Node {
            content: Content::Map(entries),
            ..
        }) => Ok(entries),
        Some(Node { line, .. }) => Err(YamlError::Shape {
            line,
            what: "expected `key: value`",
        }),
    }
}

struct Reader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, usize)>, YamlError> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, span.start.line()))),
            Some(Err(error)) => Err(error.into()),
        }
    }

    fn expect(&mut self) -> Result<(Event<'a>, usize), YamlError> {
        self.next()?.ok_or(YamlError::Shape {
            line: 0,
            what: "the file ends too early",
        })
    }

    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, YamlError> {
        if depth > MAX_DEPTH {
            return Err(YamlError::Shape {
                line,
                what: "nested too deeply",
            });
        }
        let content = match event {
            Event::Scalar(text, style, 0, _) => match (&*text, style) {
                ("" | "~" | "null" | "Null" | "NULL", ScalarStyle::Plain) => Content::Null,
                _ => Content::Scalar(text.into_owned()),
            },
            Event::SequenceStart(0, _) => {
                let mut elements = Vec::new();
                loop {
                    match self.expect()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => elements.push(self.node(event, line, depth + 1)?),
                    }
                }
                Content::List(elements)
            }
            Event::MappingStart(0, _) => Content::Map(self.entries(depth)?),
            _ => {
                return Err(YamlError::Shape {
                    line,
                    what: "anchors and aliases are not read",
                });
            }
        };
        Ok(Node { line, content })
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(String, Node)>, YamlError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (key, line) = match self.expect()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(key, _, 0, _), line) => (key.into_owned(), line),
                (_, line) => {
                    return Err(YamlError::Shape {
                        line,
                        what: "a key must be a plain word",
                    });
                }
            };
            if entries.iter().any(|(other, _)| *other == key) {
                return Err(YamlError::Duplicate { line, key });
            }
            let (event, _) = self.expect()?;
            let mut node = self.node(event, line, depth + 1)?;
            node.line = line;
            entries.push((key, node));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_text_with_lines() {
        let text = "# comment\ncluster_name: 'Test'\nnum_tokens: 16\ninitial_token:\nseed_provider:\n  - class_name: S\n    parameters:\n      - seeds: \"a,b\"\n";
        let entries = parse(text).unwrap();
        let names: Vec<_> = entries
            .iter()
            .map(|(key, node)| (key.as_str(), node.line))
            .collect();
        assert_eq!(
            names,
            [
                ("cluster_name", 2),
                ("num_tokens", 3),
                ("initial_token", 4),
                ("seed_provider", 5)
            ]
        );
        assert_eq!(entries[1].1.text(), Some("16"));
        assert_eq!(entries[2].1.content, Content::Null);
        let provider = &entries[3].1.elements()[0];
        let parameters = provider.get("parameters").unwrap();
        assert_eq!(
            parameters.elements()[0].get("seeds").unwrap().text(),
            Some("a,b")
        );
        assert_eq!(
            entries[3].1.to_string(),
            "[{class_name: S, parameters: [{seeds: a,b}]}]"
        );
        assert_eq!(parse(""), Ok(Vec::new()));
        assert_eq!(parse("# nothing\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_configuration_says_where() {
        let error = |text| parse(text).unwrap_err().to_string();
        assert_eq!(error("a: 1\na: 2\n"), "line 2: `a` is given a second time");
        assert_eq!(error("- a\n"), "line 1: expected `key: value`");
        assert!(error("a: [1, 2\nb: 3\n").starts_with("line "));
        assert!(error("a: &x 1\nb: *x\n").contains("anchors"));
        let deep = format!("a: {}{}", "[".repeat(100), "]".repeat(100));
        assert!(error(&deep).contains("nested too deeply"));
    }

    #[test]
    fn nested_entries_can_be_set() {
        let mut node = Node::scalar("x");
        node.set(&["a", "b"], Node::scalar("1"));
        node.set(&["a", "c"], Node::scalar("2"));
        node.set(&["a", "b"], Node::scalar("3"));
        assert_eq!(node.to_string(), "{a: {b: 3, c: 2}}");
    }
}
