//! AUTH_RESPONSE: the client's side of a SASL exchange.
//!
//! Body: `[bytes]` token. `PLAIN`, which Cassandra's password authenticator speaks, is
//! `[authorization id] NUL user NUL password`.

use super::super::decode_error::DecodeError;
use super::super::reader::Reader;
use std::fmt;

/// A SASL token; what it means is the authenticator's business.
#[derive(Clone, Copy)]
pub struct AuthResponse<'a> {
    /// The token, which may be null.
    pub token: Option<&'a [u8]>,
}

impl<'a> AuthResponse<'a> {
    pub(super) fn decode(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            token: body.bytes()?,
        })
    }
}

/// The token holds a password and is never printed.
impl fmt::Debug for AuthResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthResponse").finish_non_exhaustive()
    }
}
