//! The other end of the API: a small HTTP client that asks one thing at a time and waits for the answer. `nodetool` is built on it.

use super::base64::encode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 256 << 20;
/// Longest line of an answer's head.
const MAX_LINE_BYTES: u64 = 16 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there.
    #[error("Failed to connect to '{host}:{port}' - {error}")]
    Connect {
        /// Host as given.
        host: String,
        /// Port.
        port: u16,
        /// Why.
        error: io::Error,
    },
    /// The connection ended, or what came is not of this API.
    #[error("no sound answer from '{host}:{port}': {reason}")]
    Broken {
        /// Host as given.
        host: String,
        /// Port.
        port: u16,
        /// What is wrong.
        reason: String,
    },
    /// The node refused, or could not.
    #[error("{text}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// Why, in the node's words.
        text: String,
    },
}

/// Where a node's admin API is, and who asks.
#[derive(Debug, Clone)]
pub struct Client {
    host: String,
    port: u16,
    /// `Authorization`, if credentials were given.
    authorization: Option<String>,
}

impl Client {
    /// The API at this address, asked with these credentials.
    pub fn new(host: &str, port: u16, credentials: Option<(&str, &str)>) -> Self {
        let basic = |(user, password): (&str, &str)| {
            format!("Basic {}", encode(format!("{user}:{password}").as_bytes()))
        };
        Self {
            host: host.to_owned(),
            port,
            authorization: credentials.map(basic),
        }
    }

    /// Asks a path with a query of these parameters, and reads the answer.
    pub fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, AskError> {
        let body = self.text(method, path, query)?;
        serde_json::from_slice(&body).map_err(|error| self.broken(error))
    }

    fn text(&self, method: &str, path: &str, query: &[(&str, &str)]) -> Result<Vec<u8>, AskError> {
        let mut stream = self.connect()?;
        let head = self.head(method, path, query);
        let answered = stream
            .write_all(head.as_bytes())
            .and_then(|()| read_answer(&mut BufReader::new(stream)));
        let (status, body) = answered.map_err(|error| self.broken(error))?;
        if status == 200 {
            return Ok(body);
        }
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        let text = value.and_then(|value| Some(value.get("error")?.as_str()?.to_owned()));
        let text = text.unwrap_or_else(|| match String::from_utf8_lossy(&body).trim() {
            "" => format!("the node answers {status}"),
            text => text.to_owned(),
        });
        Err(AskError::Refused { status, text })
    }

    fn connect(&self) -> Result<TcpStream, AskError> {
        let failed = |error| AskError::Connect {
            host: self.host.clone(),
            port: self.port,
            error,
        };
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let addresses = (host, self.port).to_socket_addrs().map_err(failed)?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    fn head(&self, method: &str, path: &str, query: &[(&str, &str)]) -> String {
        let mut target = path.to_owned();
        for (place, (name, value)) in query.iter().enumerate() {
            target.push(if place == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            target.push_str(&escape(value));
        }
        let host = if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let authorization = self.authorization.iter();
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n"));
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}:{}\r\n{}Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.port,
            authorization.collect::<String>(),
        )
    }

    fn broken(&self, reason: impl ToString) -> AskError {
        AskError::Broken {
            host: self.host.clone(),
            port: self.port,
            reason: reason.to_string(),
        }
    }
}

/// The status and body of an answer after which the connection ends.
fn read_answer(from: &mut impl BufRead) -> io::Result<(u16, Vec<u8>)> {
    let unsound = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
    let first = read_line(from)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| unsound("this is not HTTP"))?;
    let mut length = None;
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(unsound("this is not HTTP"));
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<u64>().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(unsound("the answer comes in chunks"));
        }
    }
    let mut body = Vec::new();
    let limit = length.unwrap_or(MAX_ANSWER_BYTES).min(MAX_ANSWER_BYTES);
    from.take(limit).read_to_end(&mut body)?;
    if length.is_some_and(|length| length != body.len() as u64) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((status, body))
}

/// A line of the head, without its end.
fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(MAX_LINE_BYTES).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// A value as a query has it.
fn escape(value: &str) -> String {
    let bytes = value.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_http_has_it() {
        let client = Client::new("::1", 7199, Some(("ann", "s:ecret")));
        let head = client.head(
            "POST",
            "/api/v1/flush",
            &[("keyspace", "a b"), ("table", "é")],
        );
        assert_eq!(
            head,
            "POST /api/v1/flush?keyspace=a%20b&table=%C3%A9 HTTP/1.1\r\nHost: [::1]:7199\r\n\
             Authorization: Basic YW5uOnM6ZWNyZXQ=\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn an_answer_is_read_whole_or_refused() {
        let read = |text: &str| read_answer(&mut text.as_bytes());
        let (status, body) = read("HTTP/1.1 400 Bad\r\ncontent-length: 2\r\n\r\n{}rest").unwrap();
        assert_eq!((status, body.as_slice()), (400, b"{}".as_slice()));
        for broken in [
            "",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nno head",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(read(broken).is_err(), "{broken:?}");
        }
    }
}
