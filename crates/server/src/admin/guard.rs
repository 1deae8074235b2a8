//! Who may use the API: programs on this machine, and no web page that a browser on it happens to show.
//!
//! The API listens on loopback only, but a page from anywhere can have a browser send requests there. Such a request
//! carries `Origin`, which no tool sends; or, where the page's own name was made to resolve to this machine, that name
//! as its `Host`. Both are refused. `/metrics` and `/health` change nothing and a page cannot read them: they answer all.

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// Passes a request on, or refuses it.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    match refusal(request.headers()) {
        None => next.run(request).await,
        Some(reason) => (StatusCode::FORBIDDEN, format!("{reason}\n")).into_response(),
    }
}

/// Why a request with these headers is refused.
fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(header::ORIGIN) {
        return Some(
            "the admin API takes no requests from web pages (they carry an Origin header)",
        );
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_this_machine) {
        return Some(
            "the admin API answers as localhost or by its address only (see the Host header)",
        );
    }
    None
}

/// Whether a `Host` header names a loopback address or `localhost`, whatever its port.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let parsed = list
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        parsed.collect()
    }

    #[test]
    fn only_this_machine_by_its_own_names() {
        for host in [
            "localhost",
            "LOCALHOST:7199",
            "127.0.0.1:7199",
            "127.0.0.9",
            "[::1]:7199",
            "[::1]",
        ] {
            assert_eq!(refusal(&headers(&[("host", host)])), None, "{host}");
        }
        for host in [
            "evil.example:7199",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            ":7199",
        ] {
            assert!(refusal(&headers(&[("host", host)])).is_some(), "{host}");
        }
        assert!(refusal(&headers(&[])).is_some());
    }

    #[test]
    fn no_web_page() {
        for origin in ["http://evil.example", "null", "http://localhost:7199"] {
            let refused = refusal(&headers(&[("host", "localhost"), ("origin", origin)]));
            assert!(refused.is_some_and(|reason| reason.contains("Origin")));
        }
    }
}
