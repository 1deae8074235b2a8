//! The script format.
//!
//! ```text
//! # A comment. Blank lines and comments belong to the file and survive recording.
//!
//! > SELECT v FROM t
//! > WHERE k = ?
//! @ bind: int 1
//!   v text
//!   'one'
//! ```
//! Lines with `>` are the statement, lines with `@` say how to send it, indented lines are the recorded answer. In all of
//! them `$KS` stands for the file's own keyspace, which exists and is in use when the file starts. Further keyspaces
//! are named `$KS__…`, roles too.
//!
//! Directives:
//!
//! | directive | meaning |
//! |---|---|
//! | `bind: int 1, text 'a', raw 0x00, null, unset, :name = …` | values; makes the statement prepared |
//! | `prepared` | prepare and execute although there are no values |
//! | `simple` | send the values with QUERY instead |
//! | `page: N` | page size; all pages are read and `--` stands between them |
//! | `pages: N` | stop after N pages |
//! | `consistency: NAME`, `serial: NAME` | consistency levels (ONE) |
//! | `timestamp: N`, `now: N` | default timestamp (µs), now in seconds (protocol 5) |
//! | `keyspace: NAME` | keyspace of this request (protocol 5) |
//! | `protocol: N` | protocol version (5) |
//! | `login: USER PASSWORD` | a connection of its own with this login |
//! | `batch: logged`, `unlogged` or `counter` | each `>` line is a statement of one BATCH request; `bind` lines go with them in order, `bind:` alone for none |
//! | `mask: a, b` | do not record the values of these columns, `*` for all |
//! | `unordered` | the order of rows is not promised: sort them |
//! | `lines` | one cell a line, text as it is: for DESCRIBE |
//! | `message: exact` | the error message must be the same too |
//!
//! The answer is `ok`, `keyspace: …`, `schema: …`, a header of columns and types with rows below, or `error: Class 0xcode`
//! (`at prepare` if preparing failed) with `message: …`; `variables: …` tells the bind variables of a prepared statement
//! and which of them make the partition key, `warning: …` a client warning.

use std::fmt::Write as _;

/// A script file.
#[derive(Debug, Clone)]
pub struct Script {
    /// Its content in order.
    pub items: Vec<Item>,
}

/// A piece of a script.
#[derive(Debug, Clone)]
pub enum Item {
    /// A comment or blank line.
    Text(String),
    /// A statement with its answer.
    Block(Block),
}

/// A statement, how to send it, and the recorded answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line of its first statement line, from 1.
    pub line: usize,
    /// The statement's lines without their mark.
    pub statement: Vec<String>,
    /// Directives: name and argument.
    pub directives: Vec<(String, String)>,
    /// Answer lines without indentation.
    pub answer: Vec<String>,
}

const DIRECTIVES: [&str; 17] = [
    "bind",
    "prepared",
    "simple",
    "page",
    "pages",
    "consistency",
    "serial",
    "timestamp",
    "now",
    "keyspace",
    "protocol",
    "batch",
    "mask",
    "unordered",
    "lines",
    "message",
    "login",
];

impl Block {
    /// The statement as one text.
    pub fn text(&self) -> String {
        self.statement.join("\n")
    }

    /// The argument of a directive.
    pub fn directive(&self, name: &str) -> Option<&str> {
        self.directives
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, argument)| argument.as_str())
    }

    /// The arguments of a directive that may stand several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.directives
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, argument)| argument.as_str())
    }

    /// Whether the recorded answer is an error.
    pub fn is_refusal(&self) -> bool {
        self.answer.iter().any(|line| line.starts_with("error: "))
    }
}

impl Script {
    /// Reads a file's text; an error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut items: Vec<Item> = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let fail = |what: &str| Err(format!("line {number}: {what}"));
            if let Some(statement) = mark(line, '>') {
                let begins = open.as_ref().is_none_or(|block| !block.answer.is_empty());
                if begins {
                    items.extend(open.take().map(Item::Block));
                    open = Some(Block {
                        line: number,
                        statement: Vec::new(),
                        directives: Vec::new(),
                        answer: Vec::new(),
                    });
                }
                match &mut open {
                    Some(block) if block.directives.is_empty() => {
                        block.statement.push(statement.to_owned());
                    }
                    _ => return fail("a statement line after a directive"),
                }
            } else if let Some(directive) = mark(line, '@') {
                let (name, argument) = directive.split_once(':').unwrap_or((directive, ""));
                if !DIRECTIVES.contains(&name.trim()) {
                    return fail(&format!("unknown directive «{name}»"));
                }
                match &mut open {
                    Some(block) if block.answer.is_empty() => {
                        block
                            .directives
                            .push((name.trim().to_owned(), argument.trim().to_owned()));
                    }
                    _ => return fail("a directive without a statement"),
                }
            } else if let Some(answer) = line.strip_prefix("  ") {
                match &mut open {
                    Some(block) => block.answer.push(answer.to_owned()),
                    None => return fail("an answer without a statement"),
                }
            } else if line.is_empty() || line.starts_with('#') {
                items.extend(open.take().map(Item::Block));
                items.push(Item::Text(line.to_owned()));
            } else {
                return fail("neither statement, directive, answer, comment nor blank");
            }
        }
        items.extend(open.map(Item::Block));
        Ok(Self { items })
    }

    /// The statements in order.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.items.iter().filter_map(|item| match item {
            Item::Block(block) => Some(block),
            Item::Text(_) => None,
        })
    }

    /// The statements, to record new answers into.
    pub fn blocks_mut(&mut self) -> impl Iterator<Item = &mut Block> {
        self.items.iter_mut().filter_map(|item| match item {
            Item::Block(block) => Some(block),
            Item::Text(_) => None,
        })
    }

    /// The file's text. Statements that follow one another without a blank line get one.
    pub fn print(&self) -> String {
        let mut out = String::new();
        let mut after_block = false;
        for item in &self.items {
            match item {
                Item::Text(text) => {
                    let _ = writeln!(out, "{text}");
                    after_block = false;
                }
                Item::Block(block) => {
                    if after_block {
                        out.push('\n');
                    }
                    print_block(block, &mut out);
                    after_block = true;
                }
            }
        }
        out
    }
}

fn mark(line: &str, mark: char) -> Option<&str> {
    let rest = line.strip_prefix(mark)?;
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

fn print_block(block: &Block, out: &mut String) {
    for line in &block.statement {
        let _ = writeln!(out, "{}", format!("> {line}").trim_end());
    }
    for (name, argument) in &block.directives {
        let colon = if argument.is_empty() && name != "bind" {
            ""
        } else {
            ": "
        };
        let _ = writeln!(out, "{}", format!("@ {name}{colon}{argument}").trim_end());
    }
    for line in &block.answer {
        let _ = writeln!(out, "  {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A file.\n\n> SELECT v FROM t\n> WHERE k = ?\n@ bind: int 1\n@ unordered\n  v text\n  'one'\n\n> USE $KS\n  ok\n";

    #[test]
    fn a_script_is_printed_as_it_was_read() {
        let script = Script::parse(TEXT).unwrap();
        assert_eq!(script.print(), TEXT);
        let block = script.blocks().next().unwrap();
        assert_eq!(block.text(), "SELECT v FROM t\nWHERE k = ?");
        assert_eq!(block.directive("bind"), Some("int 1"));
        assert_eq!(block.answer, ["v text", "'one'"]);
    }

    #[test]
    fn statements_without_blank_lines_between_get_them() {
        let script = Script::parse("> A\n  ok\n> B\n  ok\n").unwrap();
        assert_eq!(script.print(), "> A\n  ok\n\n> B\n  ok\n");
    }

    #[test]
    fn an_unknown_directive_is_named_with_its_line() {
        assert!(
            Script::parse("> A\n@ bnid: int 1\n")
                .unwrap_err()
                .contains("line 2")
        );
    }
}
