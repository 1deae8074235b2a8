//! What a node is told of its place on the ring.

use super::Configured;
use super::access::{address, flag, positive, text};
use model::key::Token;
use std::net::IpAddr;

/// Tokens of a node that has none when nothing says how many.
const DEFAULT_TOKENS: i64 = 16;

/// Where a node begins on the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingSettings {
    /// Tokens it takes.
    pub num_tokens: u32,
    /// The tokens themselves, if they are named.
    pub initial_tokens: Vec<Token>,
    /// Whether it takes the data that belongs to them too.
    pub auto_bootstrap: bool,
    /// The dead member whose tokens it takes over.
    pub replaces: Option<IpAddr>,
}

pub(super) fn read(configured: &mut Configured) -> RingSettings {
    let num_tokens = positive(configured, "num_tokens").unwrap_or(DEFAULT_TOKENS);
    let initial_tokens = initial_tokens(configured);
    let named = initial_tokens.len() as i64;
    if named > 0 && named != num_tokens && num_tokens != DEFAULT_TOKENS {
        let reason = format!(
            "The number of initial tokens (by initial_token) specified ({named}) is different from num_tokens value ({num_tokens})"
        );
        configured.refuse("initial_token", reason);
    }
    RingSettings {
        num_tokens: num_tokens as u32,
        initial_tokens,
        auto_bootstrap: flag(configured, "auto_bootstrap"),
        replaces: address(configured, "helenus_replace_address_first_boot"),
    }
}

fn initial_tokens(configured: &mut Configured) -> Vec<Token> {
    let Some(text) = text(configured, "initial_token") else {
        return Vec::new();
    };
    let parsed: Result<Vec<i64>, _> = text.split(',').map(|token| token.trim().parse()).collect();
    let Ok(mut tokens) = parsed else {
        configured.refuse("initial_token", "must be whole numbers with commas between");
        return Vec::new();
    };
    let named = tokens.len();
    tokens.sort_unstable();
    tokens.dedup();
    if tokens.len() < named || tokens.first() == Some(&i64::MIN) {
        configured.refuse("initial_token", "names a token twice, or one that is none");
    }
    tokens.into_iter().map(Token).collect()
}
