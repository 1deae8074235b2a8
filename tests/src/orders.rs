//! The load of `examples/orders` without a driver: order number *i* as described there, placed at a steady rate over
//! several connections, and the check that every acknowledged order is there with all its values.

use crate::wire::bytes::put_bytes;
use crate::wire::connection::Connection;
use crate::wire::request::{Parameters, Request, Value};
use crate::wire::response::{Answer, Prepared};
use crate::wire::{WireError, WireResult};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SCHEMA: &str = include_str!("../../examples/orders/schema.cql");
const INSERT_BY_ID: &str = "INSERT INTO orders.orders_by_id \
    (order_id, customer_id, placed_at, status, total, currency, items, version, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const INSERT_BY_CUSTOMER: &str = "INSERT INTO orders.orders_by_customer_and_day \
    (customer_id, day, placed_at, order_id, status, total, version) VALUES (?, ?, ?, ?, ?, ?, ?)";
const SELECT_BY_ID: &str = "SELECT order_id, customer_id, placed_at, status, total, currency, items, version, note \
    FROM orders.orders_by_id WHERE order_id = ?";
const SELECT_BY_CUSTOMER: &str = "SELECT customer_id, day, placed_at, order_id, status, total, version \
    FROM orders.orders_by_customer_and_day WHERE customer_id = ? AND day = ? AND placed_at = ? AND order_id = ?";
const SALE_BEGINS_MS: i64 = 1_732_889_700_000;
const CUSTOMERS: u64 = 50;
/// 50,000 orders a minute.
const RATE_PER_MINUTE: u64 = 50_000;
const CONNECTIONS: u64 = 32;
const PROTOCOL: u8 = 5;

/// The values of an order in the order of the columns of both tables.
struct Order {
    by_id: Vec<Vec<u8>>,
    by_customer: Vec<Vec<u8>>,
}

fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn uuid(a: u64, b: u64) -> Vec<u8> {
    let (a, b) = ((a & !0xF000) | 0x4000, (b & !(0xC0 << 56)) | (0x80 << 56));
    [a.to_be_bytes(), b.to_be_bytes()].concat()
}

fn decimal(cents: u64) -> Vec<u8> {
    let digits = crate::wire::number::from_decimal(&cents.to_string()).unwrap_or_default();
    [&2i32.to_be_bytes()[..], &digits].concat()
}

impl Order {
    fn number(seed: u64, i: u64) -> Self {
        let base = mix(seed).wrapping_add(16 * i);
        let value = |n: u64| mix(base.wrapping_add(n));
        let customer = value(2) % CUSTOMERS;
        let (order_id, customer_id) = (
            uuid(value(0), value(1)),
            uuid(mix(2 * customer), mix(2 * customer + 1)),
        );
        let placed_at = SALE_BEGINS_MS + (6 * i / 5) as i64;
        let status = ["NEW", "PAID", "SHIPPED"][(value(3) % 3) as usize]
            .as_bytes()
            .to_vec();
        let (mut items, mut total) = ((1 + (value(4) % 3) as i32).to_be_bytes().to_vec(), 0);
        for j in 0..=value(4) % 3 {
            let (quantity, price) = (1 + value(8 + j) % 5, 1 + value(11 + j) % 10_000);
            total += quantity * price;
            let mut item = Vec::new();
            put_bytes(
                &mut item,
                Some(format!("SKU-{:05}", value(5 + j) % 100_000).as_bytes()),
            );
            put_bytes(&mut item, Some(&(quantity as i32).to_be_bytes()));
            put_bytes(&mut item, Some(&decimal(price)));
            put_bytes(&mut items, Some(&item));
        }
        let day = ((placed_at / 86_400_000 + (1 << 31)) as u32)
            .to_be_bytes()
            .to_vec();
        let (placed_at, version) = (
            placed_at.to_be_bytes().to_vec(),
            1i64.to_be_bytes().to_vec(),
        );
        let (currency, note) = (b"EUR".to_vec(), format!("order {i} – λ✓").into_bytes());
        let total = decimal(total);
        Self {
            by_customer: vec![
                customer_id.clone(),
                day,
                placed_at.clone(),
                order_id.clone(),
                status.clone(),
                total.clone(),
                version.clone(),
            ],
            by_id: vec![
                order_id,
                customer_id,
                placed_at,
                status,
                total,
                currency,
                items,
                version,
                note,
            ],
        }
    }
}

/// A connection with one prepared statement for each table.
struct Client {
    connection: Connection,
    by_id: Prepared,
    by_customer: Prepared,
}

impl Client {
    fn open(address: SocketAddr, by_id: &str, by_customer: &str) -> WireResult<Self> {
        let mut connection = Connection::open(address, PROTOCOL, None)?;
        let mut prepare = |text: &str| match connection
            .request(&Request::Prepare(text.to_owned(), None))?
            .answer
        {
            Answer::Prepared(prepared) => Ok(*prepared),
            other => Err(WireError::Malformed(format!("{text}: {other:?}"))),
        };
        let (by_id, by_customer) = (prepare(by_id)?, prepare(by_customer)?);
        Ok(Self {
            connection,
            by_id,
            by_customer,
        })
    }

    fn execute(
        connection: &mut Connection,
        prepared: &Prepared,
        values: &[Vec<u8>],
    ) -> WireResult<Answer> {
        let values = values
            .iter()
            .map(|value| (None, Value::Bytes(value.clone())))
            .collect();
        let parameters = Parameters {
            values,
            ..Parameters::default()
        };
        let request = Request::Execute(
            prepared.id.clone(),
            prepared.metadata_id.clone(),
            parameters,
        );
        match connection.request(&request)?.answer {
            Answer::Error(error) => Err(WireError::Refused(error)),
            answer => Ok(answer),
        }
    }

    fn both(&mut self, by_id: &[Vec<u8>], by_customer: &[Vec<u8>]) -> WireResult<[Answer; 2]> {
        let first = Self::execute(&mut self.connection, &self.by_id, by_id)?;
        Ok([
            first,
            Self::execute(&mut self.connection, &self.by_customer, by_customer)?,
        ])
    }
}

/// Creates keyspace and tables.
pub fn create_schema(address: SocketAddr) -> WireResult<()> {
    let mut connection = Connection::open(address, PROTOCOL, None)?;
    let code: Vec<&str> = SCHEMA
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect();
    for statement in code
        .join("\n")
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        if let Answer::Error(error) = connection.query(statement)?.answer {
            return Err(WireError::Refused(error));
        }
    }
    Ok(())
}

/// A load that runs on threads of its own until it is told to end or its connections fail.
pub struct Load {
    threads: Vec<thread::JoinHandle<Vec<u64>>>,
    stop: &'static AtomicBool,
}

impl Load {
    /// Begins to place the orders of `seed` at the rate of the flash sale.
    pub fn start(address: SocketAddr, seed: u64) -> Self {
        // A few bytes a load, never freed: the threads may outlive every scope here.
        let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let next: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        let began = Instant::now();
        let place = move || {
            let mut acknowledged = Vec::new();
            let Ok(mut client) = Client::open(address, INSERT_BY_ID, INSERT_BY_CUSTOMER) else {
                return acknowledged;
            };
            while !stop.load(Ordering::Relaxed) {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let due = began + Duration::from_micros(i * 60_000_000 / RATE_PER_MINUTE);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let order = Order::number(seed, i);
                match client.both(&order.by_id, &order.by_customer) {
                    Ok(_) => acknowledged.push(i),
                    Err(_) => break,
                }
            }
            acknowledged
        };
        Self {
            threads: (0..CONNECTIONS).map(|_| thread::spawn(place)).collect(),
            stop,
        }
    }

    /// Ends the load and gives the numbers of the orders that both tables acknowledged.
    pub fn finish(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all: Vec<u64> = self
            .threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect();
        all.sort_unstable();
        all
    }
}

/// Reads orders back and gives a sentence for each that is missing or has another value.
pub fn verify(address: SocketAddr, seed: u64, numbers: &[u64]) -> WireResult<Vec<String>> {
    let mut client = Client::open(address, SELECT_BY_ID, SELECT_BY_CUSTOMER)?;
    let mut wrong = Vec::new();
    for i in numbers {
        let order = Order::number(seed, *i);
        let found = client.both(&order.by_id[..1], &order.by_customer[..4])?;
        for (answer, (table, wanted)) in found
            .iter()
            .zip([("by id", &order.by_id), ("by customer", &order.by_customer)])
        {
            let Answer::Rows(rows) = answer else { continue };
            let row: Option<Vec<Vec<u8>>> = rows.rows.first().map(|row| {
                row.iter()
                    .map(|cell| cell.clone().unwrap_or_default())
                    .collect()
            });
            match row {
                None => wrong.push(format!("order {i} of load {seed} is lost {table}")),
                Some(row) if row != *wanted => {
                    wrong.push(format!("order {i} of load {seed} has other values {table}"))
                }
                Some(_) => {}
            }
        }
    }
    Ok(wrong)
}
