//! Fuzzers of text: statements and JSON.

use crate::random::Rng;
use cql::{json, parse};
use model::types::{CqlType, Frozen};
use std::sync::Arc;

/// Statements of every family, to be cut up.
const STATEMENTS: [&str; 14] = [
    "SELECT a, b[0], c.d, writetime(e), CAST(f AS text) FROM k.t WHERE a = 1 AND (b, c) IN ((?, :x), (2, 'y')) ORDER BY b DESC LIMIT 3 ALLOW FILTERING",
    "SELECT JSON DISTINCT a, count(*) FROM t WHERE token(a) > -5 GROUP BY a PER PARTITION LIMIT 2",
    "INSERT INTO k.t (a, b) VALUES ({1: 'x'}, [1.5e3, 0xCAFE]) IF NOT EXISTS USING TTL 5 AND TIMESTAMP ?",
    "INSERT INTO t JSON '{\"a\": 1}' DEFAULT UNSET",
    "UPDATE t USING TTL 10 SET a = a + {1}, b['x'] = 3, c.d = null, e -= 1 WHERE k = 1 IF f = 2 AND g[1] IN (1, 2)",
    "DELETE a[1], b FROM t USING TIMESTAMP 9 WHERE k IN (1, 2) AND c >= 'x' IF EXISTS",
    "BEGIN UNLOGGED BATCH USING TIMESTAMP 1 INSERT INTO t (a) VALUES (1); DELETE FROM t WHERE a = 2; APPLY BATCH",
    "CREATE TABLE IF NOT EXISTS k.t (a int, b frozen<map<text, list<int>>>, c tuple<int, text> static, d vector<float, 3>, PRIMARY KEY ((a, b), c)) WITH CLUSTERING ORDER BY (c DESC) AND comment = 'x' AND compaction = {'class': 'y'}",
    "ALTER TABLE t ADD a int, b text; ",
    "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1} AND durable_writes = false",
    "CREATE OR REPLACE FUNCTION k.f (a int) RETURNS NULL ON NULL INPUT RETURNS text LANGUAGE java AS $$ return \"x\"; $$",
    "GRANT SELECT ON ALL TABLES IN KEYSPACE k TO \"Role\"",
    "CREATE ROLE r WITH PASSWORD = 'p' AND LOGIN = true AND OPTIONS = {'a': 1}",
    "DESCRIBE TABLE k.t",
];

const SPICES: [&str; 20] = [
    "(", ")", "[", "{", "}", "<", ">", "'", "\"", "$$", "/*", "--", ":", "?", "-", "0x", "é",
    "\u{0}", ",", ";",
];

const DOCUMENT: &str =
    r#"{"a": [1, -2.5e-3, "x\u00e9\n", null, true], "b": {"c": {"d": []}}, "": "\\"}"#;

/// Cuts, doubles and sprinkles.
fn mutated(text: &str, rng: &mut Rng) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..rng.index(5) {
        let at = rng.index(characters.len() + 1);
        let end = (at + rng.index(12)).min(characters.len());
        match rng.below(4) {
            0 => drop(characters.drain(at..end)),
            1 => {
                let part: Vec<char> = characters[at..end].to_vec();
                let count = 1 + rng.index(40);
                let many = part.iter().copied().cycle().take(part.len() * count);
                characters.splice(at..at, many.collect::<Vec<_>>());
            }
            2 => {
                let spice = rng.pick(&SPICES).repeat(1 + rng.index(300));
                characters.splice(at..at, spice.chars());
            }
            _ => characters.truncate(at),
        }
    }
    characters.into_iter().collect()
}

/// No statement panics the parser, however it came about.
pub fn statements(rng: &mut Rng) -> Result<(), String> {
    let (one, other) = (*rng.pick(&STATEMENTS), *rng.pick(&STATEMENTS));
    let text = match rng.below(4) {
        0 => mutated(&format!("{one}; {other}"), rng),
        1 => {
            let cut = one.floor_char_boundary(rng.index(one.len()));
            mutated(&format!("{}{other}", &one[..cut]), rng)
        }
        _ => mutated(one, rng),
    };
    // Refused or not: it comes back.
    let _ = parse::parse(&text);
    Ok(())
}

/// JSON that is read as a type is printed so that it reads back as the same value.
pub fn json_values(rng: &mut Rng) -> Result<(), String> {
    let text = mutated(DOCUMENT, rng);
    if let Ok(tree) = json::parse(&text) {
        for ctype in [
            CqlType::Text,
            CqlType::Double,
            CqlType::Boolean,
            CqlType::Bigint,
        ] {
            let has_booleans = ctype == CqlType::Boolean;
            let types = [ctype.clone(), CqlType::List(Arc::new(ctype), Frozen::No)];
            for ctype in types {
                let Ok(Some(wire)) = json::decode(&ctype, &tree) else {
                    continue;
                };
                let mut printed = String::new();
                json::print(&ctype, Some(&wire), &mut printed);
                // A boolean without bytes is printed as null, as in Cassandra.
                if has_booleans && printed.contains("null") {
                    continue;
                }
                let again = json::parse(&printed).and_then(|tree| json::decode(&ctype, &tree));
                if again.as_ref() != Ok(&Some(wire)) {
                    return Err(format!("{text} as {ctype:?} prints as {printed}"));
                }
            }
        }
    }
    Ok(())
}
