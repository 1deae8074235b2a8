//! What differs between a recorded answer and a fresh one.
//!
//! Everything must be the same, line by line, but the text of an error: a server's wording may be better. Messages are
//! counted and shown on request.

use super::script::{Block, Script};
use std::collections::BTreeMap;

/// How a fresh answer relates to the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same.
    Same,
    /// The same but for the error message.
    Reworded,
    /// Not the same.
    Different,
}

/// Judges a fresh answer to a block.
pub fn judge(block: &Block, fresh: &[String]) -> Verdict {
    if block.answer == fresh {
        return Verdict::Same;
    }
    let without_message = |lines: &[String]| -> Vec<String> {
        lines
            .iter()
            .filter(|line| !line.starts_with("message: "))
            .cloned()
            .collect()
    };
    let worded = block.directive("message") == Some("exact");
    if !worded && without_message(&block.answer) == without_message(fresh) {
        Verdict::Reworded
    } else {
        Verdict::Different
    }
}

/// Statements that may differ, each with its reason.
#[derive(Debug, Default)]
pub struct KnownDifferences {
    reasons: BTreeMap<(String, String), String>,
}

impl KnownDifferences {
    /// Reads the list: `file.cql > statement in one line`, and an indented reason on the next line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reasons = BTreeMap::new();
        let mut lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        while let Some((index, line)) = lines.next() {
            let Some((file, statement)) = line.split_once(" > ") else {
                return Err(format!("line {}: «file.cql > statement» wanted", index + 1));
            };
            match lines.next() {
                Some((_, reason)) if reason.starts_with("  ") => {
                    reasons.insert(
                        (file.to_owned(), statement.to_owned()),
                        reason.trim().to_owned(),
                    );
                }
                _ => {
                    return Err(format!(
                        "line {}: a reason must follow, indented",
                        index + 2
                    ));
                }
            }
        }
        Ok(Self { reasons })
    }

    /// Whether this statement of this file may differ.
    pub fn covers(&self, file: &str, block: &Block) -> bool {
        self.reasons
            .contains_key(&(file.to_owned(), one_line(block)))
    }

    /// Entries of `file` that no differing statement needed.
    pub fn unneeded(&self, file: &str, used: &[String]) -> Vec<String> {
        let of_file = self.reasons.keys().filter(|(known, _)| known == file);
        of_file
            .map(|(_, statement)| statement.clone())
            .filter(|statement| !used.contains(statement))
            .collect()
    }

    /// Files that are named.
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = self.reasons.keys().map(|(file, _)| file.as_str()).collect();
        files.dedup();
        files
    }
}

/// A statement in one line, with its bind values where it has some, as the list of known differences names it.
pub fn one_line(block: &Block) -> String {
    let mut line = block.statement.join(" ");
    for bind in block.all("bind") {
        line += &format!(" @ bind: {bind}");
    }
    line
}

/// A difference in the form of a patch.
pub fn show(file: &str, block: &Block, fresh: &[String]) -> String {
    let mut out = format!("{file}:{}\n", block.line);
    for line in &block.statement {
        out += &format!("    > {line}\n");
    }
    for (name, argument) in &block.directives {
        out += &format!("    @ {name}: {argument}\n");
    }
    let same = block
        .answer
        .iter()
        .zip(fresh)
        .take_while(|(old, new)| old == new)
        .count();
    for line in &block.answer[..same] {
        out += &format!("      {line}\n");
    }
    for line in &block.answer[same..] {
        out += &format!("    - {line}\n");
    }
    for line in &fresh[same..] {
        out += &format!("    + {line}\n");
    }
    out
}

/// Statement and refusal counts of scripts.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Statements.
    pub statements: usize,
    /// Of them refused.
    pub refusals: usize,
}

impl Counts {
    /// Counts a script.
    pub fn of(script: &Script) -> Self {
        let refusals = script.blocks().filter(|block| block.is_refusal()).count();
        Self {
            statements: script.blocks().count(),
            refusals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(directives: &str) -> Block {
        let text =
            format!("> SELECT x FROM t\n{directives}  error: Invalid 0x2200\n  message: no x\n");
        Script::parse(&text)
            .unwrap()
            .blocks()
            .next()
            .unwrap()
            .clone()
    }

    #[test]
    fn another_wording_is_no_failure_unless_the_script_says_so() {
        let fresh = [
            "error: Invalid 0x2200".to_owned(),
            "message: there is no x".to_owned(),
        ];
        assert_eq!(judge(&block(""), &fresh), Verdict::Reworded);
        assert_eq!(
            judge(&block("@ message: exact\n"), &fresh),
            Verdict::Different
        );
        assert_eq!(judge(&block(""), &["ok".to_owned()]), Verdict::Different);
    }

    #[test]
    fn an_entry_without_reason_is_refused() {
        assert!(KnownDifferences::parse("a.cql > SELECT 1\n").is_err());
        let known = KnownDifferences::parse("# why\na.cql > SELECT x FROM t\n  because\n").unwrap();
        assert!(known.covers("a.cql", &block("")));
        assert_eq!(known.unneeded("a.cql", &[]), ["SELECT x FROM t"]);
    }
}
