//! Logging in: SASL PLAIN tokens, the check of a password in steps, and the role a new cluster has.
//!
//! A shard never runs bcrypt. It takes the token apart ([`attempt`]), has a worker thread compare password and hash, and
//! then decides ([`finish`]). A user there is not is compared with a hash, too, so that the time an answer takes says
//! nothing about who exists.

use model::error::RequestError;
use model::schema::{Role, Schema};

/// The class that AUTHENTICATE names; drivers answer it with SASL PLAIN.
pub const PASSWORD_AUTHENTICATOR: &str = "org.apache.cassandra.auth.PasswordAuthenticator";

const DEFAULT_SUPERUSER: &str = "cassandra";
/// Of the password `cassandra`.
const DEFAULT_PASSWORD_HASH: &str = "$2a$10$YETqXU3zawziXUXfbUvyGOFfi6LpW.zOGPR6qd4TpHzI0DCVM1RSy";

/// The role a new cluster has: `cassandra` with the password `cassandra`, as everybody knows. To be changed at once.
pub fn default_superuser() -> Role {
    Role {
        name: DEFAULT_SUPERUSER.to_owned(),
        superuser: true,
        login: true,
        salted_hash: Some(DEFAULT_PASSWORD_HASH.to_owned()),
        ..Role::default()
    }
}

/// A password to be checked, by a thread that may take its time.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Who wants to log in.
    pub user: String,
    /// The password given.
    pub password: String,
    /// The bcrypt hash to compare it with.
    pub hash: String,
}

/// Without the password, which belongs in no log.
impl std::fmt::Debug for Attempt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Attempt")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Reads the token of an AUTH_RESPONSE and says what to check.
pub fn attempt(token: &[u8], schema: &Schema) -> Result<Attempt, RequestError> {
    let (user, password) = parse_plain(token)?;
    Ok(attempt_of(user, password, schema))
}

/// What to check of a user and password.
pub fn attempt_of(user: String, password: String, schema: &Schema) -> Attempt {
    let known = schema
        .roles
        .get(&user)
        .and_then(|role| role.salted_hash.clone());
    Attempt {
        user,
        password,
        hash: known.unwrap_or_else(|| DEFAULT_PASSWORD_HASH.to_owned()),
    }
}

/// Decides once the password is checked. The schema may have changed meanwhile.
pub fn finish(user: &str, password_fits: bool, schema: &Schema) -> Result<(), RequestError> {
    match schema.roles.get(user) {
        Some(role) if password_fits && role.salted_hash.is_some() => {
            if role.login {
                return Ok(());
            }
            Err(RequestError::BadCredentials(format!(
                "{user} is not permitted to log in"
            )))
        }
        _ => Err(RequestError::BadCredentials(format!(
            "Provided username {user} and/or password are incorrect"
        ))),
    }
}

/// User and password of a SASL PLAIN token (RFC 4616): `[authorization] NUL user NUL password`. Read from its end, as
/// Cassandra reads it.
fn parse_plain(token: &[u8]) -> Result<(String, String), RequestError> {
    let refuse = |message: &str| Err(RequestError::BadCredentials(message.to_owned()));
    let parts: Vec<&[u8]> = token.rsplitn(4, |byte| *byte == 0).collect();
    if parts.len() > 3 {
        return refuse(
            "Credential format error: username or password is empty or contains NUL(\\0) character",
        );
    }
    // What stands before the first NUL is neither.
    let password = if parts.len() > 1 { parts[0] } else { &[] };
    let user = if parts.len() > 2 { parts[1] } else { &[] };
    if password.is_empty() {
        return refuse("Password must not be null");
    }
    if user.is_empty() {
        return refuse("Authentication ID must not be null");
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(user), text(password)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn schema() -> Schema {
        let mut schema = Schema::default();
        let locked = Role {
            name: "nolog".into(),
            salted_hash: Some("hash".into()),
            ..Role::default()
        };
        for role in [default_superuser(), locked] {
            schema.roles.insert(role.name.clone(), Arc::new(role));
        }
        schema
    }

    fn refusal<T: std::fmt::Debug>(result: Result<T, RequestError>) -> String {
        match result {
            Err(RequestError::BadCredentials(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    /// Apache Cassandra 5.0.6 answers these tokens so.
    #[test]
    fn tokens_are_read_as_cassandra_reads_them() {
        let plain = |token: &[u8]| parse_plain(token);
        let expected = Ok(("r3".to_owned(), "pw".to_owned()));
        assert_eq!(plain(b"\0r3\0pw"), expected);
        assert_eq!(plain(b"x\0r3\0pw"), expected);
        let no_password = "Password must not be null";
        let no_user = "Authentication ID must not be null";
        let malformed =
            "Credential format error: username or password is empty or contains NUL(\\0) character";
        for (token, message) in [
            (&b""[..], no_password),
            (b"\0", no_password),
            (b"\0\0", no_password),
            (b"r3", no_password),
            (b"\0r3\0", no_password),
            (b"cassandra\0cassandra", no_user),
            (b"\0\0pw", no_user),
            (b"a\0b\0r3\0pw", malformed),
            (b"\0r3\0pw\0", malformed),
        ] {
            assert_eq!(refusal(plain(token)), message, "{token:?}");
        }
    }

    #[test]
    fn who_may_log_in_is_decided_when_the_password_is_checked() {
        let schema = schema();
        let attempt = attempt(b"\0cassandra\0pw", &schema).expect("well formed");
        assert_eq!(attempt.hash, DEFAULT_PASSWORD_HASH);
        assert!(!format!("{attempt:?}").contains("pw"));
        assert_eq!(finish("cassandra", true, &schema), Ok(()));
        assert_eq!(
            refusal(finish("cassandra", false, &schema)),
            "Provided username cassandra and/or password are incorrect"
        );
        assert_eq!(
            refusal(finish("nolog", true, &schema)),
            "nolog is not permitted to log in"
        );
    }

    #[test]
    fn an_unknown_user_is_checked_and_refused() {
        let schema = schema();
        let attempt = attempt(b"\0nobody\0cassandra", &schema).expect("well formed");
        assert_eq!(
            attempt.hash, DEFAULT_PASSWORD_HASH,
            "as much work as for anybody"
        );
        assert_eq!(
            refusal(finish("nobody", true, &schema)),
            "Provided username nobody and/or password are incorrect"
        );
    }
}
