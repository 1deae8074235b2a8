//! Refusals that cost a client one answer and nothing else: an EXECUTE of a statement the server does not know, and more
//! requests in flight than a shard takes. The connection they come on is as good as before.

use crate::checks::{Check, ensure};
use crate::process::{Helenus, Start};
use crate::wire::connection::Connection;
use crate::wire::render::blob;
use crate::wire::request::{Parameters, Request};
use crate::wire::response::{Answer, ServerError};
use std::net::SocketAddr;

const OVERLOADED: i32 = 0x1001;
const UNPREPARED: i32 = 0x2500;
const PROBE: &str = "SELECT release_version FROM system.local";
/// An id as long as those that servers give (MD5), which no statement has.
const UNKNOWN_ID: [u8; 16] = *b"no such id here!";
/// Conditional updates sent at once: more than a shard takes (16,384), fewer than there are streams.
const SENT: u16 = 20_000;
const STREAMS: u16 = 1 << 15;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn usable(connection: &mut Connection) -> Result<(), String> {
    let answer = connection.query(PROBE).map_err(text)?.answer;
    ensure(
        matches!(&answer, Answer::Rows(rows) if rows.rows.len() == 1),
        || format!("the connection answers {answer:?} afterwards"),
    )
}

/// EXECUTE of an unknown id, in every version of the protocol.
pub fn unprepared_checks(address: SocketAddr) -> Vec<Check> {
    let check = |version: u8| {
        let mut connection = Connection::open(address, version, None).map_err(text)?;
        let id = UNKNOWN_ID.to_vec();
        let execute = Request::Execute(id.clone(), Some(id), Parameters::default());
        let fields = [format!("id={}", blob(&UNKNOWN_ID))];
        match connection.request(&execute).map_err(text)?.answer {
            Answer::Error(error) if error.code == UNPREPARED && error.fields == fields => {}
            other => return Err(format!("answered {other:?}")),
        }
        usable(&mut connection)
    };
    [3, 4, 5]
        .map(|version| {
            let name = format!("an unknown statement id is Unprepared in version {version}");
            Check::run(&name, || check(version))
        })
        .into()
}

/// Sends one shard more requests than it takes. They are conditional updates of one partition, which wait for each other
/// and each for the disk, so that they come faster than they are done.
pub fn overload_check(start: &Start) -> Check {
    let settings = [
        "helenus_shards=1".to_owned(),
        format!("helenus_max_requests_in_flight_per_connection={STREAMS}"),
        "cas_contention_timeout=60s".to_owned(),
        "write_request_timeout=60s".to_owned(),
    ];
    let start = Start {
        settings: settings.into(),
        ..start.clone()
    };
    Check::run(
        "too many requests in flight on a shard are Overloaded",
        || {
            let helenus = Helenus::start(&start).map_err(text)?;
            let mut connection = Connection::open(helenus.address, 4, None).map_err(text)?;
            for statement in [
                "CREATE KEYSPACE busy WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
                "CREATE TABLE busy.t (k int PRIMARY KEY, v int)",
                "INSERT INTO busy.t (k, v) VALUES (1, 1)",
            ] {
                connection.query(statement).map_err(text)?;
            }
            let update = "UPDATE busy.t SET v = 1 WHERE k = 1 IF EXISTS".to_owned();
            let update = Request::Query(update, Parameters::default());
            for _ in 0..SENT {
                connection.send(&update).map_err(text)?;
            }
            overloaded_then_served(&mut connection)?;
            helenus.kill();
            Ok(())
        },
    )
}

/// Reads answers until one is Overloaded, and then asks on the same connection until that is answered: as soon as updates
/// are done there is room.
fn overloaded_then_served(connection: &mut Connection) -> Result<(), String> {
    let mut refused = None;
    for _ in 0..SENT {
        match connection.receive().map_err(text)?.1.answer {
            Answer::Error(ServerError {
                code: OVERLOADED,
                message,
                ..
            }) => {
                refused = Some(message);
                break;
            }
            Answer::Rows(_) => {}
            other => return Err(format!("an update is answered {other:?}")),
        }
    }
    let refused = refused.ok_or(format!("{SENT} updates at once, and none is refused"))?;
    ensure(refused.contains("in flight on this shard"), || {
        format!("another limit was met first: {refused}")
    })?;
    let probe = Request::Query(PROBE.to_owned(), Parameters::default());
    let mut asked = connection.send(&probe).map_err(text)?;
    for _ in 0..2 * u32::from(SENT) {
        let (stream, response) = connection.receive().map_err(text)?;
        match response.answer {
            Answer::Rows(_) if stream == asked => return Ok(()),
            Answer::Error(error) if error.code == OVERLOADED => {
                if stream == asked {
                    asked = connection.send(&probe).map_err(text)?;
                }
            }
            Answer::Rows(_) => {}
            other => return Err(format!("stream {stream} is answered {other:?}")),
        }
    }
    Err("the connection is not served again".into())
}
