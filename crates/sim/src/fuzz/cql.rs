//! Fuzzers of what clients send: frames, statements, bound values.

use crate::node::machine::{Answer, Machine};
use crate::random::Rng;
use bytes::BytesMut;
use cql::frame::compression::Compression;
use cql::frame::put::Put;
use cql::frame::{Decoder, Opcode, ProtocolVersion};
use model::env::Random;
use storage::{Generation, StoreConfig};

/// Statements the parser accepts, one a line.
const ACCEPTED: &str = include_str!("../../../cql/src/parse/corpus/accepted.cql");
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
const SPICES: [&str; 24] = [
    "(", ")", "[", "]", "{", "}", "<", ">", "'", "\"", "$$", "--", "/*", "*/", ":", "?", "..", "-",
    "0x", "P1Y", "\u{0}", "é", "😀", ";",
];
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

/// The incoming side of a connection takes any bytes, in every framing, and any that it makes a frame of can be read.
pub fn frames(rng: &mut Rng) -> Result<(), String> {
    let version = *rng.pick(&[
        ProtocolVersion::V3,
        ProtocolVersion::V4,
        ProtocolVersion::V5,
    ]);
    let mut decoder = Decoder::new(1 << 16);
    if rng.chance(60) {
        let compression = *rng.pick(&[None, Some(Compression::Lz4), Some(Compression::Snappy)]);
        let compression =
            compression.filter(|kind| *kind == Compression::Lz4 || !version.has_segments());
        decoder.start(version, compression);
    }
    let mut input = BytesMut::new();
    for _ in 0..=rng.index(6) {
        let length = rng.index(80);
        let mut body = rng.bytes(length);
        // Small numbers are what lengths and counts look like.
        for _ in 0..rng.index(20) {
            if !body.is_empty() {
                let at = rng.index(body.len());
                body[at] = rng.below(4) as u8;
            }
        }
        if rng.chance(90) {
            input.extend_from_slice(&[version as u8, rng.below(32) as u8, 0, 1]);
            input.extend_from_slice(&[rng.below(17) as u8]);
            let said = if rng.chance(90) {
                length as u32
            } else {
                rng.next_u64() as u32
            };
            input.extend_from_slice(&said.to_be_bytes());
        }
        input.extend_from_slice(&body);
    }
    while let Ok(Some(frame)) = decoder.next(&mut input) {
        // What is wrong with a body is an error, never a panic.
        let _ = frame.message();
    }
    Ok(())
}

/// The parser takes statements cut, spliced and sprinkled with odd characters.
pub fn parser(rng: &mut Rng) -> Result<(), String> {
    let corpus: Vec<&str> = ACCEPTED.lines().collect();
    let (text, other): (&str, &str) = (*rng.pick(&corpus), *rng.pick(&corpus));
    let text = mutated_text(text, other, rng);
    match cql::parse::parse(&text) {
        // Printing walks the whole tree.
        Ok(parsed) => drop(format!("{:?}", parsed.statement)),
        Err(error) if error.message.is_empty() => return Err(format!("no message for {text}")),
        Err(_) => {}
    }
    Ok(())
}

fn mutated_text(text: &str, other: &str, rng: &mut Rng) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=rng.index(4) {
        let at = rng.index(characters.len() + 1);
        let end = (at + rng.index(12)).min(characters.len());
        match rng.below(5) {
            0 => drop(characters.drain(at..end)),
            1 => drop(characters.splice(at..at, rng.pick(&SPICES).chars())),
            2 => {
                let tail = other.chars().skip(rng.index(other.len() + 1));
                characters.truncate(at);
                characters.extend(tail);
            }
            3 => {
                let copy: Vec<char> = characters[at..end].to_vec();
                characters.splice(at..at, copy);
            }
            _ => characters.truncate(at),
        }
    }
    characters.into_iter().collect()
}

/// A node answers every statement with every kind of values, whatever a client makes up, and goes on.
pub fn requests(rng: &mut Rng) -> Result<(), String> {
    let generation = Generation {
        number: 0,
        previous: None,
    };
    let mut machine = Machine::new(rng.fork(), StoreConfig::new(0, 1, generation));
    machine.start(2);
    while !machine.is_ready()? {
        machine.turn();
    }
    machine.connect();
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
    let count = if rng.chance(90) {
        text.matches('?').count()
    } else {
        rng.index(6)
    };
    let paged = rng.chance(30);
    body.put_short(*rng.pick(&[1, 1, 1, 1, 4, 6, 8]));
    body.put_byte(SKIP_METADATA | u8::from(count > 0) * VALUES | u8::from(paged) * PAGE_SIZE);
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
}
