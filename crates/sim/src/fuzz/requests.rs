//! The fuzzer of whole nodes: statements and bound values as clients make them up.

use crate::node::machine::{Answer, Machine};
use crate::random::Rng;
use cql::frame::Opcode;
use cql::frame::put::Put;
use model::env::Random;
use model::{murmur, varint};
use storage::{Generation, StoreConfig};

/// Statements over [`SCHEMA`], a space between any two tokens.
const STATEMENTS: &str = include_str!("statements.txt");
const SCHEMA: [&str; 5] = [
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TYPE ks.ud (a int, b text)",
    "CREATE TABLE ks.f (k int, c1 int, c2 text, s int static, v_int int, v_bigint bigint, v_text text, v_double double,
     v_float float, v_decimal decimal, v_varint varint, v_uuid uuid, v_timeuuid timeuuid, v_timestamp timestamp, v_date date,
     v_time time, v_duration duration, v_inet inet, v_blob blob, v_bool boolean, l list<int>, st set<int>, m map<text, int>,
     u ud, tu tuple<int, text, double>, vec vector<float, 3>, PRIMARY KEY (k, c1, c2))",
    "CREATE TABLE ks.g (k int PRIMARY KEY, l list<int>)",
    "CREATE TABLE ks.counts (k int, c int, n counter, o counter, PRIMARY KEY (k, c))",
];
/// Statements sent to one node before the next seed gets a fresh one.
const STATEMENTS_A_NODE: u64 = 60;
const LITERALS: [&str; 28] = [
    "null",
    "?",
    ":name",
    "0",
    "-1",
    "2147483648",
    "9223372036854775808",
    "1e400",
    "NaN",
    "-Infinity",
    "''",
    "'it''s'",
    "0x",
    "0xabc",
    "true",
    "1h30m",
    "P1Y2M",
    "[]",
    "{}",
    "{1: 2}",
    "(1, 2)",
    "[null]",
    "{null}",
    "uuid()",
    "now()",
    "(int) 1",
    "$$x$$",
    "token(1)",
];

/// A node answers every statement with every kind of values, whatever a client makes up, and goes on.
pub fn answered(rng: &mut Rng) -> Result<(), String> {
    let generation = Generation {
        number: 0,
        previous: None,
    };
    let mut machine = Machine::new(rng.fork(), StoreConfig::new(0, 1, generation));
    machine.start(2);
    while !machine.is_ready()? {
        machine.turn();
    }
    machine.connect()?;
    for text in SCHEMA {
        if let Answer::Error(_, message) = machine.ask(0, text)? {
            return Err(format!("{text}: {message}"));
        }
    }
    let corpus: Vec<Vec<&str>> = STATEMENTS
        .lines()
        .map(|line| line.split(' ').collect())
        .collect();
    for _ in 0..STATEMENTS_A_NODE {
        let text = mutated_tokens(&corpus, rng);
        let shard = rng.below(2) as u16;
        let answer = if rng.chance(40) {
            prepared(&mut machine, shard, &text, rng)
        } else {
            let mut body = Vec::new();
            body.put_bytes(Some(text.as_bytes()));
            put_parameters(&mut body, &text, rng);
            machine.request(shard, Opcode::Query, &body)
        };
        answer.map_err(|what| format!("{what}: {text}"))?;
    }
    Ok(())
}

/// A statement with some of its tokens changed: mostly for others of their kind, so that it still means something.
fn mutated_tokens(corpus: &[Vec<&str>], rng: &mut Rng) -> String {
    let mut tokens = rng.pick(corpus).clone();
    for _ in 0..rng.index(4) {
        let at = rng.index(tokens.len());
        let alike = |token: &&str| kind(token) == kind(tokens[at]);
        match rng.below(16) {
            0 => drop(tokens.remove(at)),
            1 => tokens.insert(at, tokens[at]),
            2 => {
                let other = rng.pick(corpus);
                let from = rng.index(other.len());
                let to = (from + rng.index(6)).min(other.len());
                tokens.splice(at..at, other[from..to].iter().copied());
            }
            _ if kind(tokens[at]) == Kind::Literal => tokens[at] = *rng.pick(&LITERALS),
            3..14 if kind(tokens[at]) != Kind::Name => {}
            _ => {
                let others = rng.pick(corpus).iter().copied().filter(alike);
                let others: Vec<&str> = others.collect();
                if !others.is_empty() {
                    tokens[at] = *rng.pick(&others);
                }
            }
        }
        if tokens.is_empty() {
            tokens.push("SELECT");
        }
    }
    tokens.join(" ")
}

/// What a token of [`STATEMENTS`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Keyword,
    Name,
    Literal,
    Sign,
}

fn kind(token: &str) -> Kind {
    match token.chars().next() {
        Some('0'..='9' | '\'' | '?') => Kind::Literal,
        Some('A'..='Z') => Kind::Keyword,
        Some('a'..='z') => Kind::Name,
        _ => Kind::Sign,
    }
}

fn prepared(
    machine: &mut Machine,
    shard: u16,
    text: &str,
    rng: &mut Rng,
) -> Result<Answer, String> {
    let mut body = Vec::new();
    body.put_bytes(Some(text.as_bytes()));
    let answer = machine.request(shard, Opcode::Prepare, &body)?;
    let Answer::Prepared(id) = &answer else {
        return Ok(answer);
    };
    let mut last = answer.clone();
    for _ in 0..=rng.index(3) {
        let mut body = Vec::new();
        body.put_short(id.len() as u16);
        body.extend_from_slice(id);
        put_parameters(&mut body, text, rng);
        last = machine.request(shard, Opcode::Execute, &body)?;
    }
    Ok(last)
}

/// Consistency, flags and values of protocol version 4 (specification, section 4.1.4).
fn put_parameters(body: &mut Vec<u8>, text: &str, rng: &mut Rng) {
    const VALUES: u8 = 0x01;
    const SKIP_METADATA: u8 = 0x02;
    const PAGE_SIZE: u8 = 0x04;
    const WITH_PAGING_STATE: u8 = 0x08;
    let count = if rng.chance(90) {
        text.matches('?').count()
    } else {
        rng.index(6)
    };
    let paged = rng.chance(30);
    let resumed = rng.chance(15);
    body.put_short(*rng.pick(&[1, 1, 1, 1, 4, 6, 8]));
    let paging = u8::from(paged) * PAGE_SIZE | u8::from(resumed) * WITH_PAGING_STATE;
    body.put_byte(SKIP_METADATA | u8::from(count > 0) * VALUES | paging);
    if count > 0 {
        body.put_short(count as u16);
        for _ in 0..count {
            match rng.below(10) {
                0 => body.put_int(-1),
                1 => body.put_int(-2),
                2 | 3 => {
                    let length = rng.index(24);
                    let bytes = rng.bytes(length);
                    body.put_bytes(Some(&bytes));
                }
                4 => body.put_bytes(Some(b"")),
                5 => body.put_bytes(Some(&rng.next_u64().to_be_bytes())),
                _ => body.put_bytes(Some(&(rng.below(5) as i32).to_be_bytes())),
            }
        }
    }
    if paged {
        body.put_int(1 + rng.below(5) as i32);
    }
    if resumed {
        body.put_bytes(Some(&paging_state(rng)));
    }
}

/// A paging state no node gave: of its form and with the right check, so that it is believed, but naming any row; or any bytes.
fn paging_state(rng: &mut Rng) -> Vec<u8> {
    const VERSION: u8 = 1;
    let some = |rng: &mut Rng| {
        let length = rng.index(20);
        rng.bytes(length)
    };
    let mut body = Vec::new();
    let key = if rng.chance(70) {
        (rng.below(5) as i32).to_be_bytes().to_vec()
    } else {
        some(rng)
    };
    varint::put_bytes(&mut body, &key);
    let clustering = rng.chance(70);
    body.push(u8::from(clustering));
    if clustering {
        varint::put_bytes(&mut body, &some(rng));
    }
    varint::put(&mut body, rng.next_u64() >> rng.below(64));
    varint::put(&mut body, rng.next_u64() >> rng.below(64));
    if rng.chance(20) {
        body.truncate(rng.index(body.len()));
    }
    let mut out = vec![VERSION];
    out.extend_from_slice(&(murmur::hash(&body) as u32).to_be_bytes());
    out.extend_from_slice(&body);
    if rng.chance(10) { some(rng) } else { out }
}
