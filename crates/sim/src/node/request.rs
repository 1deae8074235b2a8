//! What clients ask of the node.

use super::promises::{Fate, Promises};
use crate::random::Rng;
use std::collections::BTreeMap;

/// Registers and counters.
pub(super) const KEYS: u64 = 4;
/// Tables that several clients create and drop.
const SHARED_TABLES: u64 = 3;
/// Client timestamps are below this.
const STAMPS: u64 = 1_000;

/// A request in flight.
#[derive(Debug, Clone)]
pub(super) enum Request {
    /// A row of its own.
    Insert(u64),
    /// A logged batch of so many rows of its own, each a partition.
    Batch { number: u64, parts: u64 },
    /// A register from one value to another, if it still has the first.
    Swap { key: u64, from: u64, to: u64 },
    /// One more.
    Count(u64),
    /// A row with a key that the node makes, if there is none: always.
    Once { number: u64, ticks: bool },
    /// A value with the client's own timestamp, which is the value.
    Stamp { key: u64, stamp: u64 },
    /// A row of the table that is truncated, and after how many truncations; `None` during one.
    Wiped { number: u64, epoch: Option<u64> },
    /// All rows of that table: those that were acknowledged when it was asked for.
    Truncate(Vec<u64>),
    /// A table of its own.
    CreateTable(u64),
    /// One that was acknowledged.
    DropTable(u64),
    /// A column of a table that was acknowledged.
    AddColumn { table: u64, column: u64 },
    /// A table that several clients create and drop.
    Shared { number: u64, create: bool },
    /// A role of its own, with a password.
    CreateRole(u64),
    /// A row that was acknowledged.
    Read(u64),
}

fn acknowledged(fates: &BTreeMap<u64, Fate>) -> Vec<u64> {
    let known = fates
        .iter()
        .filter(|(_, fate)| **fate == Fate::Acknowledged);
    known.map(|(number, _)| *number).collect()
}

impl Request {
    /// What a client asks next; `number` was never used before.
    pub(super) fn pick(number: u64, promises: &Promises, rng: &mut Rng) -> Self {
        let key = rng.below(KEYS);
        let table = acknowledged(&promises.tables);
        match rng.below(100) {
            0..20 => Self::Insert(number),
            20..42 => Self::Batch {
                number,
                parts: 2 + rng.below(5),
            },
            42..54 => Self::Swap {
                key,
                from: promises.registers[key as usize],
                to: number,
            },
            54..66 => Self::Count(key),
            66..71 => Self::Once {
                number,
                ticks: rng.chance(50),
            },
            71..76 => Self::Stamp {
                key,
                stamp: 1 + rng.below(STAMPS),
            },
            76..82 => Self::Wiped {
                number,
                epoch: promises.epoch(),
            },
            82 if !promises.truncating => Self::Truncate(acknowledged(&promises.wiped)),
            83..86 => Self::CreateTable(number),
            86 if !table.is_empty() => Self::DropTable(*rng.pick(&table)),
            87 if !table.is_empty() => Self::AddColumn {
                table: *rng.pick(&table),
                column: number,
            },
            88..90 => Self::Shared {
                number: rng.below(SHARED_TABLES),
                create: rng.chance(60),
            },
            90 => Self::CreateRole(number),
            _ => match &acknowledged(&promises.rows)[..] {
                [] => Self::Insert(number),
                known => Self::Read(*rng.pick(known)),
            },
        }
    }

    /// The statement.
    pub(super) fn text(&self, rng: &mut Rng) -> String {
        match self {
            Self::Insert(number) => {
                format!("INSERT INTO ks.rows (k, v) VALUES ({number}, {number})")
            }
            Self::Batch { number, parts } => {
                let filler = "x".repeat(rng.index(900));
                let inserts = (0..*parts).map(|part| {
                    format!("INSERT INTO ks.parts (number, part, filler) VALUES ({number}, {part}, '{filler}');")
                });
                format!("BEGIN BATCH {} APPLY BATCH", inserts.collect::<String>())
            }
            Self::Swap { key, from, to } => {
                format!("UPDATE ks.registers SET v = {to} WHERE k = {key} IF v = {from}")
            }
            Self::Count(key) => format!("UPDATE ks.counters SET c = c + 1 WHERE k = {key}"),
            Self::Once { number, ticks } => {
                let (table, id) = if *ticks {
                    ("ticks", "now()")
                } else {
                    ("once", "uuid()")
                };
                format!("INSERT INTO ks.{table} (id, n) VALUES ({id}, {number}) IF NOT EXISTS")
            }
            Self::Stamp { key, stamp } => {
                format!(
                    "INSERT INTO ks.stamped (k, v) VALUES ({key}, {stamp}) USING TIMESTAMP {stamp}"
                )
            }
            Self::Wiped { number, .. } => format!("INSERT INTO ks.wiped (k) VALUES ({number})"),
            Self::Truncate(_) => "TRUNCATE ks.wiped".to_owned(),
            Self::CreateTable(number) => format!("CREATE TABLE ks.t{number} (k int PRIMARY KEY)"),
            Self::DropTable(number) => format!("DROP TABLE ks.t{number}"),
            Self::AddColumn { table, column } => {
                format!("ALTER TABLE ks.t{table} ADD c{column} int")
            }
            Self::Shared {
                number,
                create: true,
            } => {
                format!("CREATE TABLE IF NOT EXISTS ks.shared{number} (k int PRIMARY KEY)")
            }
            Self::Shared { number, .. } => format!("DROP TABLE IF EXISTS ks.shared{number}"),
            Self::CreateRole(number) => {
                format!("CREATE ROLE r{number} WITH PASSWORD = 'p{number}' AND LOGIN = true")
            }
            Self::Read(number) => format!("SELECT v FROM ks.rows WHERE k = {number}"),
        }
    }

    /// Whether it changes the schema or the roles, or truncates.
    pub(super) fn is_administrative(&self) -> bool {
        matches!(
            self,
            Self::Truncate(_)
                | Self::CreateTable(_)
                | Self::DropTable(_)
                | Self::AddColumn { .. }
                | Self::Shared { .. }
                | Self::CreateRole(_)
        )
    }
}
