//! Values of generated rows, as the protocol carries them.

use model::value;
use std::net::IpAddr;

pub(super) fn text(value: impl AsRef<str>) -> Vec<u8> {
    value.as_ref().as_bytes().to_vec()
}

pub(super) fn boolean(value: bool) -> Vec<u8> {
    vec![u8::from(value)]
}

pub(super) fn int(value: i32) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

/// A `bigint`; what does not fit is the largest there is.
pub(super) fn bigint(value: u64) -> Vec<u8> {
    i64::try_from(value)
        .unwrap_or(i64::MAX)
        .to_be_bytes()
        .to_vec()
}

pub(super) fn double(value: f64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

pub(super) fn uuid(value: uuid::Uuid) -> Vec<u8> {
    value.as_bytes().to_vec()
}

/// A `timestamp` of microseconds.
pub(super) fn timestamp(micros: i64) -> Vec<u8> {
    micros.div_euclid(1000).to_be_bytes().to_vec()
}

pub(super) fn inet(value: IpAddr) -> Vec<u8> {
    match value {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A list or set of texts.
pub(super) fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> Vec<u8> {
    let values: Vec<T> = values.into_iter().collect();
    value::join_collection(
        values.len(),
        values.iter().map(|value| value.as_ref().as_bytes()),
    )
}

/// A map of texts.
pub(super) fn text_map<'a>(entries: impl IntoIterator<Item = (&'a str, String)>) -> Vec<u8> {
    let entries: Vec<(&str, String)> = entries.into_iter().collect();
    let parts = entries
        .iter()
        .flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]);
    value::join_collection(entries.len(), parts)
}
