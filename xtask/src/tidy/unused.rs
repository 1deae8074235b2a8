//! What is `pub` is used: the compiler only says so of what stays within a crate.
//!
//! Names are counted as words over all code but tests. A name that occurs once, where it is defined, is used by nobody, or by
//! tests alone; two things of one name hide each other, which this accepts.

use super::source::Source;
use std::collections::BTreeMap;

const KINDS: [&str; 6] = ["fn", "struct", "enum", "const", "type", "trait"];

/// Machines that are made, and tested, for several nodes, while a node is still alone: some of their events come later.
const AHEAD: [&str; 2] = ["crates/cluster/src/", "crates/node/src/metadata_log.rs"];

/// Findings in all sources.
pub fn check(sources: &[Source]) -> Vec<String> {
    let product: Vec<&Source> = sources.iter().filter(|source| !is_test(source)).collect();
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    for source in &product {
        for line in product_lines(source) {
            for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
                *words.entry(word).or_default() += 1;
            }
        }
    }
    let mut findings = Vec::new();
    for source in product.iter().filter(|source| is_bound(&source.path)) {
        for (index, line) in product_lines(source).enumerate() {
            if let Some(name) = public_name(line)
                && words.get(name) == Some(&1)
            {
                findings.push(format!(
                    "{}:{}: {name} is pub, and nothing but tests uses it",
                    source.path,
                    index + 1
                ));
            }
        }
    }
    findings
}

/// Whether the rule holds for a file: the simulator is a tool of tests.
fn is_bound(path: &str) -> bool {
    let ahead = AHEAD.iter().any(|ahead| path.starts_with(ahead));
    path.starts_with("crates/") && !path.starts_with("crates/sim/") && !ahead
}

fn is_test(source: &Source) -> bool {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    name == "tests.rs"
        || source.path.split('/').any(|part| part == "tests") && source.path.starts_with("crates/")
}

/// The lines before the file's tests, which stand at its end.
fn product_lines(source: &Source) -> impl Iterator<Item = &str> {
    let lines = source.code.iter().map(String::as_str);
    lines.take_while(|line| !line.starts_with("mod tests {"))
}

/// The name of what a line makes public beyond its crate.
fn public_name(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = rest
        .strip_prefix("const fn ")
        .map_or(rest, |_| &rest["const ".len()..]);
    let (kind, rest) = rest.split_once(' ')?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &rest[..end.unwrap_or(rest.len())];
    (KINDS.contains(&kind) && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tests_use_is_named() {
        let source = |path: &str, text: &str| Source::new(path.into(), text.into());
        let sources = [
            source(
                "crates/a/src/lib.rs",
                "pub fn used() {}\npub const fn unused() {}\npub struct S;\n#[cfg(test)]\nmod tests {\nunused();\n}\n",
            ),
            source("crates/b/src/lib.rs", "a::used(); a::S\n"),
            source("crates/b/src/tests.rs", "a::unused()\n"),
        ];
        assert_eq!(
            check(&sources),
            ["crates/a/src/lib.rs:2: unused is pub, and nothing but tests uses it"]
        );
    }
}
