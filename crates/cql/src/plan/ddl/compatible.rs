//! Whether a column may come back under a name that was dropped with another type.
//!
//! Helenus gives it a new id and never mixes the two; the rules are kept so that a schema that one accepts the other
//! does, too.

use model::types::CqlType;
use std::sync::Arc;

/// Whether values of type `previous` could be read as `renewed`.
pub(super) fn is_compatible(renewed: &CqlType, previous: &CqlType) -> bool {
    let both = |renewed: &Arc<CqlType>, previous: &Arc<CqlType>| is_compatible(renewed, previous);
    match (renewed, previous) {
        _ if renewed == previous => true,
        (CqlType::Blob, previous) => {
            !previous.is_multi_cell() && previous.vector_element_length().is_none()
        }
        (CqlType::Text, CqlType::Ascii)
        | (CqlType::Uuid, CqlType::Timeuuid)
        | (CqlType::Bigint, CqlType::Timestamp)
        | (CqlType::Timestamp, CqlType::Bigint) => true,
        (CqlType::List(renewed, frozen), CqlType::List(previous, before))
        | (CqlType::Set(renewed, frozen), CqlType::Set(previous, before)) => {
            frozen == before && both(renewed, previous)
        }
        (CqlType::Map(key, value, frozen), CqlType::Map(previous_key, previous_value, before)) => {
            frozen == before && both(key, previous_key) && both(value, previous_value)
        }
        (CqlType::Tuple(renewed), CqlType::Tuple(previous)) => {
            renewed.len() >= previous.len()
                && renewed
                    .iter()
                    .zip(previous.iter())
                    .all(|(renewed, previous)| is_compatible(renewed, previous))
        }
        _ => false,
    }
}
