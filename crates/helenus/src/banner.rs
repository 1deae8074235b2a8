//! What is printed once clients are served: where to connect, with lines to paste.

use server::config::{Profile, Settings};
use server::process::Addresses;
use std::fmt::Write;
use std::time::Duration;

/// The lines.
pub fn text(
    profile: Profile,
    settings: &Settings,
    addresses: &Addresses,
    took: Duration,
) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Helenus {} serves \"{}\" ({}/{}) after {:.2} s: {} shards, data in {}, process {}",
        env!("CARGO_PKG_VERSION"),
        settings.cluster_name,
        settings.dc,
        settings.rack,
        took.as_secs_f64(),
        settings.shards,
        settings.data_directory.display(),
        std::process::id(),
    );
    let _ = writeln!(text, "  CQL     {}", addresses.native);
    if let Some(admin) = addresses.admin {
        let _ = writeln!(
            text,
            "  admin   http://{admin}/api/v1/info  http://{admin}/metrics"
        );
    }
    if profile == Profile::Dev {
        paste(&mut text, settings, addresses);
    }
    text
}

/// The lines for a cluster in one process.
pub fn of_cluster<'a>(
    nodes: impl Iterator<Item = (&'a Settings, &'a Addresses)>,
    took: Duration,
) -> String {
    let mut text = String::new();
    let mut first = None;
    for (settings, addresses) in nodes {
        if first.is_none() {
            let _ = writeln!(
                text,
                "Helenus {} serves \"{}\" after {:.2} s, process {}",
                env!("CARGO_PKG_VERSION"),
                settings.cluster_name,
                took.as_secs_f64(),
                std::process::id(),
            );
        }
        let admin = addresses
            .admin
            .map_or_else(String::new, |admin| format!("  admin http://{admin}"));
        let _ = writeln!(
            text,
            "  CQL     {}  {}/{}  {} shards  data in {}{admin}",
            addresses.native,
            settings.dc,
            settings.rack,
            settings.shards,
            settings.data_directory.display(),
        );
        first.get_or_insert((settings, addresses));
    }
    if let Some((settings, addresses)) = first {
        paste(&mut text, settings, addresses);
    }
    text
}

/// Lines to paste.
fn paste(text: &mut String, settings: &Settings, addresses: &Addresses) {
    let (host, port) = (addresses.native.ip(), addresses.native.port());
    let dc = &settings.dc;
    let _ = writeln!(text, "\n  cqlsh   cqlsh {host} {port}");
    let _ = writeln!(
        text,
        "  Python  from cassandra.cluster import Cluster; session = Cluster(['{host}'], port={port}).connect()"
    );
    let _ = writeln!(
        text,
        "  Java    CqlSession.builder().addContactPoint(new InetSocketAddress(\"{host}\", {port})).withLocalDatacenter(\"{dc}\").build()"
    );
    let _ = writeln!(text, "\nCtrl-C ends it.");
}
