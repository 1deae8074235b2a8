//! The log: lines on standard error, `info` and above unless `HELENUS_LOG` says otherwise (`debug`, `server=debug`, …), or
//! an operator while it runs.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What is logged if nobody says otherwise.
const DEFAULT: &str = "info";

/// Starts writing.
pub fn start() {
    let wanted = std::env::var("HELENUS_LOG");
    let wanted = wanted.unwrap_or_else(|_| DEFAULT.to_owned());
    let (directives, filter) = match EnvFilter::try_new(&wanted) {
        Ok(filter) => (wanted.as_str(), filter),
        Err(_) => (DEFAULT, EnvFilter::new(DEFAULT)),
    };
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colours)
        .with_filter_reloading();
    let handle = builder.reload_handle();
    builder.init();
    let replace = move |directives: &str| {
        let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    };
    server::log_levels::install(directives, Box::new(replace));
}
