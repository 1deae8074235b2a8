//! The functions whose types are fixed.

use super::scalar::Scalar;
use super::{CallContext, bytes, math, time};
use model::error::RequestError;
use model::key::{Token, join};
use model::types::CqlType;

/// Every signature of the function of this name.
pub(super) fn candidates(name: &str) -> Vec<Scalar> {
    for family in [time::candidates, math::candidates, bytes::candidates] {
        let found = family(name);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// `token(…)` of a partition key of these types.
pub(super) fn token(partition_key: Vec<CqlType>) -> Scalar {
    Scalar::new("token", partition_key, CqlType::Bigint, key_token)
}

fn key_token(
    _: &Scalar,
    arguments: &[Option<&[u8]>],
    _: &CallContext,
) -> Result<Option<Vec<u8>>, RequestError> {
    let components: Vec<&[u8]> = arguments.iter().flatten().copied().collect();
    let key = join(&components);
    // No key is empty: in a condition the empty key stands for the ring's beginning.
    let token = if key.is_empty() {
        Token::MIN
    } else {
        Token::of(&key)
    };
    Ok(Some(token.0.to_be_bytes().to_vec()))
}
