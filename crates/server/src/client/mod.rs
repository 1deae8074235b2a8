//! The native transport: connections, what they may take, and how they are spread over the shards.

mod acceptor;
mod admission;
mod connection;
mod rate;
mod tls;
mod waiting;

pub use acceptor::{Acceptor, Choice, Target};
pub use admission::{Admission, Admitted, Verdict};
pub use connection::{Connection, Limits, OutBuffers, Progress};
pub use rate::RateLimit;
pub use tls::{Encryption, Session, TlsError};
pub use waiting::Waiting;
