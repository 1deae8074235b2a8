//! The `helenus` command line. Thin: every subcommand is a call into the crate that does the work.

fn main() {}
