//! The data: orders of an online shop, of about 250 bytes each, the same on every target.
//!
//! Order `i` is a function of `i` alone, so that any answer can be checked and nothing is kept. Three tables hold it:
//! by id (one row a partition), by customer and day ([`ROWS_PER_PARTITION`] rows a partition, newest first), and a
//! journal of a few partitions that only grow. Text is cut from one pool of words, because making it would cost the
//! client more than sending it.

use std::ops::Range;

/// Rows of one customer and day.
pub const ROWS_PER_PARTITION: u64 = 60;
/// Rows a slice asks for.
pub const SLICE_ROWS: u64 = 20;
/// Partitions of the journal.
pub const JOURNAL_PARTITIONS: u64 = 16;
/// About what an order's values weigh.
#[cfg(test)]
const VALUE_BYTES: u64 = 250;
/// About what an order takes in an uncompressed block: its values, their lengths and times, the key.
pub const ROW_BYTES: u64 = 275;

/// Makes the keyspace, of which every node has all.
pub fn keyspace(nodes: usize) -> String {
    format!(
        "CREATE KEYSPACE IF NOT EXISTS bench WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {nodes}}}"
    )
}

/// The tables.
pub const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS bench.orders (order_id uuid PRIMARY KEY, customer_id bigint, placed_at timestamp, \
     status text, currency text, total_cents bigint, items text, address text)",
    "CREATE TABLE IF NOT EXISTS bench.orders_by_customer (customer_id bigint, day int, placed_at timestamp, order_id uuid, \
     status text, currency text, total_cents bigint, items text, address text, \
     PRIMARY KEY ((customer_id, day), placed_at, order_id)) WITH CLUSTERING ORDER BY (placed_at DESC, order_id ASC)",
    "CREATE TABLE IF NOT EXISTS bench.journal (stream int, number bigint, entry text, PRIMARY KEY (stream, number))",
];

/// Writes an order by its id.
pub const INSERT: &str = "INSERT INTO bench.orders (order_id, customer_id, placed_at, status, currency, total_cents, items, address) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
/// Writes an order by its customer and day.
pub const INSERT_BY_CUSTOMER: &str = "INSERT INTO bench.orders_by_customer \
     (customer_id, day, placed_at, order_id, status, currency, total_cents, items, address) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// Appends to the journal.
pub const APPEND: &str = "INSERT INTO bench.journal (stream, number, entry) VALUES (?, ?, ?)";
/// Reads one order.
pub const SELECT: &str = "SELECT order_id, customer_id, placed_at, status, currency, total_cents, items, address \
     FROM bench.orders WHERE order_id = ?";
/// Reads [`SLICE_ROWS`] orders of a customer and day, from a moment back.
pub const SELECT_SLICE: &str = "SELECT placed_at, order_id, status, currency, total_cents, items, address \
     FROM bench.orders_by_customer WHERE customer_id = ? AND day = ? AND placed_at <= ? LIMIT 20";

const POOL_BYTES: usize = 1 << 20;
const ITEMS_BYTES: usize = 128;
const ADDRESS_BYTES: usize = 56;
const ENTRY_BYTES: usize = 200;
const STATUSES: [&str; 5] = ["placed", "paid", "packed", "shipped", "delivered"];
const CURRENCIES: [&str; 3] = ["EUR", "GBP", "USD"];
const WORDS: [&str; 16] = [
    "shirt", "lamp", "green", "cotton", "chair", "large", "cable", "oak", "paper", "steel",
    "small", "blue", "kettle", "wool", "street", "north",
];
/// 2026-01-01, when the first order was placed, in milliseconds since 1970.
const FIRST_ORDER_MS: u64 = 1_767_225_600_000;

/// Where the texts of all orders come from.
#[derive(Debug)]
pub struct Pool {
    text: String,
}

impl Default for Pool {
    fn default() -> Self {
        let mut text = String::with_capacity(POOL_BYTES + 16);
        for i in 0.. {
            if text.len() >= POOL_BYTES {
                break;
            }
            let random = scatter(i);
            text.push_str(WORDS[(random >> 60) as usize]);
            text.push(' ');
            text.push_str(&(random & 0xfff).to_string());
            text.push(' ');
        }
        Self { text }
    }
}

/// One order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Order<'a> {
    pub id: [u8; 16],
    pub customer: i64,
    pub day: i32,
    pub placed_at_ms: i64,
    pub status: &'a str,
    pub currency: &'a str,
    pub total_cents: i64,
    pub items: &'a str,
    pub address: &'a str,
}

impl Pool {
    /// Order `i`.
    pub fn order(&self, i: u64) -> Order<'_> {
        let random = scatter(i);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&random.to_be_bytes());
        id[8..].copy_from_slice(&scatter(random).to_be_bytes());
        // Version 4, variant 1, as a client would make it.
        id[6] = id[6] & 0x0f | 0x40;
        id[8] = id[8] & 0x3f | 0x80;
        let partition = i / ROWS_PER_PARTITION;
        Order {
            id,
            customer: partition as i64,
            day: 20_000 + (partition % 30) as i32,
            placed_at_ms: placed_at_ms(partition, i % ROWS_PER_PARTITION),
            status: STATUSES[(random % 5) as usize],
            currency: CURRENCIES[(random % 3) as usize],
            total_cents: (random >> 44) as i64,
            items: self.cut(random, ITEMS_BYTES),
            address: self.cut(random.rotate_left(32), ADDRESS_BYTES),
        }
    }

    /// Entry `i` of the journal.
    pub fn entry(&self, i: u64) -> &str {
        self.cut(scatter(i), ENTRY_BYTES)
    }

    fn cut(&self, random: u64, length: usize) -> &str {
        let at = (random >> 20) as usize % (POOL_BYTES - length);
        // The pool is ASCII, so any cut is at a character.
        &self.text[at..at + length]
    }
}

/// When the row at `position` of a customer's day was placed.
pub fn placed_at_ms(partition: u64, position: u64) -> i64 {
    (FIRST_ORDER_MS + partition * 1_000 + position * 60_000) as i64
}

/// A number that looks random, different for each `i` (the finaliser of SplitMix64, a bijection).
pub fn scatter(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The numbers below `count`, in an order that looks random and visits each once a round.
#[derive(Debug, Clone)]
pub struct Shuffled {
    count: u64,
    step: u64,
    at: u64,
}

impl Shuffled {
    /// Of the numbers below `count`.
    pub fn new(count: u64) -> Self {
        assert!(count > 0, "nothing to visit");
        // A step without a common divisor visits every number; the golden section spreads neighbours far apart.
        let start = (count as f64 * 0.618) as u64;
        let steps: Range<u64> = start.max(1)..start.max(1) + count;
        let step = steps.into_iter().find(|step| gcd(*step, count) == 1);
        Self {
            count,
            step: step.unwrap_or(1),
            at: 0,
        }
    }

    /// How many make a round.
    pub fn round(&self) -> u64 {
        self.count
    }
}

impl Iterator for Shuffled {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.at = (self.at + self.step) % self.count;
        Some(self.at)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_comes_once_a_round() {
        for count in [1, 2, 60, 97, 30_000] {
            let round: BTreeSet<u64> = Shuffled::new(count).take(count as usize).collect();
            assert_eq!(round.len() as u64, count);
            assert_eq!(round.last(), Some(&(count - 1)));
        }
    }

    #[test]
    fn an_order_weighs_about_what_is_claimed() {
        let pool = Pool::default();
        let order = pool.order(7);
        let texts =
            order.status.len() + order.currency.len() + order.items.len() + order.address.len();
        let bytes = (16 + 8 + 8 + 8 + texts) as u64;
        assert!(bytes.abs_diff(VALUE_BYTES) < 30, "{bytes}");
        assert_eq!(order, Pool::default().order(7));
        assert_ne!(order.id, pool.order(8).id);
    }
}
