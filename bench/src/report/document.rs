//! `docs/performance.md`: words by people, between marks the tables of the last whole runs, of one node and of three.

use super::{plot, table};
use crate::failure::{Failure, Outcome};
use crate::results::Run;
use std::fs;
use std::path::Path;

/// The marks around the tables of one node, and of several.
const ONE_NODE: [&str; 2] = ["<!-- measured: begin -->", "<!-- measured: end -->"];
const CLUSTER: [&str; 2] = ["<!-- cluster: begin -->", "<!-- cluster: end -->"];
const DOCUMENT: &str = "docs/performance.md";
const PLOT: &str = "docs/performance.svg";

/// Puts the tables of `run`, and the plot if it is of one node, into the document below `root`.
pub fn record(root: &Path, run: &Run) -> Outcome {
    let path = root.join(DOCUMENT);
    let text = fs::read_to_string(&path).map_err(|error| Failure::at(&path, error))?;
    let marks = if run.nodes > 1 { CLUSTER } else { ONE_NODE };
    let text = replace(&text, marks, &table::markdown(run))
        .ok_or_else(|| Failure::at(&path, format!("has no {} … {}", marks[0], marks[1])))?;
    fs::write(&path, text).map_err(|error| Failure::at(&path, error))?;
    if run.nodes > 1 {
        return Ok(());
    }
    let path = root.join(PLOT);
    fs::write(&path, plot::svg(run)).map_err(|error| Failure::at(&path, error))
}

/// `text` with `tables` between the marks.
fn replace(text: &str, [begin, end]: [&str; 2], tables: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!(
        "{before}{begin}\n{}\n{end}{after}",
        tables.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let [begin, end] = CLUSTER;
        let text = format!("before {begin}old{end} after");
        assert_eq!(
            replace(&text, CLUSTER, "new\n\n").unwrap(),
            format!("before {begin}\nnew\n{end} after")
        );
        assert_eq!(replace(&text, ONE_NODE, "new"), None);
    }
}
