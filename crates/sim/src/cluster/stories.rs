//! Stories in which one broken promise shows: three nodes, what happens to them in which order, and what must be read in the end.
//!
//! Told to nodes that keep their promises they end well, which is a test; told with a defect ([`model::policy`]) each must not.

use super::Cluster;
use crate::node::machine::{Answer, Asking, Machine};
use crate::planted::Planted;
use ::node::execute::admin::{AdminWork, TableAction, TableWork};
use ::node::track::gate::ReadGate;
use model::error::Consistency::{self, All, One, Quorum};
use std::ops::Range;
use storage::SyncMode;

/// Longest time a start may take, in milliseconds.
const START_MS: u64 = 60_000;
/// How long nodes take to hear of each other, and catch up on a little, in milliseconds.
const SETTLE_MS: u64 = 6_000;
/// Longest time that what an operator asked for may take, in milliseconds.
const WORK_MS: u64 = 30_000;
/// How long journals beyond their budget take to be shed, in milliseconds.
const SHED_MS: u64 = 30_000;
/// Writes under way at a time: what small memtables have room for.
const AT_A_TIME: usize = 40;
/// Longest time that many writes may take, in milliseconds.
const WRITES_MS: u64 = 60_000;

/// What went wrong, in words.
type Told = Result<(), String>;

/// Stories by name.
pub const STORIES: [(&str, fn(u64, Planted) -> Told); 6] = [
    ("a young tombstone", young_tombstone),
    ("an unproved tombstone", unproved_tombstone),
    ("silence", silence),
    ("a second start", second_start),
    ("unsynced ids", unsynced_ids),
    ("a debt", debt),
];

/// Tells one.
pub fn tell(name: &str, seed: u64, planted: Planted) -> Told {
    let story = STORIES.iter().find(|(known, _)| *known == name);
    let (_, story) = story.ok_or("there is no such story")?;
    story(seed, planted)
}

/// Three nodes that have a keyspace with three replicas, and a table.
struct Story {
    cluster: Cluster,
}

impl Story {
    fn begin(
        seed: u64,
        planted: Planted,
        set: impl Fn(usize, &mut Machine),
    ) -> Result<Self, String> {
        let mut cluster = Cluster::founded(seed, 3, 4, 1)?;
        for (number, node) in cluster.nodes.iter_mut().enumerate() {
            node.disk.planted = planted;
            set(number, node);
        }
        for node in 0..3 {
            cluster.start(node, 1);
        }
        cluster.wait_until_served(START_MS)?;
        cluster.pass(SETTLE_MS);
        let mut story = Self { cluster };
        story.must(0, Quorum, "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}")?;
        story.must(
            0,
            Quorum,
            "CREATE TABLE ks.t (k bigint PRIMARY KEY, v text)",
        )?;
        story.cluster.pass(SETTLE_MS);
        Ok(story)
    }

    fn must(&mut self, node: usize, level: Consistency, text: &str) -> Told {
        self.cluster.must(node, level, text).map(drop)
    }

    /// Writes rows of these keys by a node at QUORUM, some at a time.
    fn write(&mut self, node: usize, keys: Range<u64>, value: &str) -> Told {
        let firsts = keys.clone().step_by(AT_A_TIME);
        for first in firsts {
            let some = first..keys.end.min(first + AT_A_TIME as u64);
            self.write_at_once(node, some, value)?;
        }
        Ok(())
    }

    fn write_at_once(&mut self, node: usize, keys: Range<u64>, value: &str) -> Told {
        let asked = keys.map(|key| {
            let text = format!("INSERT INTO ks.t (k, v) VALUES ({key}, '{value}')");
            let asking = Asking::new(Quorum, text);
            self.cluster.send_statement(node, 0, &asking)
        });
        let mut asked: Vec<_> = asked.collect();
        let end = self.cluster.nanos() + WRITES_MS * 1_000_000;
        while !asked.is_empty() {
            if self.cluster.nanos() > end {
                return Err("writes are not answered".to_owned());
            }
            self.cluster.pass(5);
            let mut open = Vec::new();
            for ticket in asked {
                match self.cluster.take_answer(ticket) {
                    None => open.push(ticket),
                    Some((Answer::Error(code, message), _)) => {
                        return Err(format!("a write: {code:#x} {message}"));
                    }
                    Some(_) => {}
                }
            }
            asked = open;
        }
        Ok(())
    }

    /// How many rows a node answers at a level.
    fn rows(&mut self, node: usize, level: Consistency, key: u64) -> Result<usize, String> {
        let text = format!("SELECT v FROM ks.t WHERE k = {key}");
        match self.cluster.must(node, level, &text)? {
            Answer::Rows(rows) => Ok(rows.len()),
            other => Err(format!("{text}: {other:?}")),
        }
    }

    /// Cuts a node off from the others.
    fn cut_off(&mut self, node: usize) {
        let now = self.cluster.nanos();
        for other in (0..3).filter(|other| *other != node) {
            self.cluster.network.cut_link(node, other, now);
            self.cluster.network.cut_link(other, node, now);
        }
    }

    /// Which of these rows a node does not have itself.
    fn lacks(&mut self, node: usize, keys: Range<u64>) -> Result<Vec<u64>, String> {
        self.cut_off(node);
        self.cluster.pass(SETTLE_MS);
        let mut lacking = Vec::new();
        for key in keys {
            if self.rows(node, One, key)? == 0 {
                lacking.push(key);
            }
        }
        Ok(lacking)
    }

    fn restart(&mut self, node: usize) -> Told {
        self.cluster.start(node, 1);
        self.cluster.wait_until_served(START_MS)
    }

    /// Has a node flush or compact its tables.
    fn tables(&mut self, node: usize, action: TableAction) -> Told {
        let work = TableWork {
            action,
            keyspace: Some("ks".to_owned()),
            tables: Vec::new(),
        };
        let number = self.cluster.nodes[node].administer(&AdminWork::Tables(work));
        let end = self.cluster.nanos() + WORK_MS * 1_000_000;
        loop {
            if let Some(ended) = self.cluster.nodes[node].administered.remove(&number) {
                // The files are there when it ends; what they take the place of goes a little later.
                self.cluster.pass(3_000);
                return ended.map(drop);
            }
            if self.cluster.nanos() > end {
                return Err("an operator waits in vain".to_owned());
            }
            self.cluster.pass(10);
        }
    }
}

/// A deletion is everywhere, and compacted; then a write comes that is older.
fn young_tombstone(seed: u64, planted: Planted) -> Told {
    let mut story = Story::begin(seed, planted, |_, _| {})?;
    story.must(0, All, "INSERT INTO ks.t (k, v) VALUES (2, 'another')")?;
    for node in 0..3 {
        story.tables(node, TableAction::Flush)?;
    }
    story.must(0, All, "DELETE FROM ks.t USING TIMESTAMP 100 WHERE k = 1")?;
    story.cluster.pass(SETTLE_MS);
    for node in 0..3 {
        story.tables(node, TableAction::Flush)?;
        story.tables(node, TableAction::Compact)?;
    }
    let late = "INSERT INTO ks.t (k, v) VALUES (1, 'late') USING TIMESTAMP 50";
    story.must(1, All, late)?;
    match story.rows(2, All, 1)? {
        0 => Ok(()),
        _ => Err("a row is back that was deleted later than it was written".to_owned()),
    }
}

/// A node is away while a row is deleted, compacted away and past its time; nothing brings it the deletion before it is read.
fn unproved_tombstone(seed: u64, planted: Planted) -> Told {
    let mut story = Story::begin(seed, planted, |_, _| {})?;
    story.must(0, Quorum, "CREATE KEYSPACE volatile WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3} AND durable_writes = false")?;
    story.must(
        0,
        Quorum,
        "CREATE TABLE volatile.t (k bigint PRIMARY KEY, v text) WITH gc_grace_seconds = 1",
    )?;
    story.cluster.pass(SETTLE_MS);
    story.must(
        0,
        All,
        "INSERT INTO volatile.t (k, v) VALUES (1, 'deleted')",
    )?;
    let tables = |story: &mut Story, node: usize, action| {
        let work = TableWork {
            action,
            keyspace: Some("volatile".to_owned()),
            tables: Vec::new(),
        };
        story.cluster.nodes[node].administer(&AdminWork::Tables(work));
        story.cluster.pass(5_000);
    };
    for node in 0..3 {
        tables(&mut story, node, TableAction::Flush);
    }
    story.cluster.kill(2);
    story.cluster.pass(SETTLE_MS);
    story.must(0, Quorum, "DELETE FROM volatile.t WHERE k = 1")?;
    story.cluster.pass(SETTLE_MS);
    for node in 0..2 {
        tables(&mut story, node, TableAction::Flush);
        tables(&mut story, node, TableAction::Compact);
    }
    story.restart(2)?;
    story.cluster.pass(SETTLE_MS);
    match story
        .cluster
        .must(0, All, "SELECT v FROM volatile.t WHERE k = 1")?
    {
        Answer::Rows(rows) if rows.is_empty() => Ok(()),
        other => Err(format!("a deleted row is back: {other:?}")),
    }
}

/// A node is cut off; the others take a write, and it is asked alone.
fn silence(seed: u64, planted: Planted) -> Told {
    let mut story = Story::begin(seed, planted, |_, node| {
        node.config.read_gate = ReadGate::Strict;
    })?;
    story.must(0, All, "INSERT INTO ks.t (k, v) VALUES (1, 'old')")?;
    story.cluster.pass(SETTLE_MS);
    story.cut_off(2);
    story.cluster.pass(SETTLE_MS);
    story.must(0, Quorum, "INSERT INTO ks.t (k, v) VALUES (1, 'new')")?;
    story.cluster.pass(SETTLE_MS);
    let text = "SELECT v FROM ks.t WHERE k = 1";
    match story.cluster.ask(2, One, text)? {
        Answer::Error(..) => Ok(()),
        answer => Err(format!("a stale read that is trusted: {answer:?}")),
    }
}

/// A node starts anew and takes writes while another is away.
fn second_start(seed: u64, planted: Planted) -> Told {
    let mut story = Story::begin(seed, planted, |_, _| {})?;
    story.write(0, 0..30, "first")?;
    story.cluster.pass(SETTLE_MS);
    story.cluster.crash(0);
    story.restart(0)?;
    story.cluster.pass(SETTLE_MS);
    story.cluster.crash(2);
    story.cluster.pass(SETTLE_MS);
    story.write(0, 100..120, "second")?;
    story.restart(2)?;
    story.cluster.pass(SETTLE_MS);
    let lacking = story.lacks(2, 100..120)?;
    if lacking.is_empty() {
        return Ok(());
    }
    Err(format!("a replica never hears of {lacking:?}"))
}

/// A node that syncs seldom loses power after the others have made room in their journals.
fn unsynced_ids(seed: u64, planted: Planted) -> Told {
    const ROWS: u64 = 3_000;
    let mut story = Story::begin(seed, planted, |number, node| {
        if number == 2 {
            node.sync_by(SyncMode::Periodic { ms: 30_000 });
        } else {
            node.shrink(64 << 10, 512 << 10);
        }
    })?;
    let value = "x".repeat(300);
    story.write(0, 0..ROWS, &value)?;
    story.cluster.pass(3_000);
    story.cluster.crash(2);
    story.restart(2)?;
    story.cluster.pass(2 * SETTLE_MS);
    let lacking = story.lacks(2, 0..ROWS)?;
    if lacking.is_empty() {
        return Ok(());
    }
    Err(format!("{} rows are forgotten by a replica", lacking.len()))
}

/// A node is away for longer than the journals of the others last.
fn debt(seed: u64, planted: Planted) -> Told {
    const ROWS: u64 = 3_000;
    let mut story = Story::begin(seed, planted, |_, node| {
        node.shrink(64 << 10, 512 << 10);
        node.config.journal_bytes_per_shard = 128 << 10;
    })?;
    story.cluster.crash(2);
    story.cluster.pass(SETTLE_MS);
    story.write(0, 0..ROWS, &"x".repeat(300))?;
    story.cluster.pass(SHED_MS);
    // What is written down is known to a start.
    story.cluster.crash(0);
    story.restart(0)?;
    let owed = |node: usize| -> u64 {
        let told = story.cluster.nodes[node].describe();
        let counts = told.iter().filter_map(|text| {
            let count = text.split(" mutations owed").next()?;
            count.rsplit(' ').next()?.parse::<u64>().ok()
        });
        counts.sum()
    };
    match (owed(0), owed(1)) {
        (1.., 1..) => Ok(()),
        (first, second) => Err(format!(
            "a replica lacks what no journal has, and it is owed {first} and {second} mutations"
        )),
    }
}
