//! What PREPARE answers beside columns: ids that are the same on every node, and the warning of keyspaces in use. The expectations
//! are what Apache Cassandra 5.0.6 was seen to do.

use crate::checks::{Check, ensure};
use crate::wire::connection::Connection;
use crate::wire::request::Request;
use crate::wire::response::{Answer, Response};
use std::net::SocketAddr;

const WARNING: &str =
    "`USE <keyspace>` with prepared statements is considered to be an anti-pattern";

/// All checks, of a server that lets anybody in.
pub fn checks(address: SocketAddr) -> Vec<Check> {
    vec![
        Check::run(
            "a statement that names its keyspaces has one id, whatever is in use",
            || qualified(address),
        ),
        Check::run(
            "a statement prepared with a keyspace in use is warned of, once",
            || warned(address),
        ),
    ]
}

fn prepare(connection: &mut Connection, text: &str) -> Result<Response, String> {
    let request = Request::Prepare(text.to_owned(), None);
    connection
        .request(&request)
        .map_err(|error| error.to_string())
}

fn id(connection: &mut Connection, text: &str) -> Result<Vec<u8>, String> {
    match prepare(connection, text)?.answer {
        Answer::Prepared(prepared) => Ok(prepared.id),
        other => Err(format!("`{text}` was answered with {other:?}")),
    }
}

fn use_keyspace(connection: &mut Connection, name: &str) -> Result<(), String> {
    let response = connection.query(&format!("USE {name}"));
    response.map(|_| ()).map_err(|error| error.to_string())
}

fn qualified(address: SocketAddr) -> Result<(), String> {
    let open = || Connection::open(address, 5, None).map_err(|error| error.to_string());
    let (mut plain, mut using) = (open()?, open()?);
    use_keyspace(&mut using, "system_schema")?;
    for text in [
        "SELECT key FROM system.local",
        "SELECT * FROM system_schema.tables WHERE keyspace_name = ?",
        "BEGIN BATCH APPLY BATCH",
    ] {
        let ids = [id(&mut plain, text)?, id(&mut using, text)?];
        ensure(ids[0] == ids[1], || {
            format!("`{text}` has two ids: {ids:02x?}")
        })?;
    }
    // What names none depends on the one in use, and so does every statement that is not about data.
    let text = "SELECT * FROM tables";
    let in_one = id(&mut using, text)?;
    use_keyspace(&mut using, "system_virtual_schema")?;
    ensure(in_one != id(&mut using, text)?, || {
        format!("`{text}` has one id in two keyspaces")
    })?;
    let ids = [
        id(&mut plain, "DESCRIBE TYPES")?,
        id(&mut using, "DESCRIBE TYPES")?,
    ];
    ensure(ids[0] != ids[1], || {
        "DESCRIBE has one id with a keyspace in use and without".to_owned()
    })
}

fn warned(address: SocketAddr) -> Result<(), String> {
    // Cassandra says nothing of a statement that was prepared before, by whomever: these are new with each run.
    let run = std::process::id();
    let open = || Connection::open(address, 5, None).map_err(|error| error.to_string());
    for round in 0..2 {
        let mut connection = open()?;
        let text = |number: u32| format!("SELECT * FROM tables LIMIT {run}{round}{number}");
        use_keyspace(&mut connection, "system_schema")?;
        let qualified = "SELECT key FROM system.local LIMIT 17";
        expect(&mut connection, qualified, None)?;
        expect(&mut connection, &text(0), Some("system_schema"))?;
        expect(&mut connection, &text(1), None)?;
        let mut other = open()?;
        use_keyspace(&mut other, "system_schema")?;
        expect(&mut other, &text(0), None)?;
        let named = Request::Prepare(text(2), Some("system_schema".to_owned()));
        let answer = connection.request(&named);
        says(
            &answer.map_err(|error| error.to_string())?,
            Some("system_schema"),
        )?;
    }
    Ok(())
}

fn expect(connection: &mut Connection, text: &str, warning: Option<&str>) -> Result<(), String> {
    let response = prepare(connection, text)?;
    says(&response, warning).map_err(|error| format!("`{text}`: {error}"))
}

/// Whether a response warns of this keyspace in use, or of nothing.
fn says(response: &Response, keyspace: Option<&str>) -> Result<(), String> {
    let warnings = &response.warnings;
    let fits = match (keyspace, warnings.as_slice()) {
        (None, []) => true,
        (Some(keyspace), [warning]) => {
            let which = format!("Keyspace used: {keyspace}, statement keyspace: {keyspace}, ");
            warning.starts_with(WARNING) && warning.contains(&which)
        }
        _ => false,
    };
    ensure(fits, || format!("expected {keyspace:?}, got {warnings:?}"))
}
