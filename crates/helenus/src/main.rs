//! The `helenus` command line. Thin: every subcommand is a call into the crate that does the work.

mod banner;
mod cli;
mod cluster;
mod log;
mod metadata;
mod nodetool;

use clap::Parser;
use cli::{Cli, Command, StartOptions};
use server::config::{Profile, Sources};
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let started = Instant::now();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.first().is_some_and(|name| is_nodetool(name)) {
        return nodetool::run(&arguments[1..]);
    }
    match Cli::parse().command {
        None => start(Profile::Dev, StartOptions::default(), started),
        Some(Command::Dev(options)) if options.nodes.is_some() || options.topology.is_some() => {
            cluster::run(&options, started).unwrap_or_else(|error| fail(&error))
        }
        Some(Command::Dev(options)) => start(Profile::Dev, options.into(), started),
        Some(Command::Metadata { action }) => {
            metadata::run(&action).unwrap_or_else(|error| fail(&*error))
        }
        Some(Command::Nodetool { arguments }) => nodetool::run(&arguments),
        Some(Command::Server(options)) => start(Profile::Server, options, started),
    }
}

/// Whether the program was called by the name of Cassandra's tool, as a link has it.
fn is_nodetool(program: &str) -> bool {
    std::path::Path::new(program).file_name() == Some("nodetool".as_ref())
}

fn start(profile: Profile, options: StartOptions, started: Instant) -> ExitCode {
    let environment = match profile {
        Profile::Dev => Vec::new(),
        // A variable that is no text cannot be one of those that count.
        Profile::Server => std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
    };
    let settings = match server::config::load(&Sources {
        profile,
        file: options.config,
        environment,
        overrides: options.set,
        data_directory: options.data_dir,
        seeds: options.seeds,
        memory: options.memory,
    }) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    log::start();
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let ready = |serving: server::process::Serving| {
        print!(
            "{}",
            banner::text(profile, &settings, &serving.addresses, started.elapsed())
        );
    };
    match server::node::run(&settings, ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("helenus: {error}");
    ExitCode::FAILURE
}
