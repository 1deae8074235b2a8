//! The nodes to ask first, from what was configured to addresses.
//!
//! Nodes that are started together must agree on which of them founds the cluster, before any has heard of another, and even if
//! a name cannot be resolved yet: it is the one that comes first in the list as it is written, addresses before names.

use crate::config::Settings;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// None of the seeds has an address.
#[derive(Debug, thiserror::Error)]
#[error("none of the seeds can be resolved: {0}")]
pub struct SeedsError(String);

/// The nodes to ask first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds {
    /// Where they are, this node aside.
    pub others: Vec<SocketAddr>,
    /// Whether this node founds a cluster if none of them is in one.
    pub founds: bool,
}

/// A seed as it was written, in the order in which seeds found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    Address(IpAddr, u16),
    Name(String, u16),
}

impl Written {
    fn parse(text: &str, storage_port: u16) -> Self {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Self::Address(address.ip(), address.port());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Self::Address(address, storage_port);
        }
        match text.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => {
                let port = port.parse().unwrap_or(storage_port);
                Self::Name(name.to_owned(), port)
            }
            _ => Self::Name(text.to_owned(), storage_port),
        }
    }

    fn resolve(
        &self,
        look_up: &dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
    ) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::Address(address, port) => Ok(vec![SocketAddr::new(*address, *port)]),
            Self::Name(name, port) => look_up(name, *port),
        }
    }
}

/// Resolves what was configured. A name that has no address now is left out, with a warning: the others know of it.
pub fn resolve(settings: &Settings) -> Result<Seeds, SeedsError> {
    let own = [settings.listen_address, settings.broadcast_address];
    let look_up = |name: &str, port| {
        (name, port)
            .to_socket_addrs()
            .map(Iterator::collect::<Vec<_>>)
    };
    resolve_with(&settings.seeds, &own, settings.storage_port, &look_up)
}

fn resolve_with(
    written: &[String],
    own: &[IpAddr],
    storage_port: u16,
    look_up: &dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> Result<Seeds, SeedsError> {
    let mut seeds: Vec<Written> = written
        .iter()
        .map(|text| Written::parse(text, storage_port))
        .collect();
    seeds.sort();
    seeds.dedup();
    // `127.0.0.1`, which configurations ship with, is another node only to one that is on the loopback interface itself.
    let beyond = own.iter().all(|address| !address.is_loopback());
    let is_own = |address: &SocketAddr| {
        let here = own.contains(&address.ip()) || beyond && address.ip().is_loopback();
        here && address.port() == storage_port
    };
    let mut found = Seeds {
        others: Vec::new(),
        founds: seeds.is_empty(),
    };
    let mut failures = Vec::new();
    for (place, seed) in seeds.iter().enumerate() {
        match seed.resolve(look_up) {
            Ok(addresses) => {
                found.founds |= place == 0 && addresses.iter().any(is_own);
                let others = addresses.into_iter().filter(|address| !is_own(address));
                found.others.extend(others);
            }
            Err(error) => failures.push(format!("{seed:?}: {error}")),
        }
    }
    if failures.is_empty() {
        return Ok(found);
    }
    let failures = failures.join(", ");
    if found.others.is_empty() && !found.founds {
        return Err(SeedsError(failures));
    }
    tracing::warn!("not all seeds can be resolved: {failures}");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2))];

    fn resolved(written: &[&str]) -> Result<Seeds, SeedsError> {
        let written: Vec<String> = written.iter().map(|text| (*text).to_owned()).collect();
        let look_up = |name: &str, port| match name {
            "me" => Ok(vec![SocketAddr::new(OWN[0], port)]),
            "other" => Ok(vec![SocketAddr::from(([10, 0, 0, 9], port))]),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        resolve_with(&written, &OWN, 7000, &look_up)
    }

    fn others(addresses: &[&str]) -> Vec<SocketAddr> {
        let parsed = addresses
            .iter()
            .map(|text| text.parse().expect("an address"));
        parsed.collect()
    }

    #[test]
    fn the_first_of_the_list_founds() {
        for (written, founds, expected) in [
            (&[][..], true, &[][..]),
            (&["10.0.0.2"], true, &[]),
            (&["10.0.0.10", "10.0.0.2"], true, &["10.0.0.10:7000"]),
            (&["10.0.0.2", "9.0.0.1:7070"], false, &["9.0.0.1:7070"]),
            (&["other", "me"], true, &["10.0.0.9:7000"]),
            (&["me", "10.0.0.7"], false, &["10.0.0.7:7000"]),
            // Who is first is known without its address.
            (&["absent", "me", "10.0.0.7"], false, &["10.0.0.7:7000"]),
            // Another process at the same address is another node.
            (&["10.0.0.2:7001"], false, &["10.0.0.2:7001"]),
            (&["127.0.0.1"], true, &[]),
        ] {
            let seeds = resolved(written).expect("some have addresses");
            assert_eq!(
                (seeds.founds, seeds.others),
                (founds, others(expected)),
                "{written:?}"
            );
        }
    }

    #[test]
    fn seeds_without_addresses_are_named() {
        let error = resolved(&["absent", "me"]).expect_err("the one that founds cannot be asked");
        assert!(error.to_string().contains("absent"), "{error}");
    }
}
