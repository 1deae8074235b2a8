//! The log: lines on standard error, `info` and above unless `HELENUS_LOG` says otherwise (`debug`, `server=debug`, …).

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts writing.
pub fn start() {
    let filter = EnvFilter::try_from_env("HELENUS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colours)
        .init();
}
