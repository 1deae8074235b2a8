//! Functions fit a screen, files fit a head. What does not is in a list of exceptions with its length; an entry that is
//! shorter than what it excuses, or excuses nothing, is an error, so the list can only shrink.

use super::source::Source;
use std::collections::BTreeMap;

/// The list: `path lines` for a file, `path::function lines` for a function.
pub const EXCEPTIONS: &str = "xtask/tidy-exceptions.txt";
const FUNCTION_MAX_LINES: usize = 70;
const FILE_MAX_LINES: usize = 600;

/// Findings in all files.
pub fn check(sources: &[Source], exceptions: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut excused = BTreeMap::new();
    for line in exceptions
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match line
            .rsplit_once(' ')
            .and_then(|(name, lines)| Some((name, lines.parse::<usize>().ok()?)))
        {
            Some((name, lines)) => drop(excused.insert(name.to_owned(), lines)),
            None => findings.push(format!("{EXCEPTIONS}: «{line}» is not a name and a number")),
        }
    }
    let mut judge = |name: String, place: String, length: usize, limit: usize| {
        let excuse = excused.remove(&name);
        if length <= limit {
            excused.extend(excuse.map(|lines| (name, lines)));
        } else if excuse.is_none_or(|lines| lines < length) {
            findings.push(format!(
                "{place}: {length} lines, more than {} ({name})",
                excuse.unwrap_or(limit)
            ));
        }
    };
    for source in sources {
        judge(
            source.path.clone(),
            source.path.clone(),
            source.lines.len(),
            FILE_MAX_LINES,
        );
        // Functions of one name in one file share an entry: the longest counts.
        let mut longest = BTreeMap::new();
        for function in source.functions() {
            let entry = longest.entry(function.name).or_insert((0, 0));
            *entry = (*entry).max((function.length, function.line));
        }
        for (name, (length, line)) in longest {
            judge(
                format!("{}::{name}", source.path),
                format!("{}:{line}", source.path),
                length,
                FUNCTION_MAX_LINES,
            );
        }
    }
    findings.extend(
        excused
            .keys()
            .map(|name| format!("{EXCEPTIONS}: {name} needs no exception any more")),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long() -> [Source; 1] {
        let text = format!("fn long() {{\n{}}}\n", "    call();\n".repeat(80));
        [Source::new("a.rs".into(), text)]
    }

    #[test]
    fn the_list_of_exceptions_can_only_shrink() {
        assert_eq!(check(&long(), "").len(), 1);
        assert_eq!(check(&long(), "a.rs::long 82\n").len(), 0);
        assert_eq!(check(&long(), "a.rs::long 81\n").len(), 1);
        assert_eq!(check(&long(), "a.rs::long 82\na.rs::gone 90\n").len(), 1);
    }
}
