//! Every command of `helenus nodetool` against a server of its own, compared with what `tests/nodetool/expected.txt` says it
//! prints. What differs from run to run (times, sizes, tokens, ids, ports, percentiles) is masked, and columns are
//! as wide as they are. With `HELENUS_RECORD=1` the file is written instead of compared.

use crate::checks::{Check, ensure};
use crate::process::{Helenus, Start};
use crate::wire::connection::Connection;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

/// What is asked before, so that there is something to show.
const SCHEMA: [&str; 5] = [
    "CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TABLE shop.orders (customer text, day int, total int, PRIMARY KEY ((customer, day)))",
    "INSERT INTO shop.orders (customer, day, total) VALUES ('ann', 1, 10)",
    "INSERT INTO shop.orders (customer, day, total) VALUES ('bob', 2, 20)",
    "SELECT * FROM shop.orders WHERE customer = 'ann' AND day = 1",
];

/// The commands, in the order in which they are given.
const COMMANDS: &str = include_str!("../nodetool/commands.txt");

/// The alerts that are shipped.
const RULES: &str = include_str!("../../deploy/prometheus/helenus.rules.yml");

/// Looks whether the server shows every metric that an alert names.
pub fn alerts_check(start: &Start) -> Check {
    Check::run("alerts name metrics there are", || {
        let helenus = Helenus::start(start).map_err(text)?;
        let page = page(helenus.admin, "/metrics").map_err(text)?;
        let shown = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let shown: Vec<&str> = shown.filter_map(|line| line.split(' ').next()).collect();
        let expressions = RULES
            .lines()
            .filter_map(|line| line.trim().strip_prefix("expr: "));
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let words = expressions.flat_map(|line| line.split(move |c| !is_part(c)));
        let metrics: Vec<&str> = words
            .filter(|word| word.starts_with("helenus_") || word.starts_with("cassandra_"))
            .map(|word| word.strip_suffix("_total").unwrap_or(word))
            .collect();
        ensure(metrics.len() > 10, || {
            "there are hardly any alerts".to_owned()
        })?;
        match metrics.iter().find(|metric| !shown.contains(*metric)) {
            None => helenus.stop().map_err(text),
            Some(metric) => Err(format!("{metric} is not shown")),
        }
    })
}

/// What a path of the admin API shows.
fn page(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// Runs all commands.
pub fn check(start: &Start) -> Check {
    Check::run("nodetool prints what it should", || {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("nodetool/expected.txt");
        let printed = run_all(start)?;
        if std::env::var_os("HELENUS_RECORD").is_some() {
            return fs::write(&recorded, printed).map_err(text);
        }
        let expected = fs::read_to_string(&recorded).map_err(text)?;
        ensure(printed == expected, || difference(&expected, &printed))
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn run_all(start: &Start) -> Result<String, String> {
    let settings = [
        "helenus_shards=2",
        "helenus_memory=512MiB",
        "cluster_name=nodetool",
    ];
    let start = Start {
        settings: settings.map(str::to_owned).to_vec(),
        ..start.clone()
    };
    let helenus = Helenus::start(&start).map_err(text)?;
    let mut connection = Connection::open(helenus.address, 4, None).map_err(text)?;
    for statement in SCHEMA {
        connection.query(statement).map_err(text)?;
    }
    drop(connection);
    let ports = [helenus.address.port(), helenus.admin.port()];
    let mut printed = String::new();
    for line in COMMANDS.lines().filter(|line| !line.is_empty()) {
        let output = Command::new(&start.binary)
            .args(["nodetool", "-p", &ports[1].to_string()])
            .args(line.split(' '))
            .output()
            .map_err(text)?;
        let _ = writeln!(printed, "$ nodetool {line}");
        for stream in [&output.stdout, &output.stderr] {
            let masked = mask(&String::from_utf8_lossy(stream), &ports);
            printed.push_str(&if counts_on(line) {
                without_numbers(&masked)
            } else {
                masked
            });
        }
        if !output.status.success() {
            let _ = writeln!(printed, "[exit {}]", output.status.code().unwrap_or(-1));
        }
        printed.push('\n');
    }
    helenus.stop().map_err(text)?;
    Ok(printed)
}

/// Whether a command shows numbers that go up by themselves.
fn counts_on(command: &str) -> bool {
    ["info", "gossipinfo", "tpstats"].contains(&command)
}

/// The text with every number that is a word or a part between colons masked.
fn without_numbers(text: &str) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        let parts = line.split_inclusive([' ', ':']);
        for part in parts {
            let bare = part.trim_end_matches([' ', ':']);
            let is_number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
            let rest = &part[bare.len()..];
            let _ = write!(
                masked,
                "{}{rest}",
                if is_number { "<number>" } else { bare }
            );
        }
        masked.push('\n');
    }
    masked
}

/// The text with what differs from run to run replaced by what it is, and one space where there are several.
fn mask(text: &str, ports: &[u16]) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        // A byte more or less of compressed data is none.
        let sized = line.contains(" used") || line.contains("Compression");
        let without = without_numbers(line);
        let line = if sized { without.as_str() } else { line };
        let stamped = without_stamp(line);
        let line = stamped.as_deref().unwrap_or(line);
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        let words = line.split_whitespace();
        let words: Vec<String> = words.map(|word| mask_word(word, ports)).collect();
        let _ = writeln!(
            masked,
            "{}{}",
            indent.replace("    ", "  "),
            words.join(" ")
        );
    }
    masked
}

/// A line that begins with a moment, `[2026-01-31 23:59:59,999]`, without it.
fn without_stamp(line: &str) -> Option<String> {
    let (moment, rest) = line.strip_prefix('[')?.split_once(']')?;
    let is_moment = moment.len() == 23 && moment.as_bytes()[19] == b',';
    is_moment.then(|| format!("[<time>]{rest}"))
}

/// A word with its numbers replaced, but for small whole ones, which count things.
fn mask_word(word: &str, ports: &[u16]) -> String {
    if word.len() == 24 && word.ends_with('Z') && word.as_bytes()[10] == b'T' {
        return "<time>".to_owned();
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    let mut masked = String::new();
    let mut rest = word;
    while !rest.is_empty() {
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(length);
        masked.push_str(&mask_part(part, ports));
        let Some(separator) = after.chars().next() else {
            break;
        };
        masked.push(separator);
        rest = &after[separator.len_utf8()..];
    }
    masked
}

fn mask_part(part: &str, ports: &[u16]) -> String {
    let dashes = part.matches('-').count();
    let is_hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    if part.len() == 36 && dashes == 4 && part.chars().all(is_hex) {
        return "<uuid>".to_owned();
    }
    if ports.iter().any(|port| part == port.to_string()) {
        return "<port>".to_owned();
    }
    let digits = part.trim_start_matches('-');
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    if is_number && digits.len() > 3 {
        return "<number>".to_owned();
    }
    let is_decimal = digits.split_once('.').is_some_and(|(whole, decimals)| {
        let all = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        all(whole) && all(decimals)
    });
    if is_decimal {
        return "<decimal>".to_owned();
    }
    part.to_owned()
}

/// The first lines that differ.
fn difference(expected: &str, printed: &str) -> String {
    let mut command = "";
    let mut lines = expected.lines().zip(printed.lines());
    let differs = lines.find(|(left, right)| {
        if left.starts_with("$ ") {
            command = left;
        }
        left != right
    });
    match differs {
        Some((left, right)) => format!("{command}\n  expected: {left}\n  printed:  {right}"),
        None => "one of them ends before the other".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_masked_and_what_counts_is_not() {
        let line = "\t\tUN  127.0.0.1:9043  75.22 KiB   16 100.0% a0b1c2d3-0000-4000-8000-0123456789ab r1 -9223372036854775808";
        assert_eq!(
            mask(line, &[9043]),
            "\t\tUN 127.0.0.1:<port> <decimal> KiB 16 <decimal>% <uuid> r1 <number>\n"
        );
    }
}
