//! The shell: threads, sockets, timers, disks, admin API, metrics, configuration.

pub mod config;
