//! Schema changes from every node: one history of them, an acknowledged one is in force, `IF NOT EXISTS` tells one truth.

use super::{Check, Ended, Question, Rows, Workload};
use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;
use std::collections::{BTreeMap, BTreeSet};

/// Tables that several clients create, each with a column of its own.
const SHARED: u64 = 6;
/// The protocol's `Server_error`: nobody decided, or not in time.
const SERVER_ERROR: i32 = 0x0000;
/// The protocol's `Invalid` and `Unconfigured`: a node that has not heard of a table yet says so.
const INVALID: i32 = 0x2200;
/// As above.
const CONFIG_ERROR: i32 = 0x2300;

#[derive(Debug, Clone, Copy)]
enum Request {
    Shared(u64),
    Create,
    Drop(u64),
    AddColumn(u64),
}

/// What was asked and told.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    flying: BTreeMap<u64, Request>,
    /// Tables of one client, whose creation was acknowledged and whose removal nobody asked for.
    created: BTreeSet<u64>,
    /// Tables whose removal was acknowledged.
    dropped: BTreeSet<u64>,
    /// Columns that were acknowledged, and of which table.
    columns: BTreeMap<u64, u64>,
    /// Shared tables that somebody was told are there.
    shared: BTreeSet<u64>,
}

impl Workload for Schemas {
    fn prepare(&self) -> Vec<String> {
        Vec::new()
    }

    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking {
        let created: Vec<u64> = self.created.iter().copied().collect();
        let (request, text) = match rng.below(100) {
            0..35 => {
                let table = rng.below(SHARED);
                let text = format!(
                    "CREATE TABLE IF NOT EXISTS ks.shared{table} (k bigint PRIMARY KEY, c{number} bigint)"
                );
                (Request::Shared(table), text)
            }
            35..50 if !created.is_empty() => {
                let table = *rng.pick(&created);
                self.created.remove(&table);
                (Request::Drop(table), format!("DROP TABLE ks.own{table}"))
            }
            50..65 if !created.is_empty() => {
                let table = *rng.pick(&created);
                let text = format!("ALTER TABLE ks.own{table} ADD c{number} bigint");
                (Request::AddColumn(table), text)
            }
            _ => {
                let text = format!("CREATE TABLE ks.own{number} (k bigint PRIMARY KEY)");
                (Request::Create, text)
            }
        };
        self.flying.insert(number, request);
        Asking::new(Consistency::One, text)
    }

    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String> {
        let request = self.flying.remove(&number);
        if let Ended::Done = ended {
            match request {
                Some(Request::Shared(table)) => {
                    self.shared.insert(table);
                }
                Some(Request::Create) => {
                    self.created.insert(number);
                }
                Some(Request::Drop(table)) => {
                    self.dropped.insert(table);
                }
                Some(Request::AddColumn(table)) => {
                    self.columns.insert(number, table);
                }
                None => {}
            }
        }
        Ok(None)
    }

    fn questions(&self) -> Vec<Question> {
        let everywhere = |text: &str| Question {
            asking: Asking::new(Consistency::One, text),
            everywhere: true,
        };
        vec![
            everywhere("SELECT schema_version FROM system.local"),
            everywhere(
                "SELECT table_name, column_name FROM system_schema.columns WHERE keyspace_name = 'ks'",
            ),
        ]
    }

    fn answered(&mut self, question: usize, rows: &Rows) -> Check {
        if question == 0 {
            return Ok(());
        }
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in rows {
            let text = |cell: usize| {
                let bytes = row.get(cell).cloned().flatten().unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            found.entry(text(0)).or_default().insert(text(1));
        }
        for table in &self.created {
            if !found.contains_key(&format!("own{table}")) {
                return Err(format!("table own{table} was created, and is gone"));
            }
        }
        for table in &self.dropped {
            if found.contains_key(&format!("own{table}")) {
                return Err(format!("table own{table} was dropped, and is there"));
            }
        }
        for (column, table) in &self.columns {
            let columns = found.get(&format!("own{table}"));
            let gone = columns.is_some_and(|columns| !columns.contains(&format!("c{column}")));
            if gone && self.created.contains(table) {
                return Err(format!(
                    "column c{column} was added to own{table}, and is gone"
                ));
            }
        }
        for table in &self.shared {
            let columns = found
                .get(&format!("shared{table}"))
                .map_or(0, BTreeSet::len);
            if columns != 2 {
                return Err(format!(
                    "table shared{table} was made once, and has {columns} columns"
                ));
            }
        }
        Ok(())
    }

    /// People change schemas, now and then.
    fn think_nanos(&self) -> u64 {
        3_000_000_000
    }

    fn compared(&self) -> Vec<String> {
        Vec::new()
    }

    fn may_end_with(&self, code: i32) -> bool {
        matches!(code, SERVER_ERROR | INVALID | CONFIG_ERROR)
    }
}
