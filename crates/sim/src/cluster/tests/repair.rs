//! Replicas that were made unequal behind the back of tracking are made equal by repair, asked for or not; and so are those that lack
//! what no journal has any more.

use super::super::Cluster;
use super::{START_MS, founded};
use crate::node::machine::Answer;
use cluster::internode::Class;
use model::error::Consistency;
use model::key::DecoratedKey;
use model::mutation::Mutation;
use model::row::{Deletion, Liveness, NEVER, RowWriter};
use model::schema::TableId;
use node::config::NodeConfig;
use node::execute::admin::{
    AdminAnswer, AdminWork, RepairFact, RepairOptions, RepairReason, RepairState, RepairWork,
    TableAction, TableWork,
};
use node::message::RequestId;
use node::peers::message::{PeerMessage, PeerRequest, Terms};
use node::repair::message::RepairMessage;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Longest time a repair may take, in milliseconds.
const REPAIR_MS: u64 = 120_000;

/// The id of a table.
fn table(cluster: &mut Cluster, name: &str) -> TableId {
    let text = format!(
        "SELECT id FROM system_schema.tables WHERE keyspace_name = 'ks' AND table_name = '{name}'"
    );
    match cluster.must(0, Consistency::One, &text) {
        Ok(Answer::Rows(rows)) => {
            let id = rows[0][0].as_ref().expect("an id");
            TableId(Uuid::from_slice(id).expect("a uuid"))
        }
        other => panic!("{other:?}"),
    }
}

fn key(key: u64) -> DecoratedKey {
    DecoratedKey::new(key.to_be_bytes().to_vec())
}

/// A row that has its key alone.
fn row(table: TableId, number: u64, timestamp: i64) -> Mutation {
    let mut row = Vec::new();
    RowWriter::new(&mut row).liveness(Liveness {
        timestamp,
        ttl: 0,
        expires: NEVER,
    });
    let mut mutation = Mutation::new(key(number));
    mutation.update(table).add_row(Vec::new(), row);
    mutation
}

/// A partition's deletion.
fn deletion(table: TableId, number: u64, timestamp: i64, local_seconds: i64) -> Mutation {
    let mut mutation = Mutation::new(key(number));
    mutation.update(table).delete(Deletion {
        timestamp,
        local_seconds,
    });
    mutation
}

/// Applies a mutation at one node alone, without an id: nobody else hears of it.
fn slip(cluster: &mut Cluster, node: usize, mutation: &Mutation) {
    let from = cluster.nodes[(node + 1) % 3].identity(0).expect("it talks");
    let request = PeerRequest {
        shard: 0,
        id: RequestId {
            operation: u64::MAX,
            part: 0,
        },
    };
    let message = PeerMessage::Write {
        terms: Terms {
            request,
            epoch: 0,
            wait_ms: 10_000,
        },
        counts: None,
        mutation: mutation.encode(),
    };
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    cluster.nodes[node].hear(&from, Class::Small, bytes);
}

/// The keys that each node has by itself.
fn own_keys(cluster: &mut Cluster, keys: std::ops::Range<u64>) -> Vec<BTreeSet<u64>> {
    let nodes = cluster.nodes.len();
    let now = cluster.nanos();
    for (from, to) in (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))) {
        if from != to {
            cluster.network.cut_link(from, to, now);
        }
    }
    let mut all = vec![BTreeSet::new(); nodes];
    for (node, own) in all.iter_mut().enumerate() {
        for number in keys.clone() {
            let text = format!("SELECT k FROM ks.t WHERE k = {number}");
            match cluster.must(node, Consistency::One, &text) {
                Ok(Answer::Rows(rows)) if !rows.is_empty() => drop(own.insert(number)),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    let now = cluster.nanos();
    cluster.network.heal(now);
    cluster.pass(3_000);
    all
}

fn options() -> RepairOptions {
    RepairOptions {
        keyspace: "ks".to_owned(),
        tables: vec!["t".to_owned()],
        ..RepairOptions::default()
    }
}

fn begin(cluster: &mut Cluster, node: usize, options: RepairOptions) -> u64 {
    let work = AdminWork::Repair(RepairWork::Begin(options));
    cluster.nodes[node].administer(&work)
}

/// How a repair ended.
fn ended(cluster: &mut Cluster, node: usize, id: u64) -> RepairFact {
    let end = cluster.nanos() + REPAIR_MS * 1_000_000;
    loop {
        match cluster.nodes[node].administered.remove(&id) {
            Some(Ok(AdminAnswer::Repairs(mut facts))) => return facts.pop().expect("it"),
            Some(other) => panic!("{other:?}"),
            None => assert!(cluster.nanos() < end, "{}", cluster.describe()),
        }
        cluster.pass(50);
    }
}

fn repair(cluster: &mut Cluster, node: usize, options: RepairOptions) -> RepairFact {
    let id = begin(cluster, node, options);
    ended(cluster, node, id)
}

/// Rows at one node or another, and a deletion at the first alone; the keys that there are together.
fn made_unequal(cluster: &mut Cluster) -> BTreeSet<u64> {
    let table = table(cluster, "t");
    for number in 0..60 {
        slip(cluster, (number % 3) as usize, &row(table, number, 1_000));
    }
    for number in [7, 8, 9] {
        let recent = 1_000_000_000_000;
        slip(cluster, 0, &deletion(table, number, 2_000, recent));
    }
    cluster.pass(2_000);
    (0..60)
        .filter(|number| ![7, 8, 9].contains(number))
        .collect()
}

#[test]
fn replicas_that_nobody_knows_to_be_unequal_are_repaired() {
    let mut cluster = founded(31);
    let all = made_unequal(&mut cluster);
    assert!(own_keys(&mut cluster, 0..60).iter().all(|own| *own != all));
    let preview = RepairOptions {
        preview: true,
        ..options()
    };
    let fact = repair(&mut cluster, 1, preview);
    assert_eq!(fact.state, RepairState::Completed);
    assert!(
        fact.progress.mutations > 0 && fact.progress.parts_different > 0,
        "{fact:?}"
    );
    assert!(own_keys(&mut cluster, 0..60).iter().all(|own| *own != all));
    let fact = repair(&mut cluster, 0, options());
    assert_eq!(fact.state, RepairState::Completed, "{fact:?}");
    for own in own_keys(&mut cluster, 0..60) {
        assert_eq!(own, all);
    }
    let fact = repair(&mut cluster, 2, options());
    assert_eq!(
        (fact.progress.mutations, fact.progress.parts_different),
        (0, 0),
        "{fact:?}"
    );
}

#[test]
fn first_replicas_of_all_nodes_together_are_everything() {
    let mut cluster = founded(32);
    let all = made_unequal(&mut cluster);
    for node in 0..3 {
        let primary = RepairOptions {
            primary: true,
            ..options()
        };
        let fact = repair(&mut cluster, node, primary);
        assert_eq!(fact.state, RepairState::Completed, "{fact:?}");
    }
    for own in own_keys(&mut cluster, 0..60) {
        assert_eq!(own, all);
    }
}

#[test]
fn nobody_has_to_ask_for_a_repair() {
    let mut cluster = Cluster::founded(33, 3, 4, 1).unwrap();
    for node in 0..3 {
        cluster.nodes[node].config.repair_interval_ms = 8_000;
        cluster.start(node, 1 + node as u16 % 2);
    }
    super::ready(&mut cluster);
    let all = made_unequal(&mut cluster);
    cluster.pass(40_000);
    for own in own_keys(&mut cluster, 0..60) {
        assert_eq!(own, all, "{}", cluster.describe());
    }
}

#[test]
fn a_node_that_dies_in_the_middle_of_a_repair_is_repaired_later() {
    for victim in [0, 2] {
        let mut cluster = founded(34 + victim as u64);
        let all = made_unequal(&mut cluster);
        let id = begin(&mut cluster, 0, options());
        cluster.pass(2);
        cluster.crash(victim);
        if victim != 0 {
            let fact = ended(&mut cluster, 0, id);
            assert_ne!(fact.state, RepairState::Running);
        }
        cluster.start(victim, 1);
        cluster.wait_until_served(START_MS).unwrap();
        cluster.pass(5_000);
        let fact = repair(&mut cluster, 1, options());
        assert_eq!(fact.state, RepairState::Completed, "{fact:?}");
        for own in own_keys(&mut cluster, 0..60) {
            assert_eq!(own, all);
        }
    }
}

#[test]
fn what_was_repaired_survives_the_crash_of_all() {
    let mut cluster = founded(41);
    let all = made_unequal(&mut cluster);
    let fact = repair(&mut cluster, 0, options());
    assert_eq!(fact.state, RepairState::Completed, "{fact:?}");
    (0..3).for_each(|node| cluster.crash(node));
    (0..3).for_each(|node| cluster.start(node, 1));
    cluster.wait_until_served(START_MS).unwrap();
    cluster.pass(3_000);
    for own in own_keys(&mut cluster, 0..60) {
        assert_eq!(own, all);
    }
}

#[test]
fn what_was_deleted_long_ago_does_not_come_back() {
    let mut cluster = founded(37);
    let text = "ALTER TABLE ks.t WITH gc_grace_seconds = 5";
    cluster.must(0, Consistency::Quorum, text).unwrap();
    cluster.pass(1_000);
    let table = table(&mut cluster, "t");
    for number in 0..20 {
        for node in 0..3 {
            slip(&mut cluster, node, &row(table, number, 1_000));
        }
        // The third missed every other deletion, and all are old.
        slip(&mut cluster, 0, &deletion(table, number, 2_000, 10));
        slip(&mut cluster, 1, &deletion(table, number, 2_000, 10));
        if number.is_multiple_of(2) {
            slip(&mut cluster, 2, &deletion(table, number, 2_000, 10));
        }
    }
    cluster.pass(10_000);
    let work = AdminWork::Tables(TableWork {
        action: TableAction::Compact,
        keyspace: Some("ks".to_owned()),
        tables: Vec::new(),
    });
    // The second forgets what it may.
    cluster.nodes[1].administer(&work);
    cluster.pass(10_000);
    let fact = repair(&mut cluster, 0, options());
    assert_eq!(fact.state, RepairState::Completed, "{fact:?}");
    for own in own_keys(&mut cluster, 0..20) {
        assert_eq!(own, BTreeSet::new());
    }
}

#[test]
fn a_debtor_gets_its_rows_when_no_journal_has_them_any_more() {
    given_away(38, |config| config.journal_bytes_per_shard = 1);
}

#[test]
fn what_is_not_kept_because_an_operator_says_so_comes_by_repair() {
    given_away(39, |config| config.handoff.enabled = false);
}

/// A node is away while what it misses is given away by the others, and has all of it in the end.
fn given_away(seed: u64, configure: fn(&mut NodeConfig)) {
    let mut cluster = indebted(seed, configure);
    cluster.pass(60_000);
    has_everything(&mut cluster);
}

/// A cluster of which the third node was away while what it missed was given away by the others, and is back.
fn indebted(seed: u64, configure: fn(&mut NodeConfig)) -> Cluster {
    let mut cluster = Cluster::founded(seed, 3, 4, 1).unwrap();
    for node in &mut cluster.nodes {
        node.shrink(64 << 10, 128 << 10);
        configure(&mut node.config);
    }
    for node in 0..3 {
        cluster.start(node, 1);
    }
    super::ready(&mut cluster);
    cluster.crash(2);
    cluster.pass(12_000);
    let filler = "x".repeat(400);
    let table = "CREATE TABLE ks.wide (k bigint PRIMARY KEY, v text)";
    cluster.must(0, Consistency::Quorum, table).unwrap();
    for number in 0..1_500u64 {
        let text = format!("INSERT INTO ks.t (k, v) VALUES ({}, 1)", number % 60);
        cluster
            .must((number % 2) as usize, Consistency::Quorum, &text)
            .unwrap();
        let text = format!("INSERT INTO ks.wide (k, v) VALUES ({number}, '{filler}')");
        cluster
            .must((number % 2) as usize, Consistency::Quorum, &text)
            .unwrap();
    }
    let flush = AdminWork::Tables(TableWork {
        action: TableAction::Flush,
        keyspace: None,
        tables: Vec::new(),
    });
    for node in 0..2 {
        cluster.nodes[node].administer(&flush);
    }
    cluster.pass(20_000);
    let shed = cluster.nodes[0].log.iter().chain(&cluster.nodes[1].log);
    let shed = shed.filter(|line| line.contains("are owed, and come by repair"));
    assert!(shed.count() > 0, "nothing is shed: {}", cluster.describe());
    cluster.start(2, 1);
    cluster.wait_until_served(START_MS).unwrap();
    cluster
}

/// All nodes have all rows, and nobody is owed anything.
fn has_everything(cluster: &mut Cluster) {
    let all: BTreeSet<u64> = (0..60).collect();
    for own in own_keys(cluster, 0..60) {
        assert_eq!(own, all);
    }
    cluster.pass(10_000);
    let text = "SELECT lacks, owed, address FROM system_views.convergence";
    for node in 0..3 {
        match cluster.must(node, Consistency::One, text) {
            Ok(Answer::Rows(rows)) => {
                let nothing = Some(0u64.to_be_bytes().to_vec());
                let is_settled =
                    |row: &Vec<Option<Vec<u8>>>| row[0] == nothing && row[1] == nothing;
                assert!(
                    rows.iter().all(is_settled),
                    "{rows:?} {}",
                    cluster.describe()
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The repairs that the third node drives of what it is owed.
fn owed_repairs(cluster: &mut Cluster) -> Vec<RepairFact> {
    let id = cluster.nodes[2].administer(&AdminWork::Repair(RepairWork::Show));
    cluster.pass(1);
    match cluster.nodes[2].administered.remove(&id) {
        Some(Ok(AdminAnswer::Repairs(facts))) => {
            let owed = |fact: &RepairFact| fact.reason == RepairReason::Owed;
            facts.into_iter().filter(owed).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The first repair of what is owed, as soon as it is seen.
fn owed_repair(cluster: &mut Cluster) -> RepairFact {
    let end = cluster.nanos() + REPAIR_MS * 1_000_000;
    loop {
        if let Some(fact) = owed_repairs(cluster).pop() {
            assert_eq!(fact.state, RepairState::Running, "it is seen early");
            return fact;
        }
        assert!(cluster.nanos() < end, "{}", cluster.describe());
    }
}

#[test]
fn what_is_owed_is_not_repaired_while_an_operator_wants_none_of_it() {
    let mut cluster = indebted(42, |config| config.journal_bytes_per_shard = 1);
    let fact = owed_repair(&mut cluster);
    let cancel = RepairWork::Cancel(Some(fact.id.to_string()));
    cluster.nodes[2].administer(&AdminWork::Repair(cancel));
    cluster.pass(60_000);
    let facts = owed_repairs(&mut cluster);
    assert_eq!(facts.len(), 1, "{facts:?}");
    assert_eq!(facts[0].state, RepairState::Cancelled);
    // A repair of anything means that repairs are welcome again.
    let fact = repair(&mut cluster, 2, options());
    assert_eq!(fact.state, RepairState::Completed, "{fact:?}");
    cluster.pass(60_000);
    has_everything(&mut cluster);
}

#[test]
fn a_repair_of_what_is_owed_waits_for_who_goes_away_meanwhile() {
    let mut cluster = indebted(43, |config| config.journal_bytes_per_shard = 1);
    let fact = owed_repair(&mut cluster);
    cluster.crash(1);
    cluster.pass(30_000);
    let facts = owed_repairs(&mut cluster);
    assert_eq!(facts.len(), 1, "{facts:?}");
    assert_eq!(facts[0].state, RepairState::Running, "{facts:?}");
    cluster.start(1, 1);
    cluster.wait_until_served(START_MS).unwrap();
    cluster.pass(60_000);
    let facts = owed_repairs(&mut cluster);
    assert_eq!(facts[0].id, fact.id);
    assert_eq!(facts[0].state, RepairState::Completed, "{facts:?}");
    has_everything(&mut cluster);
}

/// What a node's first shard says of itself, and the partitions of a table in memory there.
fn kept(cluster: &mut Cluster, node: usize, table: TableId) -> (u64, usize) {
    let id = cluster.nodes[node].administer(&AdminWork::Facts);
    cluster.pass(1);
    match cluster.nodes[node].administered.remove(&id) {
        Some(Ok(AdminAnswer::Facts(facts))) => {
            let mut tables = facts.store.tables.iter();
            let found = tables.find(|stats| stats.table == table).expect("it");
            (facts.schema.epoch, found.memtable_partitions)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_replicates_nothing_of_a_row_does_not_keep_what_a_repair_sends() {
    let mut cluster = founded(44);
    for text in [
        "CREATE KEYSPACE alone WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE alone.only (k bigint PRIMARY KEY)",
    ] {
        cluster.must(0, Consistency::Quorum, text).unwrap();
    }
    cluster.pass(2_000);
    let text = "SELECT id FROM system_schema.tables WHERE keyspace_name = 'alone'";
    let table = match cluster.must(0, Consistency::One, text) {
        Ok(Answer::Rows(rows)) => {
            TableId(Uuid::from_slice(rows[0][0].as_ref().expect("an id")).expect("a uuid"))
        }
        other => panic!("{other:?}"),
    };
    for node in 0..3 {
        let (epoch, _) = kept(&mut cluster, node, table);
        let mend = RepairMessage::Mend {
            number: 1,
            epoch,
            table,
            mutations: vec![row(table, 5, 1_000).encode()],
        };
        let mut bytes = Vec::new();
        PeerMessage::Repair(mend).encode(&mut bytes);
        let from = cluster.nodes[(node + 1) % 3].identity(0).expect("it talks");
        cluster.nodes[node].hear(&from, Class::Bulk, bytes);
    }
    cluster.pass(1_000);
    let kept: usize = (0..3).map(|node| kept(&mut cluster, node, table).1).sum();
    assert_eq!(kept, 1, "its replica has it and no other");
}
