//! Who may use the API: programs on this machine, and no web page that a browser on it happens to show; from elsewhere, superusers
//! with their passwords.
//!
//! On a loopback address a page from anywhere can have a browser send requests there. Such a request
//! carries `Origin`, which no tool sends; or, where the page's own name was made to resolve to this machine, that name
//! as its `Host`. Both are refused. Off loopback a request carries a role's name and password (`Authorization: Basic`), which no
//! page can know. `/metrics` and `/health` change nothing and a page cannot read them: they answer all.

use super::api::{Refused, Shared};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use node::execute::admin::{AdminWork, Password};
use std::net::IpAddr;

/// Passes a request on, or refuses it.
pub(super) async fn guard(State(admin): State<Shared>, request: Request, next: Next) -> Response {
    if let Some(reason) = refusal(request.headers(), admin.needs_login) {
        return (StatusCode::FORBIDDEN, format!("{reason}\n")).into_response();
    }
    if admin.needs_login
        && let Err(refused) = log_in(&admin, request.headers()).await
    {
        return refused;
    }
    next.run(request).await
}

/// Has the password that came with a request checked.
async fn log_in(admin: &Shared, headers: &HeaderMap) -> Result<(), Response> {
    let refuse = |reason: String| {
        let mut response = (StatusCode::UNAUTHORIZED, format!("{reason}\n")).into_response();
        let scheme = HeaderValue::from_static("Basic realm=\"Helenus\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
        response
    };
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| credentials(value.to_str().ok()?));
    let Some((user, password)) = given else {
        let reason = "the admin API wants a superuser's name and password here";
        return Err(refuse(reason.to_owned()));
    };
    let password = Password(password);
    match admin.work(AdminWork::LogIn { user, password }).await {
        Ok(_) => Ok(()),
        Err(Refused::Work(error)) => Err(refuse(error.to_string())),
        Err(other) => Err(other.into_response()),
    }
}

/// User and password of an `Authorization` header.
fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(super::base64::decode(encoded.trim())?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Why a request with these headers is refused, whoever sends it.
fn refusal(headers: &HeaderMap, from_elsewhere: bool) -> Option<&'static str> {
    if headers.contains_key(header::ORIGIN) {
        return Some(
            "the admin API takes no requests from web pages (they carry an Origin header)",
        );
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if !from_elsewhere && !host.is_some_and(is_this_machine) {
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
            assert_eq!(refusal(&headers(&[("host", host)]), false), None, "{host}");
        }
        for host in [
            "evil.example:7199",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            ":7199",
        ] {
            assert!(
                refusal(&headers(&[("host", host)]), false).is_some(),
                "{host}"
            );
        }
        assert!(refusal(&headers(&[]), false).is_some());
    }

    #[test]
    fn no_web_page() {
        for origin in ["http://evil.example", "null", "http://localhost:7199"] {
            let refused = refusal(&headers(&[("host", "localhost"), ("origin", origin)]), true);
            assert!(refused.is_some_and(|reason| reason.contains("Origin")));
        }
    }

    #[test]
    fn a_name_from_elsewhere_is_none_of_our_business() {
        assert_eq!(
            refusal(&headers(&[("host", "node3.example:7199")]), true),
            None
        );
    }

    #[test]
    fn credentials_are_read_or_there_are_none() {
        let read = credentials("Basic YW5uOnM6ZWNyZXQ=");
        assert_eq!(read, Some(("ann".to_owned(), "s:ecret".to_owned())));
        for none in ["Basic", "Basic !", "Bearer YW5uOmE=", "Basic YW5u"] {
            assert_eq!(credentials(none), None, "{none}");
        }
    }
}
