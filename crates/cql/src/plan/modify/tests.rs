//! Random functions in modifications: one value however often a statement is evaluated, another for each call and row.

use super::*;
use crate::functions::CallContext;
use crate::parse::parse;
use crate::plan::ddl::{DdlConfig, DdlContext, SchemaPlan, plan};
use crate::plan::{Catalog, Plan, prepare};
use model::schema::Schema;
use std::collections::{BTreeMap, BTreeSet};

fn schema() -> Schema {
    let statements = [
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE k.t (k uuid, c uuid, v uuid, w timeuuid, PRIMARY KEY (k, c))",
        "CREATE TABLE k.n (k int, c int, v uuid, w uuid, PRIMARY KEY (k, c))",
    ];
    let config = DdlConfig::default();
    let mut schema = Schema::default();
    for (index, text) in statements.iter().enumerate() {
        let context = DdlContext {
            keyspace: None,
            now_micros: 1,
            new_id: uuid::Uuid::from_u128(index as u128),
            datacenters: &BTreeMap::from([("datacenter1".to_owned(), 1)]),
            virtual_keyspaces: &BTreeMap::new(),
            config: &config,
        };
        let statement = parse(text).expect("valid").statement;
        match plan(&statement, &schema, &context).expect("a schema statement") {
            Ok(SchemaPlan::Change { edits, .. }) => schema = schema.apply_all(&edits),
            other => panic!("{text}: {other:?}"),
        }
    }
    schema
}

fn planned(text: &str, schema: &Schema) -> Box<ModifyPlan> {
    let virtual_keyspaces = BTreeMap::new();
    let catalog = Catalog {
        schema,
        virtual_keyspaces: &virtual_keyspaces,
    };
    let parsed = parse(text).expect("valid");
    match prepare(parsed, catalog, None).expect("valid").plan {
        Plan::Modify(plan) => plan,
        other => panic!("{other:?}"),
    }
}

fn values(seed: u64) -> BoundValues<'static> {
    let mut values = BoundValues::none();
    values.context = CallContext::new(1_700_000_000_000_000, seed);
    values
}

fn context() -> WriteContext<'static> {
    WriteContext {
        ties: Ties::Deleted,
        timestamp_micros: 1,
        now_seconds: 1,
        list_position: 0,
        origin: 0,
        current: None,
    }
}

#[test]
fn the_row_that_is_read_is_the_row_that_is_written() {
    let schema = schema();
    let plan = planned(
        "INSERT INTO k.t (k, c, v, w) VALUES (uuid(), uuid(), uuid(), now()) IF NOT EXISTS",
        &schema,
    );
    let values = values(5);
    let slices = plan.slices(&values).expect("slices");
    let keys = plan.keys(&values).expect("keys");
    let kept = values.to_owned_values();
    let again = BoundValues::from_owned(&kept);
    let written = plan.mutations(&again, &context()).expect("mutations");
    assert_eq!(plan.keys(&again).expect("keys"), keys);
    assert_eq!(written[0].key, keys[0]);
    let row = &slices[0].start;
    let bytes = written[0].encode();
    assert!(bytes.windows(row.len()).any(|window| window == row));
}

#[test]
fn calls_and_rows_of_one_statement_differ() {
    let schema = schema();
    let text = "UPDATE k.n SET v = uuid(), w = uuid() WHERE k IN (1, 2, 3) AND c IN (1, 2)";
    let plan = planned(text, &schema);
    let mutations = plan.mutations(&values(5), &context()).expect("mutations");
    let bytes: Vec<Vec<u8>> = mutations.iter().map(Mutation::encode).collect();
    let mut seen = BTreeSet::new();
    // Every sixteen bytes that look like a random UUID with sixteen bytes' length before them.
    for window in bytes.iter().flat_map(|bytes| bytes.windows(16)) {
        if window[6] >> 4 == 4 && window[8] >> 6 == 2 {
            seen.insert(window.to_vec());
        }
    }
    assert!(seen.len() >= 3 * 2 * 2);
    let again = plan.mutations(&values(5), &context()).expect("mutations");
    assert!(
        bytes.iter().eq(again
            .iter()
            .map(Mutation::encode)
            .collect::<Vec<_>>()
            .iter())
    );
}
