//! `cargo xtask bench`: builds Helenus and the benchmark for release and runs it; see `bench/src/main.rs`.

use crate::paths::{self, Profile};
use crate::{TaskResult, cassandra};
use std::process::Command;

/// Runs it with these arguments.
pub fn run(arguments: &[&str]) -> TaskResult {
    let root = paths::root();
    // Without Helenus among the targets it need not compile.
    let without_helenus = arguments
        .windows(2)
        .any(|pair| pair[0] == "--targets" && !pair[1].split(',').any(|name| name == "helenus"));
    let mut benchmark = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    benchmark
        .args(["run", "--quiet", "--release", "--package", "bench", "--"])
        .current_dir(&root);
    if !without_helenus {
        benchmark
            .arg("--helenus")
            .arg(paths::helenus(Profile::Release)?);
        if arguments.contains(&"--nodes") {
            benchmark
                .arg("--measured-node")
                .arg(paths::measured_node()?);
        }
    }
    let launcher = std::env::current_exe().map_err(|error| error.to_string())?;
    let home = paths::cache().join(format!("cassandra-{}", cassandra::VERSION));
    benchmark.arg("--launcher").arg(launcher);
    benchmark.arg("--cassandra-home").arg(home);
    benchmark.arg("--root").arg(&root).args(arguments);
    match benchmark.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the benchmark ended with {status}")),
        Err(error) => Err(format!("cargo: {error}")),
    }
}
