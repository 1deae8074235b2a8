//! `docs/configuration.md`, generated from the table of keys.

use super::keys::{Key, Kind, SECTIONS, State, Was};
use std::fmt::Write;

const HEAD: &str = "\
# Configuration

<!-- Generated from the table of keys in crates/server/src/config/keys; a test keeps it true. -->

Helenus reads a `cassandra.yaml` as Apache Cassandra 3.11 to 5.0 have it (`helenus server --config cassandra.yaml`), or
starts on defaults without one. Later sources win: the file, the `CASSANDRA_*` variables of the official container image
(`CASSANDRA_CLUSTER_NAME`, `CASSANDRA_SEEDS`, `CASSANDRA_LISTEN_ADDRESS`, `CASSANDRA_BROADCAST_ADDRESS`,
`CASSANDRA_BROADCAST_RPC_ADDRESS`, `CASSANDRA_RPC_ADDRESS`, `CASSANDRA_NUM_TOKENS`, `CASSANDRA_DC`, `CASSANDRA_RACK`,
`CASSANDRA_ENDPOINT_SNITCH`), `--set key=value` (nested: `--set a.b=value`), and the options of their own
(`--data-dir`, `--seeds`, `--memory`).

An unknown key stops the start and names the nearest known one. Durations are written `10s`, `500ms`, `3h` (units d, h, m,
s, ms, us, ns), sizes `16MiB` (B, KiB, MiB, GiB), rates `64MiB/s`. The older names take bare numbers in their old units.

What becomes of a key:

- **effective**: it does what Cassandra's documentation says.
- **replaced by …**: something else does it; the key is accepted.
- **not yet**: nothing acts on it so far; the start warns if it is not at its default.
- **not yet, refused**: the same, but the start is refused if it is switched on, because ignoring it would leave open what
  it closes or lose what it keeps.
- **refused**: the start is refused if it is not at its default.
";

/// The whole page.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for (title, keys) in SECTIONS {
        let _ = write!(
            page,
            "\n## {title}\n\n| key | value | default | state |\n|---|---|---|---|\n"
        );
        let mut keys: Vec<&Key> = keys.iter().collect();
        keys.sort_unstable_by_key(|key| key.name);
        for key in keys {
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} |",
                names(key),
                kind(key),
                default(key),
                state(key.state)
            );
        }
    }
    page
}

fn names(key: &Key) -> String {
    let mut names = format!("`{}`", key.name);
    for (old, was) in key.formerly {
        let unit = match was {
            Was::Same => "",
            Was::Millis => ", ms",
            Was::Seconds => ", s",
            Was::Minutes => ", minutes",
            Was::Bytes => ", bytes",
            Was::Kibibytes => ", KiB",
            Was::Mebibytes => ", MiB",
            Was::MebibytesPerSecond => ", MiB/s",
            Was::MegabitsPerSecond => ", Mbit/s",
        };
        if *old == key.name {
            let _ = write!(names, " (a bare number{unit})");
        } else {
            let _ = write!(names, "<br>was `{old}`{unit}");
        }
    }
    names
}

fn kind(key: &Key) -> String {
    match key.kind {
        Kind::Word(words) => words.join(", "),
        kind => kind.name().to_owned(),
    }
}

fn default(key: &Key) -> String {
    if key.default.is_empty() {
        "unset".to_owned()
    } else {
        format!("`{}`", key.default)
    }
}

fn state(state: State) -> String {
    match state {
        State::Effective("") => "**effective**".to_owned(),
        State::Effective(more) => format!("**effective** {more}"),
        State::Replaced(by) => format!("replaced by {by}"),
        State::NotYet => "not yet".to_owned(),
        State::NotYetRefused => "not yet, refused".to_owned(),
        State::Refused(reason) => format!("refused: {reason}"),
    }
}
