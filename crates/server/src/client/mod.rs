//! The native transport: connections, what they may take, and how they are spread over the shards.

mod acceptor;
mod admission;
mod connection;
mod doors;
mod out_buffers;
mod rate;
mod tls;
mod waiting;

pub use acceptor::{Acceptor, Choice, Target};
pub use admission::{Admission, Admitted, Verdict};
pub use connection::{Connection, Limits, Progress};
pub use doors::Doors;
pub use out_buffers::OutBuffers;
pub use rate::RateLimit;
pub use tls::Encryption;
pub use waiting::Waiting;
