//! DESCRIBE against what Cassandra 5.0.6 answered.
//!
//! `schema.cql` was run on it and is planned here; `described.txt` holds what it then said: each request after `>`, the
//! columns after `#`, the rows with `|` between their values, or after `!` the error.

use super::*;
use crate::ast::Statement;
use crate::parse::parse;
use crate::plan::ddl::{DdlConfig, DdlContext, SchemaPlan, plan};
use model::schema::Schema;
use std::collections::BTreeMap;

fn schema() -> Schema {
    let mut schema = Schema::default();
    let datacenters = BTreeMap::from([("datacenter1".to_owned(), 1)]);
    let config = DdlConfig {
        drop_compact_storage_enabled: true,
        ..DdlConfig::default()
    };
    for (index, text) in include_str!("schema.cql").lines().enumerate() {
        let statement = parse(text).expect("valid").statement;
        let context = DdlContext {
            keyspace: None,
            now_micros: 1_000_000 + index as i64,
            new_id: uuid::Uuid::from_u128(index as u128),
            datacenters: &datacenters,
            virtual_keyspaces: &BTreeMap::new(),
            config: &config,
        };
        match plan(&statement, &schema, &context).expect("a schema statement") {
            Ok(SchemaPlan::Change { edits, .. }) => schema = schema.apply_all(&edits),
            other => panic!("{text}: {other:?}"),
        }
    }
    schema
}

/// An answer in the form of `described.txt`.
fn shown(text: &str, schema: &Schema, current: Option<&str>) -> String {
    let Statement::Describe(request) = parse(text).expect("valid").statement else {
        panic!("{text}")
    };
    let keyspaces: Vec<&Keyspace> = schema.keyspaces.values().map(AsRef::as_ref).collect();
    let cluster = ClusterFacts::default();
    match describe(
        &request,
        Scope {
            keyspaces: &keyspaces,
            current,
            cluster: &cluster,
        },
    ) {
        Err(error) => format!("! {error}\n"),
        Ok(answer) => {
            let names: Vec<&str> = answer.columns.iter().map(|(name, _)| *name).collect();
            let mut out = format!("# {}\n", names.join(" "));
            for row in answer.rows {
                let values: Vec<String> = row
                    .into_iter()
                    .map(|value| String::from_utf8(value).expect("text"))
                    .collect();
                out.push_str(&values.join("|"));
                out.push('\n');
            }
            out
        }
    }
}

#[test]
fn answers_are_those_of_cassandra() {
    let schema = schema();
    let mut current = None;
    let mut checked = 0;
    let described = format!("\n{}", include_str!("described.txt").trim_end());
    for block in described.split("\n> ").skip(1) {
        let (request, expected) = block.split_once('\n').unwrap_or((block, ""));
        if let Some(name) = request.strip_prefix("USE ") {
            current = Some(name);
            continue;
        }
        let found = shown(request, &schema, current);
        let difference = found
            .lines()
            .zip(expected.lines())
            .find(|(found, expected)| found != expected);
        assert_eq!(difference, None, "{request}");
        assert_eq!(found.trim_end(), expected, "{request}");
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn what_is_described_creates_the_same() {
    let schema = schema();
    for table in schema.tables().filter(|table| !table.compact) {
        let text = create_table(table, Internals::Hidden);
        let Statement::CreateTable(create) = parse(&text).expect("valid").statement else {
            panic!("{text}")
        };
        let names: Vec<&str> = create
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(names.len(), table.columns().len(), "{text}");
        assert!(
            table
                .columns()
                .iter()
                .all(|column| names.contains(&column.name.as_str()))
        );
    }
}

#[test]
fn virtual_keyspaces_are_comments() {
    let text = "/*\nWarning: Keyspace system_views is a virtual keyspace and cannot be recreated with CQL.\n\
                Structure, for reference:\nVIRTUAL KEYSPACE system_views;\n*/";
    let mut keyspace = schema().keyspaces["dk"].as_ref().clone();
    keyspace.name = "system_views".into();
    assert_eq!(create_keyspace(&keyspace), text);
    let mut table = keyspace.tables["keys"].as_ref().clone();
    table.keyspace = "system_views".into();
    table.options.comment = "a comment".into();
    assert_eq!(
        create_table(&table, Internals::Hidden),
        "/*\nWarning: Table system_views.keys is a virtual table and cannot be recreated with CQL.\n\
         Structure, for reference:\nVIRTUAL TABLE system_views.keys (\n    a int,\n    b int,\n    c int,\n    \
         PRIMARY KEY (a, b, c)\n) WITH CLUSTERING ORDER BY (b ASC, c ASC)\n    AND comment = 'a comment';\n*/"
    );
}

#[test]
fn the_cluster_shows_ownership_of_a_replicated_keyspace() {
    let mut facts = ClusterFacts {
        name: "c".into(),
        partitioner: "p".into(),
        snitch: "s".into(),
        range_ownership: None,
    };
    let request = Describe {
        target: DescribeTarget::Cluster,
        with_internals: false,
    };
    let columns = |facts: &ClusterFacts| {
        describe(
            &request,
            Scope {
                keyspaces: &[],
                current: None,
                cluster: facts,
            },
        )
        .expect("an answer")
        .columns
        .len()
    };
    assert_eq!(columns(&facts), 3);
    facts.range_ownership = Some(BTreeMap::from([("1".into(), vec!["a".into()])]));
    assert_eq!(columns(&facts), 4);
}
