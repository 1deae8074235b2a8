//! Somebody changes the schema while clients ask: the workload's own tables, harmlessly, and others beside them.

use super::Cluster;
use super::asking::Ticket;
use crate::node::machine::{Answer, Asking};
use crate::random::Rng;
use model::error::Consistency;

/// Mean time between two changes, in milliseconds.
const EVERY_MS: u64 = 3_000;
/// Tables beside the workload's.
const TABLES: u64 = 3;
/// A request that a running node has not answered after so long, in milliseconds, never will be.
const ANSWER_MS: u64 = 130_000;

/// Who does it, one change at a time.
#[derive(Debug, Default)]
pub(super) struct Meddler {
    /// The workload's tables, with their keyspace.
    tables: Vec<String>,
    next_at: u64,
    count: u64,
    /// What it waits for, and since when, in nanoseconds.
    waits: Option<(Ticket, u64, String)>,
}

impl Meddler {
    /// One who knows the tables that these statements create.
    pub(super) fn of(statements: &[String]) -> Self {
        let tables = statements.iter().filter_map(|text| {
            let name = text.strip_prefix("CREATE TABLE ")?;
            Some(name.split_whitespace().next()?.to_owned())
        });
        Self {
            tables: tables.collect(),
            ..Self::default()
        }
    }

    /// A statement that changes nothing for the workload.
    fn next(&mut self, rng: &mut Rng) -> String {
        self.count += 1;
        let count = self.count;
        let table = format!("ks.beside{}", rng.below(TABLES));
        match rng.below(4) {
            0 => format!("CREATE TABLE IF NOT EXISTS {table} (k int PRIMARY KEY, v int)"),
            1 => format!("DROP TABLE IF EXISTS {table}"),
            _ if self.tables.is_empty() => format!("ALTER TABLE {table} ADD c{count} int"),
            _ => {
                let own = rng.pick(&self.tables);
                format!("ALTER TABLE {own} WITH comment = 'change {count}'")
            }
        }
    }

    /// Asks a node that serves for a change, if it is time and none is under way.
    pub(super) fn ask(&mut self, node: Option<usize>, cluster: &mut Cluster, rng: &mut Rng) {
        let now = cluster.nanos();
        let Some(node) = node.filter(|_| self.waits.is_none() && now >= self.next_at) else {
            return;
        };
        self.next_at = now + rng.below(2 * EVERY_MS * 1_000_000);
        let text = self.next(rng);
        let asking = Asking::new(Consistency::One, text.clone());
        let ticket = cluster.send_statement(node, 0, &asking);
        self.waits = Some((ticket, now, text));
    }

    /// Takes its answer, whatever it is: what matters is what others see meanwhile.
    pub(super) fn collect(&mut self, cluster: &mut Cluster) -> Result<(), String> {
        let Some((ticket, since, text)) = &self.waits else {
            return Ok(());
        };
        match cluster.take_answer(*ticket) {
            Some((Answer::Rows(_), _)) => Err(format!("{text} is answered with rows")),
            Some(_) => {
                self.waits = None;
                Ok(())
            }
            None if cluster.nanos() > since + ANSWER_MS * 1_000_000 => {
                Err(format!("never answered: {text}"))
            }
            None => Ok(()),
        }
    }

    /// A node has ended, and with it what it was asked.
    pub(super) fn lost(&mut self, node: usize) {
        self.waits.take_if(|(ticket, ..)| ticket.0 == node);
    }

    /// Whether it waits for nothing.
    pub(super) fn is_quiet(&self) -> bool {
        self.waits.is_none()
    }
}
