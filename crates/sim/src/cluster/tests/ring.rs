//! Nodes join, leave, are removed and replaced, while clients write and read at QUORUM and nothing fails or is lost.

use super::super::{Cluster, address};
use super::START_MS;
use crate::node::machine::Answer;
use cluster::internode::Class;
use cluster::metadata::Step;
use model::error::Consistency;
use model::key::{DecoratedKey, Token};
use model::mutation::Mutation;
use node::execute::admin::{AdminWork, RingWork, TableAction, TableWork};
use node::message::{ReplicaError, RequestId};
use node::peers::message::{PeerMessage, PeerRequest, Terms};
use uuid::Uuid;

/// Rows that are there before anything changes.
const ROWS: u64 = 120;
/// Longest time a change may take, in milliseconds.
const CHANGE_MS: u64 = 60_000;

/// A cluster whose rows are known.
pub(super) struct Kept {
    pub(super) cluster: Cluster,
    /// Rows written so far: keys below that.
    pub(super) rows: u64,
}

impl Kept {
    /// So many machines, of which the first ones are started and have a keyspace with so many replicas, a table, and rows.
    pub(super) fn new(seed: u64, machines: usize, started: usize, replicas: u32) -> Self {
        let mut kept = Self {
            cluster: Cluster::new(seed, machines),
            rows: 0,
        };
        for node in 0..started {
            kept.start(node);
        }
        kept.wait_for_tokens(&(0..started).collect::<Vec<_>>());
        let keyspace = format!(
            "CREATE KEYSPACE ks WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {replicas}}}"
        );
        for text in [
            keyspace.as_str(),
            "CREATE TABLE ks.t (k bigint, c bigint, v bigint, PRIMARY KEY (k, c))",
        ] {
            kept.cluster.must(0, Consistency::Quorum, text).unwrap();
        }
        kept.cluster.pass(1_000);
        while kept.rows < ROWS {
            kept.write(0);
        }
        kept
    }

    fn start(&mut self, node: usize) {
        self.cluster.start(node, 1 + node as u16 % 2);
        self.cluster.wait_until_served(START_MS).unwrap();
    }

    /// Writes the next row by a node at QUORUM; every fifth partition has a row that is deleted, every seventh a deleted range.
    pub(super) fn write(&mut self, node: usize) {
        let key = self.rows;
        let mut texts = vec![format!(
            "INSERT INTO ks.t (k, c, v) VALUES ({key}, 1, {key})"
        )];
        if key.is_multiple_of(5) {
            texts.push(format!("INSERT INTO ks.t (k, c, v) VALUES ({key}, 2, 0)"));
            texts.push(format!("DELETE FROM ks.t WHERE k = {key} AND c = 2"));
        }
        if key.is_multiple_of(7) {
            texts.push(format!("INSERT INTO ks.t (k, c, v) VALUES ({key}, 4, 0)"));
            texts.push(format!("DELETE FROM ks.t WHERE k = {key} AND c > 3"));
        }
        for text in texts {
            let written = self.cluster.must(node, Consistency::Quorum, &text);
            if let Err(error) = written {
                panic!("{error}\n{}", self.cluster.describe());
            }
        }
        self.rows += 1;
    }

    /// Reads a row by a node.
    fn read(&mut self, node: usize, level: Consistency, key: u64) {
        let text = format!("SELECT c, v FROM ks.t WHERE k = {key}");
        let cell = |number: u64| Some(number.to_be_bytes().to_vec());
        let read = self.cluster.must(node, level, &text);
        let wanted = Ok(Answer::Rows(vec![vec![cell(1), cell(key)]]));
        assert!(
            read == wanted,
            "{text} at {level} of node {}: {read:?}\n{}",
            node + 1,
            self.cluster.describe()
        );
    }

    /// Reads every row by each of these nodes at a level.
    fn read_all(&mut self, nodes: &[usize], level: Consistency) {
        for key in 0..self.rows {
            for node in nodes {
                self.read(*node, level, key);
            }
        }
    }

    /// Writes and reads by a node while something happens elsewhere.
    fn go_on(&mut self, node: usize) {
        self.write(node);
        let key = self.rows * 7 % self.rows;
        self.read(node, Consistency::Quorum, key);
        self.cluster.pass(50);
    }

    /// How many tokens a node says that it has.
    fn tokens(&mut self, node: usize) -> usize {
        let text = "SELECT tokens FROM system.local";
        match self.cluster.must(node, Consistency::One, text) {
            Ok(Answer::Rows(rows)) => match rows.first().and_then(|row| row[0].clone()) {
                // A set begins with its size.
                Some(bytes) => u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize,
                None => 0,
            },
            other => panic!("{other:?}"),
        }
    }

    fn wait_for_tokens(&mut self, nodes: &[usize]) {
        let end = self.cluster.nanos() + CHANGE_MS * 1_000_000;
        while nodes.iter().any(|node| self.tokens(*node) == 0) {
            assert!(
                self.cluster.nanos() < end,
                "nodes that join get tokens\n{}",
                self.cluster.describe()
            );
            self.cluster.pass(100);
        }
    }

    /// Starts a node that joins, while clients of another go on.
    fn join(&mut self, node: usize, other: usize) {
        self.cluster.start(node, 1 + node as u16 % 2);
        let end = self.cluster.nanos() + CHANGE_MS * 1_000_000;
        while !self.cluster.serves(node).unwrap() || self.tokens(node) == 0 {
            assert!(
                self.cluster.nanos() < end,
                "node {} joins\n{}",
                node + 1,
                self.cluster.describe()
            );
            self.go_on(other);
        }
    }

    /// Has a node change the ring, while clients of another go on; how it ended.
    fn change(&mut self, node: usize, work: RingWork, other: usize) -> Result<(), String> {
        self.administer(node, &AdminWork::ChangeRing(work), other)
    }

    /// Has an operator ask a node for something, while clients of another go on; how it ended.
    pub(super) fn administer(
        &mut self,
        node: usize,
        work: &AdminWork,
        other: usize,
    ) -> Result<(), String> {
        let number = self.cluster.nodes[node].administer(work);
        let end = self.cluster.nanos() + CHANGE_MS * 1_000_000;
        loop {
            if let Some(ended) = self.cluster.nodes[node].administered.remove(&number) {
                return ended.map(drop);
            }
            assert!(
                self.cluster.nanos() < end,
                "the change comes to an end\n{}",
                self.cluster.describe()
            );
            self.go_on(other);
        }
    }

    fn host_id(&mut self, node: usize) -> Uuid {
        let text = "SELECT host_id FROM system.local";
        match self.cluster.must(node, Consistency::One, text) {
            Ok(Answer::Rows(rows)) => Uuid::from_slice(rows[0][0].as_ref().unwrap()).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nodes_join_one_that_has_data_and_get_their_share() {
    let mut kept = Kept::new(11, 3, 1, 1);
    kept.join(1, 0);
    kept.join(2, 0);
    for level in [Consistency::One, Consistency::Quorum, Consistency::All] {
        kept.read_all(&[0, 1, 2], level);
    }
}

#[test]
fn a_node_joins_three_replicas_and_one_of_them_leaves() {
    let mut kept = Kept::new(12, 4, 3, 3);
    kept.join(3, 1);
    kept.read_all(&[3], Consistency::All);
    kept.change(2, RingWork::Decommission { force: false }, 0)
        .unwrap();
    kept.read_all(&[0, 1, 3], Consistency::All);
    let refused = kept.change(3, RingWork::Decommission { force: false }, 0);
    assert!(refused.unwrap_err().contains("Not enough live nodes"));
}

#[test]
fn who_joins_knows_what_was_decided_by_those_it_takes_over_from() {
    let mut kept = Kept::new(16, 4, 3, 3);
    for key in 0..40 {
        let text = format!("INSERT INTO ks.t (k, c, v) VALUES ({key}, 9, 1) IF NOT EXISTS");
        kept.cluster.must(0, Consistency::Quorum, &text).unwrap();
        let text = format!("DELETE FROM ks.t WHERE k = {key} AND c = 9");
        kept.cluster.must(0, Consistency::Quorum, &text).unwrap();
    }
    kept.join(3, 1);
    let known = |kept: &mut Kept, node: usize| {
        let text = "SELECT row_key, most_recent_commit_at FROM system.paxos";
        match kept.cluster.must(node, Consistency::One, text) {
            Ok(Answer::Rows(rows)) => rows,
            other => panic!("{other:?}"),
        }
    };
    let (before, after) = (known(&mut kept, 0), known(&mut kept, 3));
    assert!((10..40).contains(&after.len()), "{} of 40", after.len());
    assert!(after.iter().all(|row| before.contains(row)));
}

#[test]
fn a_dead_node_is_removed_by_the_others() {
    let mut kept = Kept::new(13, 4, 4, 3);
    let dead = kept.host_id(3);
    let alive = kept.change(0, RingWork::Remove(dead), 1);
    assert!(alive.unwrap_err().contains("is alive"));
    kept.cluster.crash(3);
    for _ in 0..100 {
        kept.cluster.pass(50);
    }
    kept.change(0, RingWork::Remove(dead), 1).unwrap();
    kept.read_all(&[0, 1, 2], Consistency::All);
}

#[test]
fn the_first_of_two_leaves_and_the_other_decides_alone() {
    let mut kept = Kept::new(17, 2, 1, 1);
    kept.join(1, 0);
    kept.change(0, RingWork::Decommission { force: true }, 1)
        .unwrap();
    kept.cluster.crash(0);
    kept.cluster.pass(5_000);
    let table = "CREATE TABLE ks.u (k int PRIMARY KEY)";
    kept.cluster.must(1, Consistency::One, table).unwrap();
    kept.read_all(&[1], Consistency::All);
}

/// Begins to take a node out, and has it die after so long; then it is removed, if it is not gone without that.
fn dies_while_it_leaves(seed: u64, millis: u64) {
    let mut kept = Kept::new(seed, 4, 4, 3);
    let leaver = kept.host_id(3);
    let work = AdminWork::ChangeRing(RingWork::Decommission { force: false });
    kept.cluster.nodes[3].administer(&work);
    kept.cluster.pass(millis);
    kept.cluster.crash(3);
    for _ in 0..100 {
        kept.go_on(1);
    }
    if let Err(error) = kept.change(0, RingWork::Remove(leaver), 1) {
        assert!(error.contains("not found"), "{error}");
    }
    kept.read_all(&[0, 1, 2], Consistency::All);
    // Nothing is in the way of the next change.
    kept.change(2, RingWork::Decommission { force: true }, 0)
        .unwrap();
    kept.read_all(&[0, 1], Consistency::Quorum);
}

#[test]
fn who_dies_while_it_leaves_is_removed_or_gone() {
    for (seed, millis) in [(40, 150), (41, 600), (42, 1_200)] {
        dies_while_it_leaves(seed, millis);
    }
}

fn tables(action: TableAction) -> AdminWork {
    AdminWork::Tables(TableWork {
        action,
        keyspace: None,
        tables: Vec::new(),
    })
}

/// Partitions in the SSTables of a node's table, by its own estimate.
fn partitions(kept: &mut Kept, node: usize) -> u64 {
    let text = "SELECT partitions_count FROM system.size_estimates WHERE keyspace_name = 'ks' AND table_name = 't'";
    match kept.cluster.must(node, Consistency::One, text) {
        Ok(Answer::Rows(rows)) => rows
            .iter()
            .filter_map(|row| row[0].as_ref())
            .map(|cell| u64::from_be_bytes(cell[..8].try_into().unwrap()))
            .sum(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_moves_and_nodes_forget_what_is_not_theirs() {
    let mut kept = Kept::new(15, 2, 1, 1);
    kept.join(1, 0);
    kept.administer(0, &tables(TableAction::Flush), 1).unwrap();
    kept.cluster.pass(3_000);
    let before = partitions(&mut kept, 0);
    kept.administer(0, &tables(TableAction::Cleanup), 1)
        .unwrap();
    kept.cluster.pass(3_000);
    let after = partitions(&mut kept, 0);
    println!("{before} partitions before the cleanup, {after} after");
    assert!(after < before, "{before} before, {after} after");
    kept.read_all(&[0, 1], Consistency::All);
    let tokens = vec![Token(-7_000_000_000_000_000_000), Token(1), Token(99)];
    kept.change(1, RingWork::Move(tokens), 0).unwrap();
    assert_eq!(kept.tokens(1), 3);
    kept.read_all(&[0, 1], Consistency::All);
    kept.change(1, RingWork::Rebuild(None), 0).unwrap();
}

#[test]
fn a_node_takes_more_than_its_memtables_hold() {
    let mut kept = Kept::new(53, 3, 2, 2);
    let table = "CREATE TABLE ks.long (k bigint PRIMARY KEY, v text)";
    kept.cluster.must(0, Consistency::Quorum, table).unwrap();
    let value = "x".repeat(400);
    for key in 0..600 {
        let text = format!("INSERT INTO ks.long (k, v) VALUES ({key}, '{value}')");
        kept.cluster.must(0, Consistency::Quorum, &text).unwrap();
    }
    kept.cluster.nodes[2].shrink(64 << 10, 64 << 10);
    // Nobody writes meanwhile: there is no room for that.
    kept.cluster.start(2, 1);
    kept.cluster.wait_until_served(START_MS).unwrap();
    kept.wait_for_tokens(&[2]);
    kept.read_all(&[0, 1, 2], Consistency::All);
}

#[test]
fn a_dead_node_is_replaced() {
    let mut kept = Kept::new(14, 4, 3, 3);
    kept.cluster.crash(2);
    kept.cluster.pass(5_000);
    kept.cluster.nodes[3].config.replaces = Some(address(2).ip());
    kept.join(3, 0);
    kept.read_all(&[0, 1, 3], Consistency::All);
}

#[test]
fn a_node_that_joins_goes_on_after_a_crash_and_so_do_its_sources() {
    for seed in 0..4 {
        let mut kept = Kept::new(20 + seed, 4, 3, 3);
        kept.cluster.start(3, 1);
        kept.cluster.wait_until_served(START_MS).unwrap();
        kept.cluster.pass(seed * 70);
        let victim = if seed % 2 == 0 { 3 } else { 2 };
        kept.cluster.crash(victim);
        kept.cluster.pass(3_000);
        kept.join(victim, 0);
        kept.wait_for_tokens(&[3]);
        kept.cluster.pass(15_000);
        kept.read_all(&[0, 3], Consistency::All);
    }
}

#[test]
fn a_dead_node_is_replaced_at_its_own_address() {
    let mut kept = Kept::new(18, 3, 3, 3);
    kept.cluster.crash(2);
    kept.cluster.nodes[2].lose_disk();
    kept.cluster.pass(5_000);
    kept.cluster.nodes[2].config.replaces = Some(address(2).ip());
    kept.join(2, 0);
    kept.read_all(&[0, 1, 2], Consistency::All);
    // It is told to replace whoever had its address at its first start alone.
    kept.cluster.crash(2);
    kept.cluster.pass(3_000);
    kept.join(2, 0);
    kept.cluster.pass(5_000);
    kept.write(2);
    kept.read_all(&[2], Consistency::All);
}

#[test]
fn who_loses_its_disk_before_it_has_joined_begins_anew() {
    for millis in [0, 150, 400] {
        let mut kept = Kept::new(30 + millis, 4, 3, 3);
        kept.cluster.start(3, 1);
        kept.cluster.pass(millis);
        kept.cluster.crash(3);
        kept.cluster.nodes[3].lose_disk();
        kept.cluster.pass(5_000);
        if kept.cluster.nodes[0].members() == Some(4) {
            println!("{millis} ms: it was a member");
        }
        kept.join(3, 0);
        kept.read_all(&[0, 3], Consistency::All);
    }
}

/// A quorum of two that are dead may have what the third does not: it is waited for them until an operator says that they are lost.
#[test]
fn a_removal_goes_on_with_too_few_when_an_operator_says_so() {
    let mut kept = Kept::new(19, 4, 4, 3);
    let dead = kept.host_id(3);
    kept.cluster.crash(2);
    kept.cluster.crash(3);
    kept.cluster.pass(5_000);
    let removal = AdminWork::ChangeRing(RingWork::Remove(dead));
    let number = kept.cluster.nodes[0].administer(&removal);
    kept.cluster.pass(120_000);
    assert!(!kept.cluster.nodes[0].administered.contains_key(&number));
    let said = kept.cluster.nodes[0].log.iter();
    let mut said = said.filter(|line| line.contains("waited for from nodes"));
    assert!(said.next().is_some(), "{}", kept.cluster.describe());
    let force = AdminWork::ChangeRing(RingWork::Force(None));
    let forced = kept.cluster.nodes[1].administer(&force);
    kept.cluster.pass(30_000);
    for (node, number) in [(0, number), (1, forced)] {
        let ended = kept.cluster.nodes[node].administered.remove(&number);
        assert!(matches!(ended, Some(Ok(_))), "{}", kept.cluster.describe());
    }
    let again = kept.cluster.nodes[1].administer(&force);
    kept.cluster.pass(1_000);
    let ended = kept.cluster.nodes[1].administered.remove(&again);
    assert!(matches!(ended, Some(Err(_))), "{ended:?}");
    kept.write(0);
    kept.write(1);
}

#[test]
fn two_dead_nodes_are_taken_out_one_after_the_other() {
    let mut kept = Kept::new(47, 5, 5, 2);
    for node in [3, 4] {
        kept.cluster.crash(node);
    }
    kept.cluster.pass(5_000);
    for node in [3, 4] {
        let work = AdminWork::ChangeRing(RingWork::Assassinate(address(node).ip()));
        let number = kept.cluster.nodes[0].administer(&work);
        kept.cluster.pass(60_000);
        let ended = kept.cluster.nodes[0].administered.remove(&number);
        assert!(matches!(ended, Some(Ok(_))), "{}", kept.cluster.describe());
    }
    kept.write(0);
    let work = AdminWork::ChangeRing(RingWork::Assassinate(address(1).ip()));
    let number = kept.cluster.nodes[0].administer(&work);
    kept.cluster.pass(1_000);
    let ended = kept.cluster.nodes[0].administered.remove(&number);
    assert!(matches!(ended, Some(Err(_))), "it lives: {ended:?}");
}

#[test]
fn a_keyspace_gets_more_replicas_which_have_everything_before_they_are_read() {
    let mut kept = Kept::new(48, 3, 3, 1);
    let alter = |factor: u32| {
        format!(
            "ALTER KEYSPACE ks WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
        )
    };
    kept.cluster
        .must(0, Consistency::Quorum, &alter(3))
        .unwrap();
    for _ in 0..100 {
        kept.write(1);
        for key in [kept.rows - 1, kept.rows * 7 % kept.rows, kept.rows / 2] {
            for node in 0..3 {
                kept.read(node, Consistency::One, key);
                kept.read(node, Consistency::Quorum, key);
            }
        }
        kept.cluster.pass(50);
    }
    kept.cluster.pass(20_000);
    // Each has all: one after the other is asked alone.
    for away in 0..3 {
        let others: Vec<usize> = (0..3).filter(|node| *node != away).collect();
        kept.cluster.crash(away);
        kept.cluster.pass(5_000);
        kept.read_all(&others, Consistency::Quorum);
        kept.cluster.start(away, 1);
        kept.cluster.wait_until_served(START_MS).unwrap();
        kept.cluster.pass(5_000);
    }
    kept.read_all(&[0, 1, 2], Consistency::All);
    // Who would be gained has to be there.
    kept.cluster
        .must(0, Consistency::Quorum, &alter(2))
        .unwrap();
    kept.cluster.crash(2);
    kept.cluster.pass(5_000);
    let refused = kept.cluster.ask(0, Consistency::Quorum, &alter(3));
    assert!(
        matches!(refused, Ok(Answer::Error(0x2300, _))),
        "{refused:?}"
    );
}

/// Sends a node a write of another that was planned at an epoch; how it ended.
fn write_planned_at(
    kept: &mut Kept,
    epoch: u64,
    from: usize,
    to: usize,
) -> Result<(), ReplicaError> {
    let metadata = kept.cluster.nodes[from].metadata().unwrap();
    let mut tables = metadata.schema.tables();
    let table = tables.find(|table| table.name == "t").unwrap().id;
    let mut mutation = Mutation::new(DecoratedKey::new(7u64.to_be_bytes()));
    mutation.update(table);
    let terms = Terms {
        request: PeerRequest {
            shard: 0,
            id: RequestId {
                operation: 1 << 40,
                part: 0,
            },
        },
        epoch,
        wait_ms: 1_000,
    };
    let message = PeerMessage::Write {
        terms,
        counts: None,
        mutation: mutation.encode(),
    };
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    let identity = kept.cluster.nodes[from].identity(0).unwrap();
    let node = &mut kept.cluster.nodes[to];
    node.hear(&identity, Class::Small, bytes);
    for _ in 0..1_000 {
        let nanos = node.next_at().unwrap();
        node.run_to(nanos);
        for (_, _, _, bytes) in node.take_sent() {
            match PeerMessage::decode(&bytes) {
                Some(PeerMessage::Wrote { request, result }) if request == terms.request => {
                    return result;
                }
                _ => {}
            }
        }
    }
    panic!("it is answered")
}

#[test]
fn a_source_that_was_restarted_refuses_what_was_planned_before_it_gave_data_away() {
    let mut kept = Kept::new(50, 4, 3, 3);
    let before = kept.cluster.nodes[0].metadata().unwrap().epoch;
    assert_eq!(write_planned_at(&mut kept, before, 0, 1), Ok(()));
    kept.cluster.start(3, 1);
    let begun = |kept: &mut Kept| {
        let metadata = kept.cluster.nodes[0].metadata().unwrap();
        let mut transitions = metadata.transitions.values();
        transitions.any(|transition| transition.step == Step::WriteBoth)
    };
    while !begun(&mut kept) {
        kept.cluster.pass(2);
    }
    kept.cluster.crash(3);
    kept.cluster.kill(1);
    kept.cluster.start(1, 1);
    kept.cluster.wait_until_served(START_MS).unwrap();
    kept.cluster.pass(5_000);
    assert!(
        begun(&mut kept),
        "it stands still without the one that joins"
    );
    let refused = write_planned_at(&mut kept, before, 0, 1);
    assert_eq!(refused, Err(ReplicaError::Outdated));
}
