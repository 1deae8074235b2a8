//! `cargo xtask tidy`: the rules of the code base that neither compiler nor clippy checks.
//!
//! - [`edges`]: which crate may depend on which.
//! - [`calls`]: calls that have a replacement, leftovers, `unsafe`.
//! - [`lengths`]: functions and files that fit a head, with a list of exceptions that may only shrink.
//! - [`files`]: every source file begins by saying what it is for and is part of the program.
//! - [`documents`]: the paths that documents name exist, and every format on disk has its document.
//! - [`unused`]: what is `pub` is used.
//!
//! Every check takes text and gives sentences, so that each has a test with a planted fault.

mod calls;
mod documents;
mod edges;
mod files;
mod lengths;
mod source;
mod unused;

use crate::{TaskResult, paths};
use source::Source;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold no source of ours.
const SKIPPED: [&str; 4] = ["target", "node_modules", ".git", "helenus-data"];

/// The command.
pub fn run() -> TaskResult {
    let findings = findings(&paths::root())?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(format!("tidy: {} findings", findings.len()))
    }
}

fn findings(root: &Path) -> TaskResult<Vec<String>> {
    let mut all = Vec::new();
    walk(root, &mut all).map_err(|error| format!("{}: {error}", root.display()))?;
    all.sort();
    let relative = |path: &Path| {
        path.strip_prefix(root)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned()
    };
    let text = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let names: Vec<String> = all.iter().map(|path| relative(path)).collect();
    let mut findings = Vec::new();
    let (mut sources, mut formats) = (Vec::new(), String::new());
    for (path, name) in all.iter().zip(&names) {
        if name.ends_with("Cargo.toml") {
            findings.extend(edges::check(name, &text(path)?));
        } else if name.ends_with(".rs") {
            sources.push(Source::new(name.clone(), text(path)?));
        } else if name == "ARCHITECTURE.md" {
            findings.extend(documents::named_paths(name, &text(path)?, &names));
        } else if (name.starts_with("docs/formats/") || name.starts_with("docs/protocols/"))
            && name.ends_with(".md")
        {
            findings.extend(documents::names_a_source(name, &text(path)?, &names));
            formats += &text(path)?;
        }
    }
    for source in &sources {
        findings.extend(calls::check(source));
        findings.extend(files::check(source, &sources));
        findings.extend(documents::has_a_document(source, &formats));
    }
    findings.extend(unused::check(&sources));
    let exceptions = fs::read_to_string(root.join(lengths::EXCEPTIONS)).unwrap_or_default();
    findings.extend(lengths::check(&sources, &exceptions));
    Ok(findings)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                walk(&entry.path(), found)?;
            }
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}
