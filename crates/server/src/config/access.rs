//! Values of keys, by the type that the table says they have.

use super::Configured;
use super::value::{Class, Value};
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

pub(super) fn text(configured: &Configured, name: &str) -> Option<String> {
    match configured.get(name)? {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

pub(super) fn integer(configured: &Configured, name: &str) -> Option<i64> {
    match configured.get(name)? {
        Value::Integer(number) => Some(number),
        _ => None,
    }
}

pub(super) fn positive(configured: &mut Configured, name: &str) -> Option<i64> {
    let number = integer(configured, name)?;
    if number > 0 {
        return Some(number);
    }
    configured.refuse(name, "must be above 0");
    None
}

pub(super) fn port(configured: &mut Configured, name: &str) -> Option<u16> {
    let number = integer(configured, name)?;
    if let Ok(port) = u16::try_from(number) {
        return Some(port);
    }
    configured.refuse(name, format!("{number} is not a port"));
    None
}

pub(super) fn flag(configured: &Configured, name: &str) -> bool {
    configured.get(name) == Some(Value::Flag(true))
}

pub(super) fn duration(configured: &Configured, name: &str) -> Option<Duration> {
    match configured.get(name)? {
        Value::Duration(duration) => Some(duration),
        _ => None,
    }
}

pub(super) fn size(configured: &Configured, name: &str) -> Option<u64> {
    match configured.get(name)? {
        Value::Size(bytes) => Some(bytes),
        _ => None,
    }
}

pub(super) fn class(configured: &Configured, name: &str) -> Option<Class> {
    match configured.get(name)? {
        Value::Class(class) => Some(class),
        _ => None,
    }
}

/// An address, or the first one a name resolves to.
pub(super) fn address(configured: &mut Configured, name: &str) -> Option<IpAddr> {
    let text = text(configured, name)?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let resolved = (text.as_str(), 0)
        .to_socket_addrs()
        .ok()
        .and_then(|addresses| {
            let addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
            addresses
                .iter()
                .find(|address| address.is_ipv4())
                .or(addresses.first())
                .copied()
        });
    if resolved.is_none() {
        configured.refuse(name, format!("`{text}` is no address and no name of one"));
    }
    resolved
}
