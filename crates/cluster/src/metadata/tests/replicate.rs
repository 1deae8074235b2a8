//! Keyspaces that get more replicas, and what coordinators of neighbouring steps have in common.

use super::{Cluster, NodeId, Refused, quorum};
use crate::metadata::{Change, Command, Metadata, Step};
use crate::ring::{Replicas, Strategy};
use crate::stream::plan;
use model::key::Token;
use model::row::ColumnId;
use model::schema::{
    ClusteringOrder, Column, ColumnKind, Replication, SchemaEdit, Table, TableId, TableKind,
    TableOptions,
};
use model::types::CqlType;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

const ACCEPTORS: TableId = TableId(Uuid::nil());
const TABLE: TableId = TableId(Uuid::from_u128(5));

fn simple(factor: u32) -> Replication {
    Replication {
        class: "SimpleStrategy".into(),
        options: [("replication_factor".into(), factor.to_string())].into(),
    }
}

/// So many nodes with two tokens each, and a keyspace with a table.
fn with_keyspace(tokens: &[i64], factor: u32) -> Cluster {
    let mut cluster = Cluster::new();
    for (index, pair) in tokens.chunks(2).enumerate() {
        let node = cluster.join(index as u32 + 2, pair);
        cluster.finish(node);
    }
    alter(&mut cluster, factor).expect("a keyspace");
    let key = Column {
        id: ColumnId(0),
        name: "k".to_owned(),
        ctype: CqlType::Int,
        kind: ColumnKind::PartitionKey,
        position: 0,
        order: ClusteringOrder::Ascending,
    };
    let table = Table::new(
        TABLE,
        "grows",
        "t",
        TableKind::Stored,
        vec![key],
        TableOptions::default(),
    );
    cluster
        .propose(Command::Edit {
            planned_on: cluster.metadata.schema.epoch,
            edits: vec![SchemaEdit::PutTable(Arc::new(table))],
        })
        .expect("a table");
    cluster
}

fn alter(cluster: &mut Cluster, factor: u32) -> Result<(), Refused> {
    alter_to(cluster, simple(factor))
}

fn alter_to(cluster: &mut Cluster, replication: Replication) -> Result<(), Refused> {
    cluster.propose(Command::Edit {
        planned_on: cluster.metadata.schema.epoch,
        edits: vec![SchemaEdit::PutKeyspace {
            name: "grows".into(),
            replication,
            durable_writes: true,
        }],
    })
}

fn network(factor: u32) -> Replication {
    Replication {
        class: "NetworkTopologyStrategy".into(),
        options: [("dc".into(), factor.to_string())].into(),
    }
}

/// The change of the keyspace's replication that is under way.
fn under_way(metadata: &Metadata) -> Option<(NodeId, Step)> {
    let mut transitions = metadata.transitions.iter();
    let (number, transition) = transitions.find(|(_, one)| one.change.is_of_replication())?;
    Some((*number, transition.step))
}

fn replicas(metadata: &Metadata, token: Token) -> Replicas {
    let keyspace = &metadata.schema.keyspaces["grows"];
    let mut changing = metadata.changing();
    let placement = match changing.find(|(name, ..)| *name == "grows") {
        Some((_, replication, placement)) => {
            let defined = metadata.replication("grows", &keyspace.replication);
            assert_eq!(replication, defined);
            placement
        }
        None => metadata.place(&Strategy::of(&keyspace.replication)),
    };
    placement.replicas(token).expect("members").as_ref().clone()
}

#[test]
fn a_factor_grows_by_one_replica_at_a_time() {
    let mut cluster = with_keyspace(&[10, 20, 30, 40], 1);
    alter(&mut cluster, 3).expect("nothing else is under way");
    let mut counts = Vec::new();
    while let Some((number, step)) = under_way(&cluster.metadata) {
        let now = replicas(&cluster.metadata, Token(15));
        counts.push((now.natural.len(), now.pending.len()));
        let units = |own: u32| plan::gained(&cluster.metadata, number, NodeId(own), ACCEPTORS);
        let units: Vec<_> = (1..=3).flat_map(units).collect();
        assert!(!units.is_empty());
        assert!(
            units
                .iter()
                .all(|unit| [TABLE, ACCEPTORS].contains(&unit.table))
        );
        assert!(units.iter().all(|unit| !unit.sources.is_nobody()));
        cluster.advance(number.0, step).expect("it is under way");
    }
    assert_eq!(counts, [(1, 1), (2, 0), (2, 1), (3, 0)]);
    assert_eq!(replicas(&cluster.metadata, Token(15)).natural.len(), 3);
}

#[test]
fn another_strategy_gains_one_replica_at_a_time_too() {
    for (from, to) in [(simple(1), network(3)), (network(1), simple(3))] {
        let mut cluster = with_keyspace(&[10, 20, 30, 40], 1);
        alter_to(&mut cluster, from).expect("nothing is gained");
        assert_eq!(under_way(&cluster.metadata), None);
        alter_to(&mut cluster, to).expect("nothing else is under way");
        let mut counts = Vec::new();
        while let Some((number, step)) = under_way(&cluster.metadata) {
            let now = replicas(&cluster.metadata, Token(15));
            counts.push((now.natural.len(), now.pending.len()));
            cluster.advance(number.0, step).expect("it is under way");
        }
        assert_eq!(counts, [(1, 1), (2, 0), (2, 1), (3, 0)]);
    }
}

#[test]
fn what_has_begun_is_taken_back_by_the_opposite() {
    let mut cluster = with_keyspace(&[10, 20, 30, 40], 1);
    alter(&mut cluster, 2).expect("nothing else is under way");
    let (number, _) = under_way(&cluster.metadata).expect("it has begun");
    assert_eq!(
        cluster.change(2, Change::Leave),
        Err(Refused::Replicates),
        "the ring stands meanwhile"
    );
    alter(&mut cluster, 1).expect("nobody reads from those that would be gained");
    assert_eq!(under_way(&cluster.metadata), None);
    assert_eq!(replicas(&cluster.metadata, Token(15)).natural.len(), 1);
    alter(&mut cluster, 2).expect("nothing else is under way");
    let (again, _) = under_way(&cluster.metadata).expect("it has begun");
    assert_ne!(number, again);
    cluster
        .advance(again.0, Step::WriteBoth)
        .expect("it is under way");
    assert_eq!(alter(&mut cluster, 1), Err(Refused::Replicates));
    cluster
        .advance(again.0, Step::ReadNew)
        .expect("it is under way");
    alter(&mut cluster, 1).expect("it is over");
    assert_eq!(under_way(&cluster.metadata), None, "nobody gains anything");
}

#[test]
fn a_keyspace_that_is_dropped_changes_no_more() {
    let mut cluster = with_keyspace(&[10, 20, 30, 40], 1);
    alter(&mut cluster, 3).expect("nothing else is under way");
    cluster
        .propose(Command::Edit {
            planned_on: cluster.metadata.schema.epoch,
            edits: vec![SchemaEdit::DropKeyspace {
                name: "grows".into(),
            }],
        })
        .expect("a keyspace");
    assert_eq!(under_way(&cluster.metadata), None);
    assert_eq!(cluster.change(2, Change::Leave), Ok(()));
    assert_eq!(alter(&mut cluster, 3), Err(Refused::Overlaps(NodeId(2))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever writes by one of two neighbouring steps and whoever reads by the other meet in at least one replica; and whoever is
    /// gained takes from as many as meet every majority.
    #[test]
    fn majorities_of_neighbouring_steps_meet(
        tokens in proptest::collection::btree_set(1i64..1_000, 12),
        probe in any::<i64>(),
        from in 1u32..4,
        more in 1u32..5,
    ) {
        let tokens: Vec<i64> = tokens.into_iter().collect();
        let mut cluster = with_keyspace(&tokens, from);
        let mut steps = vec![cluster.metadata.clone()];
        alter(&mut cluster, from + more).expect("nothing else is under way");
        while let Some((number, step)) = under_way(&cluster.metadata) {
            steps.push(cluster.metadata.clone());
            cluster.advance(number.0, step).expect("it is under way");
        }
        steps.push(cluster.metadata.clone());
        for token in tokens.iter().map(|token| Token(*token)).chain([Token(probe)]) {
            for pair in steps.windows(2) {
                for (writer, reader) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                    let (written, read) = (replicas(writer, token), replicas(reader, token));
                    let needed = quorum(&written.natural) + written.pending.len();
                    let elsewhere = written.all().filter(|id| !read.natural.contains(id)).count();
                    let met = needed.saturating_sub(elsewhere);
                    prop_assert!(met + quorum(&read.natural) > read.natural.len(), "{written:?} {read:?}");
                }
            }
            let last: BTreeSet<NodeId> = replicas(&cluster.metadata, token).natural.into_iter().collect();
            prop_assert_eq!(last.len() as u32, (from + more).min(7));
        }
    }
}
