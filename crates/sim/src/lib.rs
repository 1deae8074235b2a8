//! The simulator: seeded clock, disk and workloads with checkers, and every fuzzer in one registry.
