//! Runs the statements of one script and puts what the server answers into the words of the script format.

use super::script::Block;
use crate::wire::connection::Connection;
use crate::wire::request::{BatchStatement, Parameters, Request, Value, consistency};
use crate::wire::response::{Answer, Column, Metadata, Response, Rows, ServerError};
use crate::wire::{WireError, WireResult, encode, literal, render};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The protocol version a statement is sent in unless it says otherwise.
const DEFAULT_PROTOCOL: u8 = 5;
/// More pages than any script reads: a server that never ends its paging is an error, not a hang.
const PAGES_MAX: usize = 1000;

/// A script's connections (one a protocol version and login) and its keyspace.
pub struct Session {
    address: SocketAddr,
    keyspace: String,
    connections: BTreeMap<(u8, String), Connection>,
}

impl Session {
    /// Prepares the keyspace of the script called `stem`: what an earlier run left is dropped, the keyspace made anew.
    pub fn open(address: SocketAddr, stem: &str) -> WireResult<Self> {
        let name: String = stem
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '_' })
            .collect();
        let mut session = Self {
            address,
            keyspace: format!("g_{name}"),
            connections: BTreeMap::new(),
        };
        session.drop_left_overs()?;
        let create = "CREATE KEYSPACE $KS WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
        session.must(create)?;
        session.connections.clear();
        Ok(session)
    }

    /// Drops what the script made.
    pub fn close(mut self) -> WireResult<()> {
        self.drop_left_overs()
    }

    fn drop_left_overs(&mut self) -> WireResult<()> {
        let own = self.keyspace.clone();
        let prefix = format!("{own}__");
        let mut connection = Connection::open(self.address, DEFAULT_PROTOCOL, None)?;
        let found = connection.query("SELECT keyspace_name FROM system_schema.keyspaces")?;
        if let Answer::Rows(rows) = found.answer {
            let names = rows
                .rows
                .iter()
                .filter_map(|row| String::from_utf8(row.first()?.clone()?).ok());
            for name in names.filter(|name| *name == own || name.starts_with(&prefix)) {
                connection.query(&format!("DROP KEYSPACE \"{name}\""))?;
            }
        }
        Ok(())
    }

    fn must(&mut self, statement: &str) -> WireResult<()> {
        let text = statement.replace("$KS", &self.keyspace);
        let mut connection = Connection::open(self.address, DEFAULT_PROTOCOL, None)?;
        match connection.query(&text)?.answer {
            Answer::Error(error) => Err(WireError::Request(format!("{text}: {}", error.message))),
            _ => Ok(()),
        }
    }

    fn connection(&mut self, version: u8, login: &str) -> WireResult<&mut Connection> {
        let key = (version, login.to_owned());
        if !self.connections.contains_key(&key) {
            let login = login.split_once(' ');
            let mut connection = Connection::open(self.address, version, login)?;
            connection.query(&format!("USE {}", self.keyspace))?;
            self.connections.insert(key.clone(), connection);
        }
        self.connections
            .get_mut(&key)
            .ok_or_else(|| WireError::Request("connection".into()))
    }

    /// Sends a statement as its directives say and gives the answer's lines. A connection that fails is opened anew for
    /// the next statement.
    pub fn run(&mut self, block: &Block) -> Vec<String> {
        let lines = match self.attempt(block) {
            Ok(lines) => lines,
            Err(WireError::Refused(error)) => error_lines(&error, " at login"),
            Err(error) => {
                self.connections.clear();
                vec![format!("no answer: {error}")]
            }
        };
        lines
            .into_iter()
            .map(|line| line.replace(&self.keyspace, "$KS"))
            .collect()
    }

    fn attempt(&mut self, block: &Block) -> WireResult<Vec<String>> {
        let own = |text: &str| text.replace("$KS", &self.keyspace);
        let version = number(block, "protocol")?.unwrap_or(DEFAULT_PROTOCOL);
        let login = own(block.directive("login").unwrap_or_default());
        let parameters = parameters(block, own)?;
        if let Some(kind) = block.directive("batch") {
            let statements: Vec<String> = block.statement.iter().map(|line| own(line)).collect();
            let connection = self.connection(version, &login)?;
            return run_batch(connection, block, kind, &statements, &parameters);
        }
        let text = own(&block.text());
        let has_values = block.directive("bind").is_some() && block.directive("simple").is_none();
        let connection = self.connection(version, &login)?;
        if has_values || block.directive("prepared").is_some() {
            run_prepared(connection, block, &text, parameters)
        } else {
            run_query(connection, block, &text, parameters)
        }
    }
}

fn number<T: std::str::FromStr>(block: &Block, name: &str) -> WireResult<Option<T>> {
    let Some(text) = block.directive(name) else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|_| WireError::Request(format!("{name}: «{text}» is no number")))
}

fn level(block: &Block, name: &str) -> WireResult<Option<u16>> {
    let Some(text) = block.directive(name) else {
        return Ok(None);
    };
    consistency(text)
        .map(Some)
        .ok_or_else(|| WireError::Request(format!("{name}: «{text}» is no consistency level")))
}

fn parameters(block: &Block, own: impl Fn(&str) -> String) -> WireResult<Parameters> {
    Ok(Parameters {
        consistency: level(block, "consistency")?.unwrap_or(1),
        serial: level(block, "serial")?,
        values: block
            .directive("bind")
            .map_or_else(|| Ok(Vec::new()), values)?,
        page_size: number(block, "page")?,
        paging_state: None,
        timestamp: number(block, "timestamp")?,
        keyspace: block.directive("keyspace").map(own),
        now_in_seconds: number(block, "now")?,
    })
}

fn values(text: &str) -> WireResult<Vec<(Option<String>, Value)>> {
    literal::parse_bind(text)?
        .into_iter()
        .map(|(name, value)| Ok((name, encode::bound(&value)?)))
        .collect()
}

fn run_query(
    connection: &mut Connection,
    block: &Block,
    text: &str,
    parameters: Parameters,
) -> WireResult<Vec<String>> {
    let send = |connection: &mut Connection, parameters: &Parameters| {
        connection.request(&Request::Query(text.to_owned(), parameters.clone()))
    };
    run_pages(connection, block, parameters, Vec::new(), None, send)
}

fn run_prepared(
    connection: &mut Connection,
    block: &Block,
    text: &str,
    parameters: Parameters,
) -> WireResult<Vec<String>> {
    let response = connection.request(&Request::Prepare(
        text.to_owned(),
        parameters.keyspace.clone(),
    ))?;
    let prepared = match response.answer {
        Answer::Prepared(ref prepared) => prepared.clone(),
        Answer::Error(error) => return Ok(error_lines(&error, " at prepare")),
        other => return Err(WireError::Malformed(format!("PREPARE answered {other:?}"))),
    };
    let mut lines = vec![variables(&prepared.parameters)];
    lines.extend(warnings(&response));
    // The keyspace of EXECUTE is the one the statement was prepared in.
    let parameters = Parameters {
        keyspace: None,
        ..parameters
    };
    let send = |connection: &mut Connection, parameters: &Parameters| {
        let (id, metadata_id) = (prepared.id.clone(), prepared.metadata_id.clone());
        connection.request(&Request::Execute(id, metadata_id, parameters.clone()))
    };
    run_pages(
        connection,
        block,
        parameters,
        lines,
        Some(&prepared.result.columns),
        send,
    )
}

/// `variables: k int, v text (key 0)`.
fn variables(metadata: &Metadata) -> String {
    if metadata.columns.is_empty() {
        return "variables: none".into();
    }
    let columns: Vec<String> = metadata.columns.iter().map(described).collect();
    let key: Vec<String> = metadata.key.iter().map(u16::to_string).collect();
    let key = if key.is_empty() {
        String::new()
    } else {
        format!(" (key {})", key.join(", "))
    };
    format!("variables: {}{key}", columns.join(", "))
}

fn described(column: &Column) -> String {
    format!("{} {}", column.name, column.kind)
}

fn run_batch(
    connection: &mut Connection,
    block: &Block,
    kind: &str,
    statements: &[String],
    parameters: &Parameters,
) -> WireResult<Vec<String>> {
    let kinds = ["logged", "unlogged", "counter"];
    // A number stands for a kind the protocol does not know.
    let kind = kinds
        .iter()
        .position(|known| *known == kind)
        .map_or_else(|| kind.parse().ok(), |at| Some(at as u8));
    let kind = kind
        .ok_or_else(|| WireError::Request("batch: logged, unlogged, counter or a number".into()))?;
    let mut binds = block.all("bind");
    let mut sent = Vec::new();
    for text in statements {
        let values = values(binds.next().unwrap_or_default())?
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        let statement = if block.directive("prepared").is_some() {
            match connection
                .request(&Request::Prepare(text.clone(), parameters.keyspace.clone()))?
                .answer
            {
                Answer::Prepared(prepared) => BatchStatement::Prepared(prepared.id),
                Answer::Error(error) => return Ok(error_lines(&error, " at prepare")),
                other => return Err(WireError::Malformed(format!("PREPARE answered {other:?}"))),
            }
        } else {
            BatchStatement::Query(text.clone())
        };
        sent.push((statement, values));
    }
    let parameters = Parameters {
        values: Vec::new(),
        ..parameters.clone()
    };
    let response = connection.request(&Request::Batch(kind, sent, parameters))?;
    answer_lines(block, &response, Vec::new(), None)
}

/// Sends, and goes on while there are pages if the script asked for pages.
fn run_pages(
    connection: &mut Connection,
    block: &Block,
    mut parameters: Parameters,
    lines: Vec<String>,
    prepared: Option<&[Column]>,
    send: impl Fn(&mut Connection, &Parameters) -> WireResult<Response>,
) -> WireResult<Vec<String>> {
    let limit = number(block, "pages")?.unwrap_or(PAGES_MAX);
    let mut response = send(connection, &parameters)?;
    let mut lines = answer_lines(block, &response, lines, prepared)?;
    for page in 1.. {
        let Answer::Rows(rows) = &response.answer else {
            break;
        };
        let Some(state) = rows.metadata.paging_state.clone() else {
            break;
        };
        lines.push("--".into());
        if page >= limit {
            break;
        }
        parameters.paging_state = Some(state);
        response = send(connection, &parameters)?;
        match &response.answer {
            Answer::Rows(rows) => lines.extend(row_lines(block, rows, prepared)?),
            _ => return answer_lines(block, &response, lines, prepared),
        }
        lines.extend(warnings(&response));
    }
    Ok(lines)
}

fn answer_lines(
    block: &Block,
    response: &Response,
    mut lines: Vec<String>,
    prepared: Option<&[Column]>,
) -> WireResult<Vec<String>> {
    match &response.answer {
        Answer::Void => lines.push("ok".into()),
        Answer::Keyspace(name) => lines.push(format!("keyspace: {name}")),
        Answer::SchemaChange(change) => lines.push(format!("schema: {change}")),
        Answer::Error(error) => lines.extend(error_lines(error, "")),
        Answer::Rows(rows) => {
            let columns = columns_of(rows, prepared);
            lines.push(
                columns
                    .iter()
                    .map(described)
                    .collect::<Vec<_>>()
                    .join(" | "),
            );
            lines.extend(row_lines(block, rows, prepared)?);
        }
        other => {
            return Err(WireError::Malformed(format!(
                "a statement answered {other:?}"
            )));
        }
    }
    lines.extend(warnings(response));
    Ok(lines)
}

/// Client warnings. The advice against USE with prepared statements would stand at most of them, and whether it comes again
/// depends on what the server has prepared before.
fn warnings(response: &Response) -> impl Iterator<Item = String> {
    let told = response
        .warnings
        .iter()
        .filter(|warning| !warning.starts_with("`USE <keyspace>`"));
    told.map(|warning| format!("warning: {}", warning.replace('\n', "\\n")))
}

/// A server may leave metadata out of an answer to EXECUTE only if the client asked for it, which this client never does.
fn columns_of<'a>(rows: &'a Rows, prepared: Option<&'a [Column]>) -> &'a [Column] {
    if rows.metadata.columns.is_empty() {
        prepared.unwrap_or_default()
    } else {
        &rows.metadata.columns
    }
}

fn row_lines(block: &Block, rows: &Rows, prepared: Option<&[Column]>) -> WireResult<Vec<String>> {
    let columns = columns_of(rows, prepared);
    let masked: Vec<&str> = block
        .directive("mask")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .collect();
    let mut lines = Vec::new();
    for row in &rows.rows {
        if row.len() != columns.len() {
            return Err(WireError::Malformed(format!(
                "{} cells under {} columns",
                row.len(),
                columns.len()
            )));
        }
        let cells = row.iter().zip(columns).map(|(cell, column)| {
            let hidden = masked.contains(&"*") || masked.contains(&column.name.as_str());
            match (hidden, cell) {
                (true, Some(_)) => "<masked>".to_owned(),
                _ => render::value(&column.kind, cell.as_deref()),
            }
        });
        if block.directive("lines").is_some() {
            lines.extend(
                cells
                    .zip(columns)
                    .flat_map(|(cell, column)| cell_lines(&column.name, &cell)),
            );
        } else {
            lines.push(cells.collect::<Vec<_>>().join(" | "));
        }
    }
    if block.directive("unordered").is_some() {
        lines.sort();
    }
    Ok(lines)
}

/// `name: value`, and the further lines of a text below it.
fn cell_lines(name: &str, cell: &str) -> Vec<String> {
    let plain = cell
        .strip_prefix('\'')
        .and_then(|cell| cell.strip_suffix('\''))
        .unwrap_or(cell)
        .replace("''", "'");
    let mut parts = plain.split("\\n");
    let first = format!("{name}: {}", parts.next().unwrap_or_default());
    std::iter::once(first)
        .chain(parts.map(|part| format!("    {part}")))
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn error_lines(error: &ServerError, place: &str) -> Vec<String> {
    let mut lines = vec![format!(
        "error: {} 0x{:04x}{place}",
        error.class(),
        error.code
    )];
    if !error.fields.is_empty() {
        lines.push(format!("fields: {}", error.fields.join(" ")));
    }
    lines.push(format!("message: {}", error.message.replace('\n', "\\n")));
    lines
}
