//! A data directory kept as text, and what it answers: today's code must read what an earlier build of the same formats
//! wrote. `cargo run -p sim -- fixture` makes a new one, for a change of the formats' version.
//!
//! A line `file PATH LENGTH` begins a file, whose lines `OFFSET HEX` follow; what they leave out is zero. A line
//! `answer STATEMENT` is followed by the answer in Rust's notation.

use super::machine::{Answer, Machine};
use crate::disk::SimDisk;
use crate::random::Rng;
use std::fmt::Write;
use storage::{Generation, StoreConfig};

/// Bytes of a line.
const LINE_BYTES: usize = 64;
/// Shards of the node that wrote it; it is read by others, too.
const SHARDS: u16 = 2;
/// Longest virtual time a drain may take, in milliseconds.
const PATIENCE_MS: u64 = 60_000;

/// What is in the SSTables.
const FLUSHED: &[&str] = &[
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TYPE ks.place (street text, number int)",
    "CREATE TABLE ks.plain (k int, c text, s text STATIC, v blob, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (c DESC)",
    "CREATE TABLE ks.types (k uuid PRIMARY KEY, b boolean, d decimal, f double, i inet, l list<text>, m map<int, text>, \
     p frozen<place>, q place, s set<timestamp>, t tuple<int, text>, u duration, v vector<float, 2>)",
    "CREATE TABLE ks.counted (k text PRIMARY KEY, c counter)",
    "INSERT INTO ks.plain (k, c, s, v) VALUES (1, 'a', 'static', 0xCAFE)",
    "INSERT INTO ks.plain (k, c, v) VALUES (1, 'b', 0xBABE) USING TIMESTAMP 1000",
    "INSERT INTO ks.plain (k, c, v) VALUES (2, 'c', 0x00) USING TTL 100000000",
    "INSERT INTO ks.plain (k, c, v) VALUES (3, 'gone', 0x01)",
    "INSERT INTO ks.types (k, b, d, f, i, l, m, p, q, s, t, u, v) VALUES (11111111-2222-4333-8444-555555555555, true, 1.50, \
     -0.0, '10.0.0.1', ['x', 'y'], {1: 'one', 2: 'two'}, {street: 'High', number: 3}, {street: 'Low', number: 4}, \
     {'2026-01-01', '2026-02-02'}, (7, 'seven'), 1mo2d3h, [0.5, -1])",
    "UPDATE ks.counted SET c = c + 3 WHERE k = 'clicks'",
];
/// What is in the commit log alone.
const LOGGED: &[&str] = &[
    "UPDATE ks.counted SET c = c + 4 WHERE k = 'clicks'",
    "DELETE FROM ks.plain WHERE k = 3",
    "DELETE FROM ks.plain WHERE k = 1 AND c > 'a'",
    "UPDATE ks.types SET l = l + ['z'], m[2] = 'deux', q.number = 5 WHERE k = 11111111-2222-4333-8444-555555555555",
    "INSERT INTO ks.plain (k, c, v) VALUES (4, 'logged', 0xFF) IF NOT EXISTS",
    "ALTER TABLE ks.plain ADD w int",
    "INSERT INTO ks.plain (k, c, w) VALUES (5, 'new', 5)",
    "BEGIN BATCH INSERT INTO ks.plain (k, c) VALUES (6, 'one'); INSERT INTO ks.plain (k, c) VALUES (7, 'other'); APPLY BATCH",
];
/// What is asked.
const ASKED: &[&str] = &[
    "SELECT k, c, s, v, w, writetime(v) FROM ks.plain",
    "SELECT * FROM ks.types",
    "SELECT * FROM ks.counted",
    "SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = 'ks'",
    "SELECT role, is_superuser FROM system_auth.roles",
];

fn machine() -> Machine {
    let generation = Generation {
        number: 0,
        previous: None,
    };
    let mut store = StoreConfig::new(0, 1, generation);
    store.segment_bytes = 64 << 10;
    store.log_bytes = 16 * store.segment_bytes;
    Machine::new(Rng::new(1), store)
}

fn start(machine: &mut Machine, shards: u16) -> Result<(), String> {
    machine.start(shards);
    while !machine.is_ready()? {
        machine.turn();
    }
    machine.connect()
}

fn run(machine: &mut Machine, statements: &[&str]) -> Result<(), String> {
    for text in statements {
        if let Answer::Error(_, error) = machine.ask(0, text)? {
            return Err(format!("{text}: {error}"));
        }
    }
    Ok(())
}

/// Makes a directory and asks what it holds.
pub fn make() -> Result<String, String> {
    let mut machine = machine();
    start(&mut machine, SHARDS)?;
    run(&mut machine, FLUSHED)?;
    machine.drain();
    let limit = machine.millis() + PATIENCE_MS;
    while !machine.is_drained() {
        if machine.millis() > limit {
            return Err("the node is never drained".to_owned());
        }
        machine.turn();
    }
    machine.kill();
    start(&mut machine, SHARDS)?;
    run(&mut machine, LOGGED)?;
    let mut text = String::new();
    for asked in ASKED {
        let answer = machine.ask(0, asked)?;
        let _ = writeln!(text, "answer {asked}\n{answer:?}");
    }
    machine.kill();
    for (path, length) in machine.disk.files() {
        let _ = writeln!(text, "file {path} {length}");
        let content = machine.disk.content(&path).unwrap_or_default();
        for (number, line) in content.chunks(LINE_BYTES).enumerate() {
            if line.iter().any(|byte| *byte != 0) {
                let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
                let _ = writeln!(text, "{} {hex}", number * LINE_BYTES);
            }
        }
    }
    Ok(text)
}

/// Starts a node of so many shards on a directory and compares what it answers; how many answers were compared.
pub fn check(text: &str, shards: u16) -> Result<usize, String> {
    let mut lines = text.lines().peekable();
    let mut answers = Vec::new();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some(line) = lines.next() {
        let malformed = || format!("a line that means nothing: {line}");
        if let Some(asked) = line.strip_prefix("answer ") {
            answers.push((asked, lines.next().ok_or_else(malformed)?));
        } else if let Some(file) = line.strip_prefix("file ") {
            let (path, length) = file.rsplit_once(' ').ok_or_else(malformed)?;
            let length = length.parse().map_err(|_| malformed())?;
            files.push((path.to_owned(), vec![0; length]));
        } else {
            let (offset, hex) = line.split_once(' ').ok_or_else(malformed)?;
            let offset: usize = offset.parse().map_err(|_| malformed())?;
            let (_, content) = files.last_mut().ok_or_else(malformed)?;
            for (byte, digits) in content[offset..].iter_mut().zip(hex.as_bytes().chunks(2)) {
                let digits = std::str::from_utf8(digits).map_err(|_| malformed())?;
                *byte = u8::from_str_radix(digits, 16).map_err(|_| malformed())?;
            }
        }
    }
    let mut machine = machine();
    machine.disk = SimDisk::holding(Rng::new(2), files);
    start(&mut machine, shards)?;
    for (asked, expected) in &answers {
        let answer = format!("{:?}", machine.ask(0, asked)?);
        if answer != *expected {
            return Err(format!("{asked}\n  was  {expected}\n  is   {answer}"));
        }
    }
    Ok(answers.len())
}
