//! `docs/performance.md`: words by people, between two marks the tables of the last whole run.

use super::{plot, table};
use crate::failure::{Failure, Outcome};
use crate::results::Run;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";
const DOCUMENT: &str = "docs/performance.md";
const PLOT: &str = "docs/performance.svg";

/// Puts the tables and the plot of `run` into the document below `root`.
pub fn record(root: &Path, run: &Run) -> Outcome {
    let path = root.join(DOCUMENT);
    let text = fs::read_to_string(&path).map_err(|error| Failure::at(&path, error))?;
    let text = replace(&text, &table::markdown(run))
        .ok_or_else(|| Failure::at(&path, format!("has no {BEGIN} … {END}")))?;
    fs::write(&path, text).map_err(|error| Failure::at(&path, error))?;
    let path = root.join(PLOT);
    fs::write(&path, plot::svg(run)).map_err(|error| Failure::at(&path, error))
}

/// `text` with `tables` between the marks.
fn replace(text: &str, tables: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!(
        "{before}{BEGIN}\n{}\n{END}{after}",
        tables.trim_end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("before {BEGIN}old{END} after");
        assert_eq!(
            replace(&text, "new\n\n").unwrap(),
            format!("before {BEGIN}\nnew\n{END} after")
        );
        assert_eq!(replace("no marks", "new"), None);
    }
}
