//! Places orders, reads them back and checks every value (see ../README.md).

mod order;

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, Utc};
use clap::Parser;
use futures::StreamExt;
use futures::stream;
use order::{Item, Order};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::response::PagingState;
use scylla::statement::prepared::PreparedStatement;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

const BY_ID: &str = "INSERT INTO orders.orders_by_id \
    (order_id, customer_id, placed_at, status, total, currency, items, version, note) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const BY_CUSTOMER: &str = "INSERT INTO orders.orders_by_customer_and_day \
    (customer_id, day, placed_at, order_id, status, total, version) VALUES (?, ?, ?, ?, ?, ?, ?)";
const SELECT_BY_ID: &str = "SELECT order_id, customer_id, placed_at, status, total, currency, items, version, note \
    FROM orders.orders_by_id WHERE order_id = ?";
const SELECT_BY_CUSTOMER: &str = "SELECT day, placed_at, order_id, status, total, version \
    FROM orders.orders_by_customer_and_day WHERE customer_id = ? AND day = ?";
const PAGE_ROWS: i32 = 40;

type Outcome<T> = Result<T, Box<dyn Error>>;
type IdRow = (
    Uuid,
    Uuid,
    DateTime<Utc>,
    String,
    BigDecimal,
    String,
    Vec<Item>,
    i64,
    String,
);
type CustomerRow = (NaiveDate, DateTime<Utc>, Uuid, String, BigDecimal, i64);

/// Places orders, reads them back and checks every value.
#[derive(Parser)]
struct Options {
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    #[arg(long, default_value_t = 9042)]
    port: u16,
    #[arg(long, default_value_t = 50_000)]
    count: u64,
    /// Orders a minute.
    #[arg(long, default_value_t = 50_000)]
    rate: u64,
    #[arg(long, default_value_t = 128)]
    concurrency: usize,
    #[arg(long, default_value_t = 50)]
    customers: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long)]
    acknowledged: Option<String>,
    #[arg(long)]
    verify: Option<String>,
}

impl Options {
    fn order(&self, i: u64) -> Order {
        Order::number(self.seed, self.customers, i)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(mismatches) => ExitCode::from(u8::from(mismatches > 0)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Outcome<usize> {
    let session = SessionBuilder::new()
        .known_node(format!("{}:{}", options.host, options.port))
        .build()
        .await?;
    let mut wrong = Vec::new();
    let (numbers, mut summary) = if let Some(file) = &options.verify {
        let text = std::fs::read_to_string(file)?;
        let numbers = text
            .lines()
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>()?;
        let summary = format!("verified {} acknowledged orders", numbers.len());
        (numbers, summary)
    } else {
        create_schema(&session).await?;
        let began = Instant::now();
        let (numbers, refused) = place(&session, options).await?;
        let seconds = began.elapsed().as_secs_f64();
        if let (Some(first), None) = (refused.first(), &options.acknowledged) {
            wrong.push(format!("{} orders refused, first: {first}", refused.len()));
        }
        let (placed, rate) = (numbers.len(), numbers.len() as f64 / seconds);
        (
            numbers,
            format!(
                "placed {placed} orders in {seconds:.1} s ({rate:.0}/s), {} refused",
                refused.len()
            ),
        )
    };
    if options.acknowledged.is_none() {
        wrong.extend(check_by_id(&session, options, &numbers).await?);
        let (pages, found) = check_by_customer(&session, options, &numbers).await?;
        wrong.extend(found);
        summary += &format!(
            ", read {} by id and in {pages} pages by customer",
            numbers.len()
        );
    }
    for finding in wrong.iter().take(5) {
        eprintln!("{finding}");
    }
    println!("rust: {summary}, {} mismatches", wrong.len());
    Ok(wrong.len())
}

async fn create_schema(session: &Session) -> Outcome<()> {
    let text = include_str!("../../schema.cql");
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("--").next().unwrap_or_default())
        .collect();
    for statement in code
        .join("\n")
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        session.query_unpaged(statement, &[]).await?;
    }
    Ok(())
}

/// Gives the orders both tables acknowledged, and what was refused.
async fn place(session: &Session, options: &Options) -> Outcome<(Vec<u64>, Vec<String>)> {
    let by_id = session.prepare(BY_ID).await?;
    let by_customer = session.prepare(BY_CUSTOMER).await?;
    let log = match &options.acknowledged {
        Some(path) => Some(File::options().create(true).append(true).open(path)?),
        None => None,
    };
    let (placed, refused) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let began = Instant::now();
    stream::iter(0..options.count)
        .for_each_concurrent(options.concurrency, |i| {
            let (by_id, by_customer, log, placed, refused) =
                (&by_id, &by_customer, &log, &placed, &refused);
            async move {
                sleep_until(began + Duration::from_micros(i * 60_000_000 / options.rate)).await;
                if log.is_some() && !refused.lock().unwrap().is_empty() {
                    return;
                }
                match place_one(session, by_id, by_customer, &options.order(i)).await {
                    Ok(()) => {
                        placed.lock().unwrap().push(i);
                        if let Some(mut log) = log.as_ref() {
                            writeln!(log, "{i}")
                                .expect("the list of acknowledged orders can be written");
                        }
                    }
                    Err(error) => refused.lock().unwrap().push(error.to_string()),
                }
            }
        })
        .await;
    Ok((placed.into_inner()?, refused.into_inner()?))
}

async fn place_one(
    session: &Session,
    by_id: &PreparedStatement,
    by_customer: &PreparedStatement,
    o: &Order,
) -> Outcome<()> {
    let first = (
        o.order_id,
        o.customer_id,
        o.placed_at,
        &o.status,
        &o.total,
        &o.currency,
        &o.items,
        o.version,
        &o.note,
    );
    let second = (
        o.customer_id,
        o.day,
        o.placed_at,
        o.order_id,
        &o.status,
        &o.total,
        o.version,
    );
    let written = futures::join!(
        session.execute_unpaged(by_id, first),
        session.execute_unpaged(by_customer, second)
    );
    written.0?;
    written.1?;
    Ok(())
}

async fn check_by_id(
    session: &Session,
    options: &Options,
    numbers: &[u64],
) -> Outcome<Vec<String>> {
    let select = session.prepare(SELECT_BY_ID).await?;
    let findings = stream::iter(numbers.iter().map(|i| options.order(*i)))
        .map(|wanted| {
            let select = &select;
            async move {
                match read_one(session, select, wanted.order_id).await {
                    Ok(found) if found.as_ref() == Some(&wanted) => None,
                    Ok(found) => Some(format!("{found:?} is not {wanted:?}")),
                    Err(error) => Some(format!("{}: {error}", wanted.note)),
                }
            }
        })
        .buffer_unordered(options.concurrency);
    Ok(findings
        .filter_map(|finding| async { finding })
        .collect()
        .await)
}

async fn read_one(
    session: &Session,
    select: &PreparedStatement,
    id: Uuid,
) -> Outcome<Option<Order>> {
    let rows = session
        .execute_unpaged(select, (id,))
        .await?
        .into_rows_result()?;
    let row: Option<IdRow> = rows.maybe_first_row()?;
    Ok(row.map(
        |(order_id, customer_id, placed_at, status, total, currency, items, version, note)| {
            let day = placed_at.date_naive();
            Order {
                order_id,
                customer_id,
                day,
                placed_at,
                status,
                total,
                currency,
                items,
                version,
                note,
            }
        },
    ))
}

/// Reads each customer's days in pages; gives the number of pages and what is wrong.
async fn check_by_customer(
    session: &Session,
    options: &Options,
    numbers: &[u64],
) -> Outcome<(usize, Vec<String>)> {
    let mut select = session.prepare(SELECT_BY_CUSTOMER).await?;
    select.set_page_size(PAGE_ROWS);
    let mut days: BTreeMap<(Uuid, NaiveDate), Vec<Order>> = BTreeMap::new();
    for o in numbers.iter().map(|i| options.order(*i)) {
        days.entry((o.customer_id, o.day)).or_default().push(o);
    }
    let (mut pages, mut wrong) = (0, Vec::new());
    for (key, orders) in days {
        let (mut state, mut found) = (PagingState::start(), BTreeMap::new());
        let mut previous = DateTime::<Utc>::MAX_UTC;
        loop {
            let (page, next) = session.execute_single_page(&select, key, state).await?;
            pages += 1;
            for row in page.into_rows_result()?.rows::<CustomerRow>()? {
                let (day, placed_at, order_id, status, total, version) = row?;
                if placed_at > previous {
                    wrong.push(format!(
                        "customer {}: rows out of order at {order_id}",
                        key.0
                    ));
                }
                previous = placed_at;
                found.insert(order_id, (day, placed_at, status, total, version));
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => break,
                ControlFlow::Continue(next) => state = next,
            }
        }
        for o in orders {
            let wanted = (o.day, o.placed_at, o.status, o.total, o.version);
            if found.get(&o.order_id) != Some(&wanted) {
                wrong.push(format!(
                    "{}: {:?} is not {wanted:?} in the list",
                    o.note,
                    found.get(&o.order_id)
                ));
            }
        }
    }
    Ok((pages, wrong))
}
