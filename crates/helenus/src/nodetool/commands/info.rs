//! `version`, `info`: who a node is.

use crate::nodetool::parse::Invocation;
use crate::nodetool::report::{Outcome, Report};
use crate::nodetool::spec::{Command, Run, flag};
use crate::nodetool::units::{shortest, size};
use server::admin::answer::{Cache, Info, Life};
use server::admin::client::Client;
use std::fmt::Write;

#[rustfmt::skip]
pub const COMMANDS: &[Command] = &[
    Command { name: "version", about: "Print cassandra version", options: &[flag(&["--verbose", "-v"], "Include additional information")], arguments: "", at_least: 0, at_most: 0, run: Run::Do(version) },
    Command { name: "info", about: "Print node information (uptime, load, ...)", options: &[flag(&["--tokens", "-T"], "Display all tokens")], arguments: "", at_least: 0, at_most: 0, run: Run::Do(info) },
];

const MIB: f64 = 1_048_576.0;

fn version(invocation: &Invocation, client: &Client) -> Outcome {
    let info: Info = client.ask("GET", "/api/v1/info", &[])?;
    let mut text = format!("ReleaseVersion: {}\n", info.release_version);
    if invocation.has("--verbose") {
        let _ = writeln!(text, "HelenusVersion: {}", info.version);
    }
    let shown = serde_json::json!({
        "release_version": info.release_version,
        "version": info.version,
    });
    Report::new(&shown, text)
}

fn info(invocation: &Invocation, client: &Client) -> Outcome {
    let info: Info = client.ask("GET", "/api/v1/info", &[])?;
    Report::new(&info, text(&info, invocation.has("--tokens")))
}

fn text(info: &Info, tokens: bool) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<23}: {value}");
    };
    line("ID", info.host_id.to_string());
    line("Gossip active", info.gossip_running.to_string());
    line("Native Transport active", info.native_running.to_string());
    line("Load", size(info.load_bytes));
    line("Uncompressed load", size(info.raw_bytes));
    line("Generation No", info.generation.to_string());
    line("Uptime (seconds)", info.uptime_seconds.to_string());
    let (used, most) = (info.memory_used_bytes as f64, info.memory_bytes as f64);
    line(
        "Heap Memory (MB)",
        format!("{:.2} / {:.2}", used / MIB, most / MIB),
    );
    line("Off Heap Memory (MB)", "0.00".to_owned());
    line("Data Center", info.dc.clone());
    line("Rack", info.rack.clone());
    // A shard that panics ends the process, so no one that answers has had any.
    line("Exceptions", "0".to_owned());
    line("Chunk Cache", cache(&info.block_cache));
    match info.tokens.as_slice() {
        [] => line("Token", "(node is not joined to the cluster)".to_owned()),
        [token] => line("Token", token.to_string()),
        all if tokens => all
            .iter()
            .for_each(|token| line("Token", token.to_string())),
        all => line(
            "Token",
            format!("(invoke with -T/--tokens to see all {} tokens)", all.len()),
        ),
    }
    let bootstrapped = match info.life {
        Life::Joining => "IN_PROGRESS",
        Life::Normal | Life::Leaving | Life::Moving => "COMPLETED",
    };
    line("Bootstrap state", bootstrapped.to_owned());
    line("Bootstrap failed", "false".to_owned());
    let leaves = info.life == Life::Leaving;
    line("Decommissioning", leaves.to_string());
    line("Decommission failed", "false".to_owned());
    text
}

fn cache(cache: &Cache) -> String {
    let rate = match cache.requests {
        0 => "NaN".to_owned(),
        requests => shortest(cache.hits as f64 / requests as f64, 3),
    };
    format!(
        "size {}, capacity {}, {} misses, {} requests, {rate} recent hit rate",
        size(cache.size_bytes),
        size(cache.capacity_bytes),
        cache.requests - cache.hits,
        cache.requests,
    )
}
