//! Where things are: the repository, and the cache for what is downloaded.

use crate::TaskResult;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A build profile.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As `cargo build` builds.
    #[default]
    Debug,
    /// As `cargo build --release` builds.
    Release,
}

/// The repository's top directory.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// `$HELENUS_CACHE`, or `helenus` in the user's cache directory.
pub fn cache() -> PathBuf {
    if let Some(set) = std::env::var_os("HELENUS_CACHE") {
        return PathBuf::from(set);
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let user = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    user.unwrap_or_else(std::env::temp_dir).join("helenus")
}

/// Builds `helenus` and tells where it is.
pub fn helenus(profile: Profile) -> TaskResult<PathBuf> {
    build(&["--package", "helenus"], profile, "helenus")
}

/// Builds the node that the benchmark compares with one that tracks nothing, for release, and tells where it is.
pub fn measured_node() -> TaskResult<PathBuf> {
    let what = ["--package", "server", "--example", "measured_node"];
    build(&what, Profile::Release, "examples/measured_node")
}

fn build(what: &[&str], profile: Profile, made: &str) -> TaskResult<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet"])
        .args(what)
        .current_dir(root());
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    let status = cargo.status().map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(format!("cargo build: {status}"));
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = if profile == Profile::Release {
        "release"
    } else {
        "debug"
    };
    Ok(target.join(folder).join(made))
}
