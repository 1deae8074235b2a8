//! The simulator: seeded clock, disk and workloads with checkers, and every fuzzer in one registry.
//!
//! One seed, one history: everything random comes from one generator, and nothing else decides.

pub mod cluster;
pub mod disk;
pub mod fuzz;
pub mod node;
pub mod planted;
pub mod random;
pub mod storage;
