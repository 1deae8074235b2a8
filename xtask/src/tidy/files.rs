//! A source file begins with `//!`, and is part of the program.

use super::source::Source;

/// Findings in one file, given all of them.
pub fn check(source: &Source, all: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    if !source
        .lines
        .first()
        .is_some_and(|line| line.starts_with("//!"))
    {
        findings.push(format!(
            "{}:1: the first line must say what the file is for (//!)",
            source.path
        ));
    }
    if !is_root(&source.path) && !is_declared(&source.path, all) {
        findings.push(format!(
            "{}: no mod line leads here: a dead file",
            source.path
        ));
    }
    findings
}

/// Whether a build starts at this file.
fn is_root(path: &str) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = directory.rsplit('/').next().unwrap_or_default();
    matches!(name, "main.rs" | "lib.rs" | "build.rs")
        || matches!(folder, "bin" | "tests" | "benches" | "examples")
}

fn is_declared(path: &str, all: &[Source]) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (module, parent) = match name {
        "mod.rs" => {
            let (parent, module) = directory.rsplit_once('/').unwrap_or(("", directory));
            (module, parent)
        }
        _ => (name.trim_end_matches(".rs"), directory),
    };
    let declaration = format!("mod {module};");
    let parents = [
        format!("{parent}/mod.rs"),
        format!("{parent}/lib.rs"),
        format!("{parent}/main.rs"),
        format!("{parent}.rs"),
    ];
    let declares = |source: &&Source| source.code.iter().any(|line| line.contains(&declaration));
    all.iter()
        .filter(|source| parents.contains(&source.path))
        .any(|source| declares(&source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path.into(), text.into())
    }

    #[test]
    fn a_file_nobody_declares_is_dead() {
        let all = [
            source("crates/a/src/lib.rs", "//! A.\nmod b;\n"),
            source("crates/a/src/b/mod.rs", "//! B.\npub mod c;\n"),
            source("crates/a/src/b/c.rs", "//! C.\n"),
            source("crates/a/src/b/d.rs", "//! D.\n"),
        ];
        let dead: Vec<_> = all.iter().flat_map(|file| check(file, &all)).collect();
        assert_eq!(
            dead,
            ["crates/a/src/b/d.rs: no mod line leads here: a dead file"]
        );
    }

    #[test]
    fn a_file_without_a_header_is_named() {
        assert_eq!(
            check(&source("src/main.rs", "fn main() {}\n"), &[]).len(),
            1
        );
    }
}
