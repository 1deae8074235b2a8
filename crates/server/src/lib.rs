//! The shell: threads, sockets, timers, disks, admin API, metrics, configuration. The only crate that knows tokio or the
//! operating system.
//!
//! [`config`] reads what to start, [`shard`] is the loop of one shard's thread, [`client`] the native transport,
//! [`disk`] the threads that read and write files.

pub mod admin;
pub mod client;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod disk;
pub mod internode;
pub mod listen;
pub mod lock;
pub mod log_levels;
pub mod metrics;
pub mod node;
pub mod offline;
mod panic;
pub mod process;
pub mod shard;
pub mod tls;
pub mod work;
