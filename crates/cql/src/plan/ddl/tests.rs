//! Plays scripts of schema statements and compares every outcome with Cassandra's.
//!
//! A script is a list of `> statement` and the outcome below it, indented: what Apache Cassandra 5.0.6 answered (one node,
//! materialized views and user functions enabled). A `~` before the statement says that its effect was undone, so that
//! the next one finds the same schema. `@ role` logs in, with an authorizer that asks for permissions; `@ -` is nobody
//! where everything is allowed. An outcome after `!` is ours where we differ on purpose.

use super::roles::{Authorization, Listing, RoleContext, RolePlan, User, plan_role};
use super::*;
use crate::parse::parse;
use std::fmt::Write as _;

fn code(error: &RequestError) -> u32 {
    match error {
        RequestError::Syntax(_) => 0x2000,
        RequestError::Unauthorized(_) => 0x2100,
        RequestError::Invalid(_) => 0x2200,
        RequestError::Config(_) => 0x2300,
        RequestError::AlreadyExists { .. } => 0x2400,
        _ => 0,
    }
}

fn shown(target: &SchemaTarget) -> String {
    match target {
        SchemaTarget::Keyspace { keyspace } => format!("KEYSPACE {keyspace}"),
        SchemaTarget::Table { keyspace, name } => format!("TABLE {keyspace}.{name}"),
        SchemaTarget::Type { keyspace, name } => format!("TYPE {keyspace}.{name}"),
        SchemaTarget::Function { keyspace, name, .. } => format!("FUNCTION {keyspace}.{name}"),
        SchemaTarget::Aggregate { keyspace, name, .. } => format!("AGGREGATE {keyspace}.{name}"),
    }
}

fn refusal(error: &RequestError) -> String {
    let mut text = format!("E{:04x} {error}", code(error));
    if let RequestError::AlreadyExists { keyspace, table } = error {
        let _ = write!(text, " [{keyspace}|{table}]");
    }
    text
}

fn with_warnings(mut text: String, warnings: &[String]) -> String {
    if !warnings.is_empty() {
        let quoted: Vec<String> = warnings
            .iter()
            .map(|warning| format!("'{warning}'"))
            .collect();
        let _ = write!(text, " WARN [{}]", quoted.join(", "));
    }
    text
}

/// The name of each role and whether its booleans are true.
fn rows(listing: &Listing) -> String {
    let row = |row: &Vec<Vec<u8>>| {
        let columns = listing.columns.iter().zip(row);
        let shown = columns.filter_map(|((name, _), value)| match *name {
            "role" | "name" => Some(String::from_utf8_lossy(value).into_owned()),
            "super" | "login" => Some(if value == &[1] {
                (*name).into()
            } else {
                "-".into()
            }),
            _ => None,
        });
        shown.collect::<Vec<String>>().join(" ")
    };
    let rows: Vec<String> = listing.rows.iter().map(row).collect();
    format!("ROWS {}", rows.join(", "))
}

/// A server's schema and the little else that planning needs.
struct Bench {
    schema: Schema,
    config: DdlConfig,
    datacenters: BTreeMap<String, u32>,
    virtual_keyspaces: BTreeMap<String, Arc<Keyspace>>,
    keyspace: Option<String>,
    user: Option<String>,
    statements: u128,
}

impl Bench {
    fn new() -> Self {
        let replication = |class: &str| model::schema::Replication {
            class: class.into(),
            options: BTreeMap::new(),
        };
        let keyspace = |name: &str| {
            (
                name.to_owned(),
                Arc::new(Keyspace::empty(name, &replication("LocalStrategy"))),
            )
        };
        let mut system = BTreeMap::from([keyspace("system"), keyspace("system_schema")]);
        let mut views = Keyspace::empty("system_views", &replication("LocalStrategy"));
        for name in ["clients", "settings"] {
            views
                .tables
                .insert(name.into(), Arc::new(virtual_table(name)));
        }
        system.insert("system_views".into(), Arc::new(views));
        let superuser = model::schema::Role {
            name: "cassandra".into(),
            superuser: true,
            login: true,
            ..model::schema::Role::default()
        };
        let stored = ["system_auth", "system_traces"].map(keyspace);
        Self {
            schema: Schema {
                keyspaces: stored.into(),
                roles: [(superuser.name.clone(), Arc::new(superuser))].into(),
                ..Schema::default()
            },
            config: DdlConfig {
                materialized_views_enabled: true,
                user_defined_functions_enabled: true,
                sasi_indexes_enabled: true,
                ..DdlConfig::default()
            },
            datacenters: [("datacenter1".to_owned(), 1)].into(),
            virtual_keyspaces: system,
            keyspace: None,
            user: None,
            statements: 0,
        }
    }

    fn role_context(&self) -> RoleContext<'_> {
        match &self.user {
            Some(user) => RoleContext {
                user: User::Role(user),
                passwords: true,
                authorization: Authorization::Required,
            },
            None => RoleContext {
                user: User::Anonymous,
                passwords: false,
                authorization: Authorization::None,
            },
        }
    }

    fn finish_role(&mut self, planned: Result<RolePlan, RequestError>) -> String {
        let edits = match planned {
            Err(error) => return refusal(&error),
            Ok(RolePlan::Rows(listing)) => return rows(&listing),
            Ok(RolePlan::Nothing) => Vec::new(),
            Ok(RolePlan::Change(edits)) => edits,
            Ok(RolePlan::HashPassword(change)) => change.edits("hash".into()),
        };
        self.schema = self.schema.apply_all(&edits);
        "VOID".into()
    }

    fn run(&mut self, text: &str, keeps: bool) -> String {
        self.statements += 1;
        let context = DdlContext {
            keyspace: self.keyspace.as_deref(),
            now_micros: 1_700_000_000_000_000,
            new_id: uuid::Uuid::from_u128(self.statements),
            datacenters: &self.datacenters,
            virtual_keyspaces: &self.virtual_keyspaces,
            config: &self.config,
        };
        let statement = match parse(text) {
            Ok(parsed) => parsed.statement,
            Err(error) => return format!("E2000 {error}"),
        };
        if let Some(planned) = plan_role(&statement, &self.schema, &context, &self.role_context()) {
            return self.finish_role(planned);
        }
        let planned = match &statement {
            Statement::Use(name) => {
                let planner = Planner {
                    schema: &self.schema,
                    context: &context,
                };
                if planner.keyspace(name).is_none() {
                    let text = format!("Keyspace '{name}' does not exist");
                    return refusal(&RequestError::invalid(text));
                }
                self.keyspace = Some(name.clone());
                return format!("USE {name}");
            }
            Statement::Truncate(name) => {
                return match plan_truncate(name, &self.schema, &context) {
                    Ok(_) => "VOID".into(),
                    Err(error) => refusal(&error),
                };
            }
            statement => plan(statement, &self.schema, &context).expect("a schema statement"),
        };
        match planned {
            Err(error) => refusal(&error),
            Ok(SchemaPlan::Nothing { warnings }) => with_warnings("VOID".into(), &warnings),
            Ok(SchemaPlan::Change {
                edits,
                event,
                warnings,
            }) => {
                if keeps {
                    self.schema = self.schema.apply_all(&edits);
                }
                let text = format!(
                    "CHANGE {} {}",
                    format!("{:?}", event.change).to_uppercase(),
                    shown(&event.target)
                );
                with_warnings(text, &warnings)
            }
        }
    }
}

fn virtual_table(name: &str) -> Table {
    let key = model::schema::Column {
        id: model::row::ColumnId(0),
        name: "key".into(),
        ctype: model::types::CqlType::Text,
        kind: model::schema::ColumnKind::PartitionKey,
        position: 0,
        order: model::schema::ClusteringOrder::Ascending,
    };
    let id = model::schema::TableId(uuid::Uuid::from_u128(0));
    Table::new(
        id,
        "system_views",
        name,
        TableKind::Virtual,
        vec![key],
        model::schema::TableOptions::default(),
    )
}

fn play(script: &str) {
    let mut bench = Bench::new();
    let mut failures = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(user) = line.strip_prefix("@ ") {
            bench.user = (user != "-").then(|| user.to_owned());
            continue;
        }
        let statement = line.strip_prefix("> ").expect("a statement");
        let (statement, keeps) = match statement.strip_prefix('~') {
            Some(statement) => (statement, false),
            None => (statement, true),
        };
        let mut expected = lines.next().unwrap_or_default().trim_start();
        if let Some(ours) = lines.next_if(|line| line.starts_with('!')) {
            expected = ours[1..].trim_start();
        }
        let outcome = bench.run(statement, keeps);
        if outcome != expected {
            let _ = write!(
                failures,
                "> {statement}\n  expected {expected}\n  got      {outcome}\n"
            );
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            play(include_str!(concat!("testscripts/", stringify!($name), ".txt")));
        })*
    };
}

scripts! { keyspaces tables options alter_table types not_yet roles }

/// Whatever parses can be planned: with an answer, never a panic.
#[test]
fn every_statement_of_the_grammar_has_an_answer() {
    let setup = [
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy'}",
        "CREATE TYPE k.u (a int)",
        "CREATE TABLE k.t (a int, b int, s int static, v frozen<u>, l list<int>, PRIMARY KEY (a, b))",
    ];
    let mut bench = Bench::new();
    for statement in setup {
        assert!(
            bench.run(statement, true).starts_with("CHANGE"),
            "{statement}"
        );
    }
    bench.keyspace = Some("k".into());
    let mut planned = 0;
    for text in include_str!("../../parse/corpus/accepted.cql").lines() {
        let verbs = [
            "CREATE", "ALTER", "DROP", "TRUNCATE", "USE", "GRANT", "REVOKE", "LIST", "ADD",
        ];
        if verbs
            .iter()
            .any(|verb| text.to_uppercase().starts_with(verb))
        {
            bench.run(text, false);
            planned += 1;
        }
    }
    assert!(planned > 50, "{planned} statements");
}
