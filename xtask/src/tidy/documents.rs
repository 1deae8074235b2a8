//! Documents and sources stay together: a path that a document names exists, and a format's source is named by a document.

use super::source::Source;

/// How magic numbers begin. Written in pieces, so that this file does not find itself.
const MAGIC: &str = concat!("*b\"HE", "LN");

/// Findings in a document all of whose paths must exist.
pub fn named_paths(document: &str, text: &str, files: &[String]) -> Vec<String> {
    let missing = quoted_paths(text).filter(|(_, path)| !exists(path, files));
    missing
        .map(|(line, path)| format!("{document}:{line}: {path} does not exist"))
        .collect()
}

/// A format's document must name the source that implements it.
pub fn names_a_source(document: &str, text: &str, files: &[String]) -> Vec<String> {
    let names_source =
        quoted_paths(text).any(|(_, path)| path.starts_with("crates/") && exists(path, files));
    if names_source {
        Vec::new()
    } else {
        vec![format!(
            "{document}: names no existing source file (`crates/…`)"
        )]
    }
}

/// A source that begins files with a magic number of ours must be named, itself or its folder, by a document of
/// `docs/formats/`.
pub fn has_a_document(source: &Source, formats: &str) -> Vec<String> {
    let begins_files = source.lines.iter().any(|line| line.contains(MAGIC));
    let named = |path: &str| formats.contains(&format!("`{path}`"));
    let folder = source
        .path
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    if !begins_files || named(&source.path) || named(folder) {
        return Vec::new();
    }
    vec![format!(
        "{}: a format without a document: none in docs/formats/ names this file",
        source.path
    )]
}

fn exists(path: &str, files: &[String]) -> bool {
    let path = path.trim_end_matches('/');
    files.iter().any(|file| {
        file == path
            || file
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Paths between backquotes, with their lines: what has a slash, no blank or pattern character, and begins with a
/// directory of the repository.
fn quoted_paths(text: &str) -> impl Iterator<Item = (usize, &str)> {
    const TOP: [&str; 9] = [
        "crates/",
        "xtask/",
        "tests/",
        "docs/",
        "examples/",
        "bench/",
        "console/",
        "deploy/",
        ".ci/",
    ];
    text.lines().enumerate().flat_map(|(index, line)| {
        let quoted = line.split('`').skip(1).step_by(2);
        let paths = quoted.filter(|quoted| TOP.iter().any(|top| quoted.starts_with(top)));
        paths
            .filter(|path| !path.contains([' ', '*', '{', '<', '…', '$']))
            .map(move |path| (index + 1, path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_gone_is_named_with_its_line() {
        let files = ["crates/a/src/lib.rs".to_owned()];
        let text = "See `crates/a/src/` and\n`crates/a/src/gone.rs`, `helenus dev`.\n";
        assert_eq!(
            named_paths("A.md", text, &files),
            ["A.md:2: crates/a/src/gone.rs does not exist"]
        );
        assert_eq!(names_a_source("F.md", text, &files).len(), 0);
        assert_eq!(names_a_source("F.md", "nothing", &files).len(), 1);
        let line = format!("const M: [u8; 8] = {MAGIC}ABCD\";\n");
        let source = Source::new("crates/a/src/lib.rs".into(), line);
        assert_eq!(has_a_document(&source, "`crates/a/src/lib.rs`").len(), 0);
        assert_eq!(has_a_document(&source, "`crates/b/src`").len(), 1);
    }
}
