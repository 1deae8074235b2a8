//! Which requests a connection may send when: STARTUP first, then the authentication if there is one, then the rest.
//!
//! A pure state machine, driven by the opcodes of requests and of their answers. What it refuses must not be executed:
//! it is what keeps an unauthenticated client out.

use super::header::Opcode;
use model::error::RequestError;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing but OPTIONS has been answered.
    #[default]
    Uninitialised,
    /// STARTUP was answered with AUTHENTICATE.
    Authenticating,
    /// Open for requests.
    Ready,
}

impl Phase {
    /// Whether a request may be handled now; the error says what was expected, in Cassandra's words.
    pub fn admit(self, opcode: Opcode) -> Result<(), RequestError> {
        let expected = match (self, opcode) {
            (_, Opcode::Options) => return Ok(()),
            (Self::Uninitialised, Opcode::Startup)
            | (Self::Authenticating, Opcode::AuthResponse) => return Ok(()),
            (Self::Uninitialised, _) => "STARTUP or OPTIONS",
            (Self::Authenticating, _) => "SASL_RESPONSE",
            (Self::Ready, Opcode::Startup) => {
                return Err(RequestError::Protocol(
                    "Unexpected message STARTUP, the connection is already initialized".to_owned(),
                ));
            }
            (Self::Ready, _) => return Ok(()),
        };
        Err(RequestError::Protocol(format!(
            "Unexpected message {}, expecting {expected}",
            opcode.name()
        )))
    }

    /// The phase after a request of `opcode` was answered with `answer`.
    pub fn answered(self, opcode: Opcode, answer: Opcode) -> Self {
        match (self, opcode, answer) {
            (Self::Uninitialised, Opcode::Startup, Opcode::Ready)
            | (Self::Authenticating, Opcode::AuthResponse, Opcode::AuthSuccess) => Self::Ready,
            (Self::Uninitialised, Opcode::Startup, Opcode::Authenticate) => Self::Authenticating,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_before_startup_and_authentication() {
        let start = Phase::default();
        assert!(start.admit(Opcode::Options).is_ok() && start.admit(Opcode::Startup).is_ok());
        assert_eq!(
            start.admit(Opcode::Query),
            Err(RequestError::Protocol(
                "Unexpected message QUERY, expecting STARTUP or OPTIONS".into()
            ))
        );
        let authenticating = start.answered(Opcode::Startup, Opcode::Authenticate);
        for opcode in [
            Opcode::Query,
            Opcode::Prepare,
            Opcode::Execute,
            Opcode::Batch,
            Opcode::Register,
            Opcode::Startup,
        ] {
            assert!(authenticating.admit(opcode).is_err());
        }
        assert_eq!(
            authenticating.answered(Opcode::AuthResponse, Opcode::Error),
            authenticating
        );
        assert_eq!(
            authenticating.answered(Opcode::AuthResponse, Opcode::AuthChallenge),
            authenticating
        );
        let ready = authenticating.answered(Opcode::AuthResponse, Opcode::AuthSuccess);
        assert_eq!(ready, Phase::Ready);
        assert!(ready.admit(Opcode::Query).is_ok() && ready.admit(Opcode::Startup).is_err());
        assert_eq!(start.answered(Opcode::Startup, Opcode::Error), start);
        assert_eq!(start.answered(Opcode::Startup, Opcode::Ready), Phase::Ready);
    }
}
