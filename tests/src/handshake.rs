//! The opening of a connection, byte by byte: how a server turns down the versions that drivers try first, and what it
//! does with bytes that follow no protocol. The expectations are what Apache Cassandra 5.0.6 was seen to do.

use crate::checks::{Check, ensure};
use crate::wire::connection::Connection;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before it counts as silence.
const SILENCE: Duration = Duration::from_millis(1500);
const PROTOCOL_ERROR: &[u8] = &[0, 0, 0, 0x0A];
const OPTIONS: u8 = 0x05;
const STARTUP: u8 = 0x01;
const QUERY: u8 = 0x07;
/// Random connections sent to a server that must survive them.
const RANDOM_CONNECTIONS: u64 = 200;

fn envelope(version: u8, flags: u8, opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![version, flags, 0, 1, opcode];
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
    out
}

fn startup(options: &[(&str, &str)]) -> Vec<u8> {
    let mut out = (options.len() as u16).to_be_bytes().to_vec();
    for (key, value) in options {
        crate::wire::bytes::put_string(&mut out, key);
        crate::wire::bytes::put_string(&mut out, value);
    }
    out
}

/// What comes back for `sent`, until silence or the end of the connection.
fn answer_to(address: SocketAddr, sent: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(Some(SILENCE))
        .map_err(|error| error.to_string())?;
    // The server may close before it has read everything; what it answered still counts.
    let _ = stream.write_all(sent);
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        answer.extend(&buffer[..count]);
        if complete(&answer) {
            break;
        }
    }
    Ok(answer)
}

/// Whether one whole envelope has come.
fn complete(answer: &[u8]) -> bool {
    let header = if answer.first().is_some_and(|version| version & 0x7f <= 2) {
        8
    } else {
        9
    };
    answer.len() >= header && {
        let length = &answer[header - 4..header];
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        answer.len() >= header + length as usize
    }
}

/// All checks of a server that lets anybody in.
pub fn checks(address: SocketAddr) -> Vec<Check> {
    let cql = startup(&[("CQL_VERSION", "3.0.0")]);
    let mut checks = Vec::new();
    // Drivers start with their newest version and step down on this error, which must come in a version they know.
    for (version, answered) in [(66, 5), (65, 5), (7, 5), (0, 5), (6, 6), (2, 2), (1, 1)] {
        for (opcode, body) in [(OPTIONS, &[][..]), (STARTUP, &cql)] {
            let name =
                format!("version {version}, opcode {opcode} is turned down in version {answered}");
            checks.push(Check::run(&name, || {
                turned_down(address, version, opcode, body, answered)
            }));
        }
    }
    for version in [3, 4, 5] {
        checks.push(opcode_check(
            address,
            &format!("version {version} is supported"),
            version,
            OPTIONS,
            &[],
            0x06,
        ));
        checks.push(opcode_check(
            address,
            &format!("version {version} starts"),
            version,
            STARTUP,
            &cql,
            0x02,
        ));
    }
    let unknown = startup(&[("CQL_VERSION", "3.0.0"), ("COMPRESSION", "zzzz")]);
    let snappy = startup(&[("CQL_VERSION", "3.0.0"), ("COMPRESSION", "snappy")]);
    let errors: [(&str, u8, u8, &[u8]); 5] = [
        (
            "a query before STARTUP is an error",
            4,
            QUERY,
            &[0, 0, 0, 0],
        ),
        ("an unknown opcode is an error", 4, 0x77, &[]),
        ("STARTUP without a version is an error", 4, STARTUP, &[0, 0]),
        ("an unknown compression is an error", 4, STARTUP, &unknown),
        ("snappy is refused in version 5", 5, STARTUP, &snappy),
    ];
    for (name, version, opcode, body) in errors {
        checks.push(opcode_check(address, name, version, opcode, body, 0x00));
    }
    checks.push(Check::run("what is no protocol harms nobody else", || {
        survives(address, &cql)
    }));
    checks
}

/// Whether the answer is a ProtocolError in the version `answered`, whose header is a byte shorter up to version 2.
fn turned_down(
    address: SocketAddr,
    version: u8,
    opcode: u8,
    body: &[u8],
    answered: u8,
) -> Result<(), String> {
    let answer = answer_to(address, &envelope(version, 0, opcode, body))?;
    let header = if answered <= 2 { 8 } else { 9 };
    let fits = answer.first() == Some(&(0x80 | answered))
        && answer.get(header..header + 4) == Some(PROTOCOL_ERROR);
    ensure(fits, || {
        format!("answered {}", crate::wire::render::blob(&answer))
    })
}

fn opcode_check(
    address: SocketAddr,
    name: &str,
    version: u8,
    opcode: u8,
    body: &[u8],
    expected: u8,
) -> Check {
    Check::run(name, || {
        let answer = answer_to(address, &envelope(version, 0, opcode, body))?;
        ensure(answer.get(4) == Some(&expected), || {
            format!("answered {}", crate::wire::render::blob(&answer))
        })
    })
}

/// Sends bytes that follow no protocol on connections of their own, and asks on another whether the server still answers.
fn survives(address: SocketAddr, cql: &[u8]) -> Result<(), String> {
    let mut witness = Connection::open(address, 4, None).map_err(|error| error.to_string())?;
    let mut bad = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        envelope(4, 0, STARTUP, cql)[..5].to_vec(),
        [4, 0, 0, 1, STARTUP, 0x7f, 0xff, 0xff, 0xff].to_vec(),
        [4, 0, 0, 1, STARTUP, 0xff, 0xff, 0xff, 0xff].to_vec(),
        [envelope(5, 0, STARTUP, cql), vec![0xab; 64]].concat(),
        [
            envelope(4, 0, STARTUP, cql),
            envelope(4, 1, QUERY, &[0xff; 32]),
        ]
        .concat(),
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..RANDOM_CONNECTIONS {
        let mut noise = Vec::new();
        for _ in 0..16 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend(state.to_be_bytes());
        }
        // Half of them begin like a request, so that the noise reaches the bodies.
        if state & 1 == 0 {
            let opcode = (state >> 8) as u8 % 16;
            noise = [
                envelope(4, 0, STARTUP, cql),
                envelope(4, (state >> 16) as u8 & 0x0f, opcode, &noise),
            ]
            .concat();
        }
        bad.push(noise);
    }
    for bytes in &bad {
        let mut stream = TcpStream::connect(address)
            .map_err(|error| format!("no connection after bad bytes: {error}"))?;
        let _ = stream.write_all(bytes);
    }
    let response = witness
        .query("SELECT key FROM system.local")
        .map_err(|error| error.to_string());
    response.map(|_| ())
}
