//! A node for the benchmark: as `helenus server` starts one, or the same without mutation tracking, so that what that costs can be
//! measured within one build. Not an option of `helenus`: nothing that is promised of replicas holds without.
//!
//! `measured_node server|untracked [--data-dir DIR] [--memory SIZE] [--seeds IP] [--set KEY=VALUE]…`

use model::policy::Policy;
use server::config::{Profile, Sources};
use std::error::Error;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let policy = match arguments.next().as_deref() {
        Some("server") => Policy::default(),
        Some("untracked") => Policy::untracked(),
        _ => return Err("server or untracked".into()),
    };
    let mut sources = Sources {
        profile: Profile::Server,
        ..Sources::default()
    };
    while let Some(option) = arguments.next() {
        let value = arguments.next();
        let value = value.ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--data-dir" => sources.data_directory = Some(value.into()),
            "--memory" => sources.memory = Some(value),
            "--seeds" => sources.seeds = Some(value),
            "--set" => sources.overrides.push(value),
            _ => return Err(format!("{option} is not known").into()),
        }
    }
    let settings = server::config::load(&sources)?;
    server::node::run_by(&settings, policy, |_| {})?;
    Ok(())
}
