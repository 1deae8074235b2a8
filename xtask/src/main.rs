//! Development tasks: `cargo xtask test | tidy | golden | sim | bench | server`.

fn main() {}
