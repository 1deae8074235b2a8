//! Reads of the system tables: against rows recorded from Apache Cassandra, and every way a read can be cut.

use super::*;
use cluster::topology::{Node, NodeId, Topology};
use cql::plan::ddl::{self, DdlConfig, DdlContext, SchemaPlan};
use model::clustering::{self, Slice};
use model::filter::{Condition, Operator, RowFilter, Target, column_value};
use model::key::{self, DecoratedKey, Token};
use model::read::{Columns, Direction, KeyRange, Partitions, ReadEntry, Resume};
use model::row::Row;
use model::schema::{Keyspace, Schema};
use model::time::{BootNanos, Now, WallMicros};
use model::types::CqlType;
use model::value;
use std::collections::BTreeMap;
use std::sync::Arc;

const NOW: Now = Now {
    wall: WallMicros(1_700_000_000_000_000),
    boot: BootNanos(1),
};

/// Of version 1.
const TIME_UUID: uuid::Uuid = uuid::Uuid::from_u128(0x1000 << 64);

/// A node with one schema.
struct Bench {
    schema: Schema,
    keyspaces: BTreeMap<String, Arc<Keyspace>>,
    topology: Topology,
    facts: NodeFacts,
}

impl Bench {
    fn new() -> Self {
        let node = Node {
            id: NodeId(1),
            host_id: uuid::Uuid::from_u128(7),
            client_address: "127.0.0.1:9042".parse().expect("an address"),
            internode_address: "127.0.0.1:7000".parse().expect("an address"),
            datacenter: "datacenter1".into(),
            rack: "rack1".into(),
            tokens: vec![Token(-5), Token(0), Token(9)],
            alive: true,
        };
        Self {
            schema: Schema::default().apply_all(&initial_edits()),
            keyspaces: keyspaces(),
            topology: Topology::new("Helenus Dev".into(), vec![node], NodeId(1)),
            facts: NodeFacts::default(),
        }
    }

    fn run(&mut self, statement: &str) {
        let config = DdlConfig::default();
        let context = DdlContext {
            keyspace: None,
            now_micros: NOW.wall.0,
            new_id: uuid::Uuid::from_u128(u128::from(self.schema.epoch)),
            datacenters: &[("datacenter1".to_owned(), 1)].into(),
            virtual_keyspaces: &self.keyspaces,
            config: &config,
        };
        let parsed = cql::parse::parse(statement).expect("a statement");
        match ddl::plan(&parsed.statement, &self.schema, &context) {
            Some(Ok(SchemaPlan::Change { edits, .. })) => {
                self.schema = self.schema.apply_all(&edits)
            }
            other => panic!("{statement}: {other:?}"),
        }
    }

    fn table(&self, keyspace: &str, name: &str) -> Arc<Table> {
        let found = self.schema.table(keyspace, name);
        found
            .unwrap_or_else(|| &self.keyspaces[keyspace].tables[name])
            .clone()
    }

    fn read(&self, table: &Table, command: &ReadCommand) -> ReadResponse {
        let settings = [("cluster_name".to_owned(), Some("Helenus Dev".to_owned()))];
        let outlook = crate::membership::Outlook::default();
        let view = NodeView {
            schema: &self.schema,
            virtual_keyspaces: &self.keyspaces,
            topology: &self.topology,
            outlook: &outlook,
            listen_address: "127.0.0.1".parse().expect("an address"),
            generation: 5,
            settings: &settings,
            properties: &[],
            facts: vec![&self.facts],
            now: NOW,
        };
        read(table, command, &view)
    }

    /// The rows of a table, or of one partition of it, as text.
    fn rows(&self, keyspace: &str, name: &str, partition: Option<&str>) -> Vec<String> {
        let table = self.table(keyspace, name);
        let mut command = command(&table);
        if let Some(partition) = partition {
            command.partitions = Partitions::Key(DecoratedKey::new(partition.as_bytes()));
        }
        shown(&table, &self.read(&table, &command))
    }
}

fn command(table: &Table) -> ReadCommand {
    let all = Partitions::Range(KeyRange::all());
    ReadCommand {
        purge_before: 0,
        ..ReadCommand::all(table.id, all, NOW.wall.seconds())
    }
}

fn value_text(ctype: &CqlType, bytes: &[u8]) -> String {
    let number = || {
        bytes
            .iter()
            .fold(0i64, |sum, byte| sum << 8 | i64::from(*byte))
    };
    let list = |element: &CqlType| {
        let items = value::elements(bytes).flatten();
        items
            .map(|item| value_text(element, item))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match ctype {
        CqlType::Text => String::from_utf8_lossy(bytes).into_owned(),
        CqlType::Boolean => (bytes == [1]).to_string(),
        CqlType::Int => (number() as i32).to_string(),
        CqlType::Bigint | CqlType::Timestamp => number().to_string(),
        CqlType::Double => format!("{:?}", f64::from_bits(number() as u64)),
        CqlType::List(element, _) | CqlType::Set(element, _) => format!("[{}]", list(element)),
        CqlType::Map(key, item, _) => {
            let parts: Vec<&[u8]> = value::elements_of(bytes, 2).flatten().collect();
            let pair = |pair: &[&[u8]]| {
                format!(
                    "{}: {}",
                    value_text(key, pair[0]),
                    value_text(item, pair[1])
                )
            };
            format!(
                "{{{}}}",
                parts
                    .chunks_exact(2)
                    .map(pair)
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Each row of an answer as `column=value | …`.
fn shown(table: &Table, response: &ReadResponse) -> Vec<String> {
    let mut rows = Vec::new();
    let mut partition = Vec::new();
    for entry in response.entries() {
        match entry {
            ReadEntry::Partition { token, key, .. } => {
                assert_eq!(token, Token::of(key));
                let components = key::split(key, table.partition_key().len()).expect("a key");
                partition = components.into_iter().map(<[u8]>::to_vec).collect();
            }
            ReadEntry::Row { clustering, row } => {
                assert!(Row::verify(row), "rows are well formed");
                let mut keys = partition.clone();
                keys.extend(clustering::decode(table, clustering).expect("a clustering key"));
                let row = Row::parse(row).expect("a row");
                let text = |(index, column): (usize, &model::schema::Column)| {
                    let value = keys.get(index).cloned().or_else(|| {
                        column_value(&row, column.id, &column.ctype, NOW.wall.seconds())
                    });
                    if let Some(value) = &value {
                        assert_eq!(
                            value::validate(&column.ctype, value),
                            Ok(()),
                            "{}",
                            column.name
                        );
                    }
                    let value =
                        value.map_or("null".to_owned(), |value| value_text(&column.ctype, &value));
                    format!("{}={value}", column.name)
                };
                let columns: Vec<String> = table.columns().iter().enumerate().map(text).collect();
                rows.push(columns.join(" | "));
            }
            _ => panic!("nothing is static or deleted here"),
        }
    }
    assert_eq!(rows.len() as u64, response.rows);
    rows
}

/// The schema of `fixtures/schema.cql` reads as it did on Apache Cassandra 5.0.6 (`fixtures/system_schema.txt`).
#[test]
fn schema_tables_say_what_cassandra_says() {
    let mut bench = Bench::new();
    for statement in include_str!("fixtures/schema.cql").lines() {
        bench.run(statement);
    }
    for name in ["keyspaces", "tables", "columns", "dropped_columns", "types"] {
        let prefix = format!("{name} | ");
        let expected: Vec<&str> = include_str!("fixtures/system_schema.txt")
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix))
            .collect();
        let rows = bench.rows("system_schema", name, Some("sysfix"));
        // Ids are new with every schema.
        let without_id = |row: &String| {
            let kept = row.split(" | ").filter(|column| !column.starts_with("id="));
            kept.collect::<Vec<_>>().join(" | ")
        };
        let rows: Vec<String> = rows.iter().map(without_id).collect();
        assert_eq!(rows.len(), expected.len(), "{name}");
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row, expected, "{name}");
        }
    }
}

#[test]
fn every_system_table_answers() {
    let mut bench = Bench::new();
    bench.facts = facts(&bench);
    let keyspaces = bench
        .keyspaces
        .values()
        .chain(bench.schema.keyspaces.values());
    let tables: Vec<Arc<Table>> = keyspaces
        .flat_map(|keyspace| keyspace.tables.values().cloned())
        .collect();
    assert!(tables.len() > 90);
    for table in &tables {
        shown(table, &bench.read(table, &command(table)));
    }
}

fn facts(bench: &Bench) -> NodeFacts {
    let events = bench.table("system_traces", "events");
    NodeFacts {
        clients: vec![ClientFact {
            address: "127.0.0.1:40000".parse().expect("an address"),
            stage: "ready",
            options: [("DRIVER_NAME".to_owned(), "a driver".to_owned())].into(),
            protocol_version: 5,
            keyspace: None,
            user: None,
            requests: 3,
            tls: false,
        }],
        tables: vec![TableFact {
            disk_bytes: 1,
            partitions: 1000,
            mean_partition_bytes: 10,
            ..TableFact::new(events.id)
        }],
        tasks: vec![TaskFact {
            table: events.id,
            id: TIME_UUID,
            kind: "compaction",
            progress: 1,
            total: 4,
            unit: "bytes",
            sstables: 2,
        }],
        pools: vec![PoolFact {
            name: "ReadStage".into(),
            completed: 5,
            ..PoolFact::default()
        }],
        ..NodeFacts::default()
    }
}

#[test]
fn local_says_who_the_node_is() {
    let bench = Bench::new();
    let rows = bench.rows("system", "local", Some("local"));
    let version = bench.schema.version().simple().to_string();
    assert_eq!(
        rows,
        [format!(
            "key=local | bootstrapped=COMPLETED | broadcast_address=7f000001 | broadcast_port=7000 | \
             cluster_name=Helenus Dev | cql_version=3.4.7 | data_center=datacenter1 | gossip_generation=5 | \
             host_id=00000000000000000000000000000007 | listen_address=7f000001 | listen_port=7000 | \
             native_protocol_version=5 | partitioner=org.apache.cassandra.dht.Murmur3Partitioner | rack=rack1 | \
             release_version=5.0.6 | rpc_address=7f000001 | rpc_port=9042 | schema_version={version} | \
             tokens=[-5, 0, 9] | truncated_at=null"
        )]
    );
    assert!(bench.rows("system", "peers", None).is_empty());
    assert!(bench.rows("system", "peers_v2", None).is_empty());
}

#[test]
fn estimates_cover_the_ring() {
    let mut bench = Bench::new();
    bench.facts = facts(&bench);
    let rows = bench.rows("system", "size_estimates", Some("system_traces"));
    let of_events = |row: &&String| row.contains("table_name=events");
    let rows: Vec<&String> = rows.iter().filter(of_events).collect();
    assert_eq!(
        rows.len(),
        4,
        "three tokens cut the ring in four, its ends counted"
    );
    let counts = rows
        .iter()
        .filter_map(|row| row.split("partitions_count=").nth(1)?.parse().ok());
    assert_eq!(counts.collect::<Vec<u64>>(), [0, 500, 0, 500]);
    assert!(
        rows.iter()
            .all(|row| row.contains("mean_partition_size=10"))
    );
}

#[test]
fn work_is_shown_by_table_and_stage() {
    let mut bench = Bench::new();
    bench.facts = facts(&bench);
    let client = &bench.rows("system_views", "clients", None)[0];
    assert!(client.contains("driver_name=a driver") && client.contains("username=anonymous"));
    let usage = bench.rows("system_views", "disk_usage", None);
    let events = "keyspace_name=system_traces | table_name=events | mebibytes=1";
    assert!(usage.iter().any(|row| row == events), "{usage:?}");
    let task = &bench.rows("system_views", "sstable_tasks", None)[0];
    assert!(task.contains("completion_ratio=0.25"), "{task}");
}

/// Pages of every size, in both directions, with and without a limit by partition, put together the whole.
#[test]
fn pages_are_the_whole_in_pieces() {
    let bench = Bench::new();
    let table = bench.table("system_schema", "tables");
    for direction in [Direction::Forward, Direction::Backward] {
        for per_partition in [u64::MAX, 5] {
            let mut whole = command(&table);
            whole.direction = direction;
            whole.limits.per_partition = per_partition;
            let expected = shown(&table, &bench.read(&table, &whole));
            for page in [1, 7, 100] {
                assert_eq!(
                    paged(&bench, &table, &whole, page),
                    expected,
                    "pages of {page}"
                );
            }
        }
    }
}

fn paged(bench: &Bench, table: &Table, whole: &ReadCommand, page: u64) -> Vec<String> {
    let mut command = whole.clone();
    command.limits.rows = page;
    let mut rows = Vec::new();
    loop {
        let response = bench.read(table, &command);
        rows.extend(shown(table, &response));
        if !response.more {
            return rows;
        }
        let (mut key, mut clustering, mut in_partition) = (None, None, 0);
        for entry in response.entries() {
            match entry {
                ReadEntry::Partition { key: bytes, .. } => {
                    key = Some(DecoratedKey::new(bytes));
                    in_partition = 0;
                }
                ReadEntry::Row {
                    clustering: bytes, ..
                } => {
                    clustering = Some(bytes.to_vec());
                    in_partition += 1;
                }
                _ => {}
            }
        }
        let key = key.expect("a page has rows");
        let before = match &command.resume {
            Some(resume) if resume.key == key => resume.left_in_partition,
            _ => command.limits.per_partition,
        };
        command.resume = Some(Resume {
            key,
            clustering,
            left_in_partition: before.saturating_sub(in_partition),
            gave_rows: true,
        });
    }
}

#[test]
fn slices_filters_and_columns_are_honoured() {
    let bench = Bench::new();
    let table = bench.table("system_schema", "columns");
    let mut wanted = command(&table);
    wanted.partitions = Partitions::Key(DecoratedKey::new(&b"system_auth"[..]));
    wanted.slices = vec![Slice::prefix(&clustering::encode(&table, &[b"roles"]))];
    let kind = table.column("kind").expect("a column").id;
    wanted.filter = RowFilter {
        conditions: vec![Condition {
            target: Target::Regular(kind),
            ctype: CqlType::Text,
            operator: Operator::Equal,
            operands: vec![b"partition_key".to_vec()],
        }],
    };
    wanted.columns = Columns::Only(vec![table.column("type").expect("a column").id]);
    let rows = shown(&table, &bench.read(&table, &wanted));
    assert_eq!(
        rows,
        [
            "keyspace_name=system_auth | table_name=roles | column_name=role | clustering_order=null | \
          column_name_bytes=null | kind=null | position=null | type=text"
        ]
    );
}
