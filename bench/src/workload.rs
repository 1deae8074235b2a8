//! What each scenario asks, as a [`Source`] of requests.

use crate::failure::Outcome;
use crate::load::{Connection, Expected, Source};
use crate::orders::{self, Pool, ROWS_PER_PARTITION, SLICE_ROWS, Shuffled, placed_at_ms, scatter};
use crate::requests::{Level, Prepared, put_execute, put_execute_tail};
use cql::frame::ProtocolVersion;
use cql::frame::put::Put;
use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// An order is written by its id.
    Write,
    /// An order is read by its id.
    Read,
    /// Twenty orders of a customer and day are read.
    Range,
    /// Reads and writes of single orders in turn.
    Mixed,
    /// An entry is appended to one of a few partitions that only grow.
    Wide,
    /// [`Scenario::Read`] with the data four times the block cache.
    ColdRead,
    /// [`Scenario::Range`] with the data four times the block cache.
    ColdRange,
}

impl Scenario {
    /// All of them, in the order they are measured.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Range,
        Self::Write,
        Self::Mixed,
        Self::Wide,
        Self::ColdRead,
        Self::ColdRange,
    ];

    /// As the command line and the results write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Range => "range",
            Self::Mixed => "mixed",
            Self::Wide => "wide",
            Self::ColdRead => "cold-read",
            Self::ColdRange => "cold-range",
        }
    }

    /// As the table writes it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Write => "write one order",
            Self::Read => "read one order, from cache",
            Self::Range => "read a slice of 20, from cache",
            Self::Mixed => "mixed 50/50",
            Self::Wide => "append to wide partitions",
            Self::ColdRead => "read one order, data 4 × block cache",
            Self::ColdRange => "read a slice of 20, data 4 × block cache",
        }
    }

    /// Whether it is measured after the restart with a small block cache.
    pub fn is_cold(self) -> bool {
        matches!(self, Self::ColdRead | Self::ColdRange)
    }
}

/// The prepared statements of a server.
#[derive(Debug, Clone)]
pub struct Statements {
    /// How they are sent.
    terms: (ProtocolVersion, Level),
    insert: Prepared,
    insert_by_customer: Prepared,
    append: Prepared,
    select: Prepared,
    select_slice: Prepared,
}

impl Statements {
    /// Prepares them all, to be asked at a level.
    pub fn prepare(connection: &mut Connection, level: Level) -> Outcome<Self> {
        Ok(Self {
            terms: (connection.version(), level),
            insert: connection.prepare(orders::INSERT)?,
            insert_by_customer: connection.prepare(orders::INSERT_BY_CUSTOMER)?,
            append: connection.prepare(orders::APPEND)?,
            select: connection.prepare(orders::SELECT)?,
            select_slice: connection.prepare(orders::SELECT_SLICE)?,
        })
    }

    fn put_insert(&self, pool: &Pool, i: u64, timestamp_us: i64, out: &mut Vec<u8>) {
        let order = pool.order(i);
        put_execute(out, self.terms, &self.insert, 8);
        out.put_bytes(Some(&order.id));
        out.put_bytes(Some(&order.customer.to_be_bytes()));
        out.put_bytes(Some(&order.placed_at_ms.to_be_bytes()));
        put_details(&order, out);
        put_execute_tail(out, timestamp_us);
    }

    fn put_insert_by_customer(&self, pool: &Pool, i: u64, timestamp_us: i64, out: &mut Vec<u8>) {
        let order = pool.order(i);
        put_execute(out, self.terms, &self.insert_by_customer, 9);
        out.put_bytes(Some(&order.customer.to_be_bytes()));
        out.put_bytes(Some(&order.day.to_be_bytes()));
        out.put_bytes(Some(&order.placed_at_ms.to_be_bytes()));
        out.put_bytes(Some(&order.id));
        put_details(&order, out);
        put_execute_tail(out, timestamp_us);
    }

    fn put_append(&self, pool: &Pool, i: u64, timestamp_us: i64, out: &mut Vec<u8>) {
        let stream = (i % orders::JOURNAL_PARTITIONS) as i32;
        let number = (i / orders::JOURNAL_PARTITIONS) as i64;
        put_execute(out, self.terms, &self.append, 3);
        out.put_bytes(Some(&stream.to_be_bytes()));
        out.put_bytes(Some(&number.to_be_bytes()));
        out.put_bytes(Some(pool.entry(i).as_bytes()));
        put_execute_tail(out, timestamp_us);
    }

    /// Writes the EXECUTE that reads order `i`.
    pub fn put_select(&self, pool: &Pool, i: u64, timestamp_us: i64, out: &mut Vec<u8>) {
        put_execute(out, self.terms, &self.select, 1);
        out.put_bytes(Some(&pool.order(i).id));
        put_execute_tail(out, timestamp_us);
    }

    /// Writes the EXECUTE that reads the slice of `partition` that begins at row `position` and goes back in time.
    pub fn put_select_slice(
        &self,
        pool: &Pool,
        partition: u64,
        position: u64,
        timestamp_us: i64,
        out: &mut Vec<u8>,
    ) {
        let order = pool.order(partition * ROWS_PER_PARTITION);
        put_execute(out, self.terms, &self.select_slice, 3);
        out.put_bytes(Some(&order.customer.to_be_bytes()));
        out.put_bytes(Some(&order.day.to_be_bytes()));
        out.put_bytes(Some(&placed_at_ms(partition, position).to_be_bytes()));
        put_execute_tail(out, timestamp_us);
    }
}

fn put_details(order: &orders::Order<'_>, out: &mut Vec<u8>) {
    out.put_bytes(Some(order.status.as_bytes()));
    out.put_bytes(Some(order.currency.as_bytes()));
    out.put_bytes(Some(&order.total_cents.to_be_bytes()));
    out.put_bytes(Some(order.items.as_bytes()));
    out.put_bytes(Some(order.address.as_bytes()));
}

/// Writes every order once into both of its tables.
#[derive(Debug)]
pub struct Fill<'a> {
    pool: &'a Pool,
    statements: &'a Statements,
    orders: Shuffled,
    left: u64,
}

impl<'a> Fill<'a> {
    /// Of so many orders.
    pub fn new(pool: &'a Pool, statements: &'a Statements, orders: u64) -> Self {
        Self {
            pool,
            statements,
            orders: Shuffled::new(orders),
            left: orders * 2,
        }
    }
}

impl Source for Fill<'_> {
    fn next(&mut self, timestamp_us: i64, out: &mut Vec<u8>) -> Option<Expected> {
        self.left = self.left.checked_sub(1)?;
        // First round by id, second round by customer: each visits every order once.
        let by_id = self.left >= self.orders.round();
        let i = self.orders.next()?;
        if by_id {
            self.statements.put_insert(self.pool, i, timestamp_us, out);
        } else {
            self.statements
                .put_insert_by_customer(self.pool, i, timestamp_us, out);
        }
        Some(Expected::Void)
    }
}

/// Asks what a scenario asks, for ever.
#[derive(Debug)]
pub struct Asking<'a> {
    pool: &'a Pool,
    statements: &'a Statements,
    scenario: Scenario,
    orders: u64,
    /// Requests so far; where the journal goes on, too.
    asked: &'a mut u64,
}

impl<'a> Asking<'a> {
    /// Over so many orders. `asked` goes on from the last time, so that no journal entry is written twice.
    pub fn new(
        pool: &'a Pool,
        statements: &'a Statements,
        scenario: Scenario,
        orders: u64,
        asked: &'a mut u64,
    ) -> Self {
        Self {
            pool,
            statements,
            scenario,
            orders,
            asked,
        }
    }

    fn select(&self, timestamp_us: i64, out: &mut Vec<u8>) -> Expected {
        self.statements
            .put_select(self.pool, self.pick(), timestamp_us, out);
        Expected::Rows(1)
    }

    fn insert(&self, timestamp_us: i64, out: &mut Vec<u8>) -> Expected {
        self.statements
            .put_insert(self.pool, self.pick(), timestamp_us, out);
        Expected::Void
    }

    fn select_slice(&self, timestamp_us: i64, out: &mut Vec<u8>) -> Expected {
        let i = self.pick();
        // From any row that has a whole slice at and before it.
        let span = ROWS_PER_PARTITION - SLICE_ROWS + 1;
        let position = SLICE_ROWS - 1 + scatter(i) % span;
        let partition = i / ROWS_PER_PARTITION;
        self.statements
            .put_select_slice(self.pool, partition, position, timestamp_us, out);
        Expected::Rows(SLICE_ROWS as u32)
    }

    /// Any order, each as likely as the others.
    fn pick(&self) -> u64 {
        scatter(*self.asked) % self.orders
    }
}

impl Source for Asking<'_> {
    fn next(&mut self, timestamp_us: i64, out: &mut Vec<u8>) -> Option<Expected> {
        *self.asked += 1;
        Some(match self.scenario {
            Scenario::Write => self.insert(timestamp_us, out),
            Scenario::Read | Scenario::ColdRead => self.select(timestamp_us, out),
            Scenario::Range | Scenario::ColdRange => self.select_slice(timestamp_us, out),
            Scenario::Mixed if self.asked.is_multiple_of(2) => self.insert(timestamp_us, out),
            Scenario::Mixed => self.select(timestamp_us, out),
            Scenario::Wide => {
                let entry = *self.asked;
                self.statements
                    .put_append(self.pool, entry, timestamp_us, out);
                Expected::Void
            }
        })
    }
}
