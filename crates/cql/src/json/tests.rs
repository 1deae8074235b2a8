//! JSON against what Cassandra 5.0.6 read and printed.
//!
//! `corpus.tsv`: the text of an INSERT JSON, a column, and the bytes the column then had or `!` and the first line of the
//! error. `printed.tsv`: a column, its bytes, and what `to_json` gave. A text of one's own parser's words stands for
//! Jackson's where a text is no JSON at all.

use super::*;
use crate::functions::CallSite;
use crate::plan::literal::hex;
use model::types::{CqlType, Frozen, UserType};
use std::sync::Arc;

fn columns() -> Vec<(&'static str, CqlType)> {
    use CqlType::*;
    let list = |item: CqlType| List(Arc::new(item), Frozen::Yes);
    let map = |key: CqlType, item: CqlType| Map(Arc::new(key), Arc::new(item), Frozen::No);
    let user = UserType {
        keyspace: "pw".into(),
        name: "u".into(),
        fields: vec![("a".into(), Int), ("b".into(), Text)],
    };
    let user = Udt(Arc::new(user), Frozen::Yes);
    vec![
        ("pk", Int),
        ("ti", Tinyint),
        ("si", Smallint),
        ("i", Int),
        ("bi", Bigint),
        ("vi", Varint),
        ("f", Float),
        ("d", Double),
        ("de", Decimal),
        ("tx", Text),
        ("ac", Ascii),
        ("bo", Boolean),
        ("bl", Blob),
        ("u", Uuid),
        ("tu", Timeuuid),
        ("ts", Timestamp),
        ("dt", Date),
        ("tm", Time),
        ("du", Duration),
        ("ip", Inet),
        ("li", list(Int)),
        ("st", Set(Arc::new(Text), Frozen::No)),
        ("mp", map(Int, Text)),
        ("mt", map(Text, Int)),
        ("mu", map(Uuid, list(Int))),
        ("mts", map(Timestamp, Boolean)),
        ("fl", list(Int)),
        ("ve", Vector(Arc::new(Float), 3)),
        ("tp", Tuple([Int, Text].into())),
        ("ud", user.clone()),
        ("Up", Int),
        ("lt", list(Tuple([Int, Double].into()))),
        ("mf", map(list(Int), Text)),
        ("mb", map(Boolean, Blob)),
        ("mfu", map(user, Int)),
    ]
}

fn cells(text: &str) -> Result<Vec<Cell>, String> {
    let columns = columns();
    let columns: Vec<(&str, &CqlType)> =
        columns.iter().map(|(name, ctype)| (*name, ctype)).collect();
    parse_row(text, &columns).map_err(|error| error.to_string())
}

fn cell(text: &str, column: &str) -> Result<Cell, String> {
    let index = columns()
        .iter()
        .position(|(name, _)| *name == column)
        .expect("a column");
    cells(text).map(|mut cells| cells.swap_remove(index))
}

/// An empty non-frozen collection is stored as nothing.
fn stored(column: &str, cell: Cell) -> Cell {
    match cell {
        Cell::Value(bytes) if bytes == [0; 4] && ["li", "st", "mp"].contains(&column) => Cell::Null,
        other => other,
    }
}

#[test]
fn reads_what_cassandra_reads() {
    let failures: Vec<String> = include_str!("corpus.tsv")
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [text, column, expected] = fields.as_slice() else {
                panic!("{line}")
            };
            let found = cell(text, column).map(|cell| stored(column, cell));
            let same = match (&found, expected.strip_prefix('!')) {
                // Where the text is no JSON, and for one Java class name, the words are ours.
                (Err(found), Some(message)) => {
                    let cut = |message: &str| {
                        message
                            .split(": com.faster")
                            .next()
                            .unwrap_or_default()
                            .to_owned()
                    };
                    found == message
                        || found.starts_with(&cut(message)) && message.contains("com.faster")
                        || message.contains("Unrecognized token")
                            && found.contains("Unrecognized token")
                        || message.contains("class java.lang.Integer")
                        || message.starts_with("Unable to convert")
                }
                (Ok(Cell::Value(bytes)), None) => {
                    Some(bytes) == hex(expected.trim_start_matches("0x")).as_ref()
                }
                (Ok(_), None) => *expected == "null",
                _ => false,
            };
            (!same).then(|| format!("{line}\n    {found:02x?}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn prints_what_cassandra_prints() {
    let columns = columns();
    for line in include_str!("printed.tsv").lines() {
        let fields: Vec<&str> = line.splitn(3, '\t').collect();
        let [column, bytes, expected] = fields.as_slice() else {
            panic!("{line}")
        };
        let (_, ctype) = columns
            .iter()
            .find(|(name, _)| name == column)
            .expect("a column");
        let mut out = String::new();
        print(ctype, hex(&bytes[2..]).as_deref(), &mut out);
        assert_eq!(out, *expected, "{column}");
    }
}

#[test]
fn what_is_printed_reads_back() {
    let columns = columns();
    for line in include_str!("printed.tsv")
        .lines()
        .filter(|line| !line.ends_with("null") && !line.contains("-0001"))
    {
        let fields: Vec<&str> = line.splitn(3, '\t').collect();
        // Years before the first are printed without a sign, and decimals are read as doubles.
        if fields[2].contains("0002-12-31") || fields[0] == "de" {
            continue;
        }
        let Ok(Cell::Value(bytes)) =
            cell(&format!("{{\"{}\": {}}}", fields[0], fields[2]), fields[0])
        else {
            panic!("{line}");
        };
        let (_, ctype) = columns
            .iter()
            .find(|(name, _)| *name == fields[0])
            .expect("a column");
        let mut out = String::new();
        print(ctype, Some(&bytes), &mut out);
        assert_eq!(out, fields[2]);
    }
}

#[test]
fn keys_name_columns_as_cql_does() {
    assert_eq!(
        cell(r#"{"PK": 1}"#, "pk"),
        Ok(Cell::Value(vec![0, 0, 0, 1]))
    );
    assert_eq!(
        cell(r#"{"\"Up\"": 1}"#, "Up"),
        Ok(Cell::Value(vec![0, 0, 0, 1]))
    );
    assert_eq!(cell("{}", "pk"), Ok(Cell::Missing));
    assert_eq!(
        cells(r#"{"Up": 1}"#),
        Err("JSON values map contains unrecognized column: up".into())
    );
    assert_eq!(cells("null"), Err("Got null for INSERT JSON values".into()));
    let one = [0, 0, 0, 1];
    let row = [
        ("pk", &CqlType::Int, Some(&one[..])),
        ("A b", &CqlType::Text, None),
    ];
    assert_eq!(print_row(row.into_iter()), r#"{"pk": 1, "\"A b\"": null}"#);
}

#[test]
fn no_text_panics_or_nests_too_deeply() {
    let deep = format!("{{\"li\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(cells(&deep).is_err());
    let corpus: Vec<&str> = include_str!("corpus.tsv")
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    let entropy = CallContext::new(0, 5);
    let pick = |bound: usize| (entropy.draw(CallSite::ANEW).0 as u64 % bound as u64) as usize;
    for _ in 0..20_000 {
        let mut text: Vec<char> = corpus[pick(corpus.len())].chars().collect();
        for _ in 0..=pick(3) {
            let at = pick(text.len() + 1);
            match pick(3) {
                0 => text.truncate(at),
                1 => text.insert(
                    at,
                    [
                        '"', '\\', '[', ']', '{', '}', ',', ':', 'u', '9', '-', '.', 'e', 'é',
                        '\u{1}',
                    ][pick(15)],
                ),
                _ if at < text.len() => drop(text.remove(at)),
                _ => {}
            }
        }
        let _ = cells(&text.into_iter().collect::<String>());
    }
}
