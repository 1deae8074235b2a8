//! Calls that are banned because something better exists here, leftovers of unfinished work, and `unsafe`.

use super::source::Source;

/// Crates and directories that are the shell: they may use clocks, disks, sockets and threads.
const SHELL: [&str; 8] = [
    "server", "helenus", "orders", "lab", "xtask", "tests", "bench", "examples",
];

/// What only the shell may call, and what to use instead.
const BANNED: [(&str, &str); 12] = [
    ("Instant::now", "take the time as an argument (model::env)"),
    (
        "SystemTime::now",
        "take the time as an argument (model::env)",
    ),
    ("thread::sleep", "ask for a timer"),
    ("thread::spawn", "return work to the shell"),
    ("std::fs", "go through the disk trait (model::env)"),
    ("std::net::Tcp", "return effects; the shell has the sockets"),
    ("std::net::Udp", "return effects; the shell has the sockets"),
    ("tokio::", "return effects; the shell has the runtime"),
    ("HashMap::new(", ORDERED),
    ("HashSet::new(", ORDERED),
    ("HashMap::with_capacity(", ORDERED),
    ("RandomState", ORDERED),
];

/// Instead of a map in the order of a random number of the process, which no seed repeats.
const ORDERED: &str = "use BTreeMap or BTreeSet, or name a hasher that is the same in every run";

/// What must not stay in the code. Written in pieces, so that this file does not find itself.
const LEFTOVERS: [&str; 4] = [
    concat!("to", "do!("),
    concat!("db", "g!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
];
const LEFTOVER_WORD: &str = concat!("FIX", "ME");

/// What makes a node break a promise.
const BROKEN: &str = concat!("Policy::", "defective(");
/// What makes a node that tracks nothing, and the only program that may.
const UNTRACKED: (&str, &str) = (
    concat!("Policy::", "untracked("),
    "crates/server/examples/measured_node.rs",
);

/// Crates without any `unsafe`.
const SAFE: [&str; 3] = ["model", "cql", "cluster"];
/// How far above `unsafe` its reason may stand.
const REASON_LINES: usize = 6;

/// Findings in one file.
pub fn check(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    // A crate's examples are programs that measure it, and the simulator's command counts real seconds: shells of their own.
    let in_shell = SHELL.contains(&source.home())
        || source.path.contains("/examples/")
        || source.path == "crates/sim/src/main.rs";
    for (index, (code, line)) in source.code.iter().zip(&source.lines).enumerate() {
        let mut found =
            |what: String| findings.push(format!("{}:{}: {what}", source.path, index + 1));
        let random = has_word(code, "HashMap") || has_word(code, "HashSet");
        if !in_shell && random && !code.contains("Hasher") && !code.contains("::default()") {
            let import = code.trim_start().starts_with("use ");
            if !import {
                found(format!("a map of random order: {ORDERED}"));
            }
        }
        for (call, instead) in BANNED
            .iter()
            .filter(|(call, _)| !in_shell && code.contains(call))
        {
            found(format!("{call}: {instead}"));
        }
        for leftover in LEFTOVERS.iter().filter(|leftover| code.contains(*leftover)) {
            found(format!("{leftover} left over"));
        }
        if code.contains(BROKEN) && source.home() != "sim" {
            found(format!("{BROKEN}: only the simulator has promises broken"));
        }
        let (untracked, measured) = UNTRACKED;
        if code.contains(untracked) && source.path != measured {
            found(format!("{untracked}: only {measured} may"));
        }
        if line.contains(LEFTOVER_WORD) {
            found(format!("{LEFTOVER_WORD} left over"));
        }
        if has_word(code, "unsafe") {
            if SAFE.contains(&source.home()) {
                found("unsafe in a crate that has none".into());
            } else if !has_reason(source, index) {
                found("unsafe without a SAFETY: comment".into());
            }
        }
    }
    findings
}

/// Whether `word` stands in the line on its own (`unsafe_op_in_unsafe_fn` is another word).
fn has_word(code: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word)
    })
}

fn has_reason(source: &Source, index: usize) -> bool {
    let from = index.saturating_sub(REASON_LINES);
    source.lines[from..=index]
        .iter()
        .any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::new(path.into(), text.into())).len()
    }

    #[test]
    fn planted_faults_are_found() {
        assert_eq!(
            findings("crates/node/src/a.rs", "let t = Instant::now();\n"),
            1
        );
        assert_eq!(
            findings("crates/server/src/a.rs", "let t = Instant::now();\n"),
            0
        );
        assert_eq!(
            findings("crates/node/examples/a.rs", "let t = Instant::now();\n"),
            0
        );
        assert_eq!(
            findings("crates/node/src/a.rs", "// Instant::now is banned\n"),
            0
        );
        assert_eq!(
            findings("crates/cql/src/a.rs", "// SAFETY: fine\nunsafe { x() }\n"),
            1
        );
        assert_eq!(findings("crates/storage/src/a.rs", "unsafe { x() }\n"), 1);
        let broken = concat!("Policy::", "defective(x);\n");
        assert_eq!(findings("crates/node/src/a.rs", broken), 1);
        assert_eq!(findings("crates/sim/src/a.rs", broken), 0);
        let map = "a: HashMap<u8, u8>,\n";
        assert_eq!(findings("crates/storage/src/a.rs", map), 1);
        assert_eq!(findings("crates/server/src/a.rs", map), 0);
        let named = "a: HashMap<u8, u8, BuildHasherDefault<H>>,\n";
        assert_eq!(findings("crates/storage/src/a.rs", named), 0);
        assert_eq!(
            findings(
                "crates/storage/src/a.rs",
                "// SAFETY: fine\nunsafe { x() }\n"
            ),
            0
        );
        assert_eq!(
            findings(
                "crates/storage/src/a.rs",
                &format!("{}\"later\")\n", LEFTOVERS[0])
            ),
            1
        );
        assert_eq!(
            findings("crates/storage/src/a.rs", &format!("// {LEFTOVER_WORD}\n")),
            1
        );
    }
}
