//! `--memory` bounds the process: clients that ask for large answers and do not read them cost others nothing.

use crate::checks::{Check, ensure};
use crate::process::{Helenus, Start};
use crate::wire::connection::Connection;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// What the server is told.
const MEMORY: &str = "256MiB";
/// What it may take: allocators keep some of what is given back.
const LIMIT_KIB: u64 = 320 << 10;
const PARTITIONS: u32 = 8;
const ROWS: u32 = 8;
const ROW_BYTES: usize = 250_000;
const CLIENTS: u32 = 40;
const REQUESTS: u16 = 100;

/// Floods a server with reads nobody takes the answers of; it must stay within its memory and answer others.
pub fn flood_check(start: &Start) -> Check {
    let start = Start {
        settings: vec![format!("helenus_memory={MEMORY}")],
        ..start.clone()
    };
    Check::run("clients that do not read their answers", || flood(&start))
}

fn flood(start: &Start) -> Result<(), String> {
    let helenus = Helenus::start(start).map_err(|error| error.to_string())?;
    fill(helenus.address)?;
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| ask_and_forget(helenus.address))
        .collect::<Result<_, _>>()?;
    let mut most = 0;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(200));
        most = most.max(resident_kib(helenus.id())?);
        let mut other =
            Connection::open(helenus.address, 4, None).map_err(|error| error.to_string())?;
        other
            .query("SELECT release_version FROM system.local")
            .map_err(|error| format!("another client is not served: {error}"))?;
    }
    drop(clients);
    ensure(most <= LIMIT_KIB, || {
        format!(
            "{} MiB are resident, with --memory {MEMORY}\n{}",
            most >> 10,
            helenus.log_tail()
        )
    })?;
    helenus.stop().map_err(|error| error.to_string())
}

fn fill(address: SocketAddr) -> Result<(), String> {
    let text = |error: crate::wire::WireError| error.to_string();
    let mut connection = Connection::open(address, 4, None).map_err(text)?;
    let mut run = |statement: &str| connection.query(statement).map(drop).map_err(text);
    run(
        "CREATE KEYSPACE large WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    )?;
    run("CREATE TABLE large.rows (k int, c int, v text, PRIMARY KEY (k, c))")?;
    let value = "x".repeat(ROW_BYTES);
    for key in 0..PARTITIONS {
        for row in 0..ROWS {
            run(&format!(
                "INSERT INTO large.rows (k, c, v) VALUES ({key}, {row}, '{value}')"
            ))?;
        }
    }
    Ok(())
}

/// Sends many requests over a connection that is then left alone.
fn ask_and_forget(address: SocketAddr) -> Result<TcpStream, String> {
    const STARTUP: u8 = 1;
    const QUERY: u8 = 7;
    let mut bytes = Vec::new();
    let mut put = |stream: u16, opcode: u8, body: &[u8]| {
        bytes.extend([4, 0]);
        bytes.extend(stream.to_be_bytes());
        bytes.push(opcode);
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
    };
    let mut startup = 1u16.to_be_bytes().to_vec();
    crate::wire::bytes::put_string(&mut startup, "CQL_VERSION");
    crate::wire::bytes::put_string(&mut startup, "3.0.0");
    put(0, STARTUP, &startup);
    for request in 1..=REQUESTS {
        let key = u32::from(request) % PARTITIONS;
        let mut query = Vec::new();
        crate::wire::bytes::put_long_string(
            &mut query,
            &format!("SELECT * FROM large.rows WHERE k = {key}"),
        );
        query.extend([0, 1, 0]);
        put(request, QUERY, &query);
    }
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream
        .write_all(&bytes)
        .map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Resident memory of a process, as the kernel counts it.
fn resident_kib(process: u32) -> Result<u64, String> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .ok_or_else(|| format!("{path} has no VmRSS"))
}
