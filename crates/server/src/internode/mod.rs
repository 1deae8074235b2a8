//! The wire between nodes: sockets for what `cluster::internode` says.
//!
//! The process has one [`Wire`] (settings, certificates, who is let in) and one [`PeerAcceptor`], which hears what a
//! connection begins with and hands it to the shard it is for. Each shard has an [`Endpoint`]: the connections it opened,
//! one for each peer and class, on which it sends, and those that shards of peers opened to it, on which it receives.
//!
//! The endpoint belongs to the shard's thread. The shard's turn appends messages with [`Endpoint::send`] and ends with
//! [`Endpoint::flush`]: one write for each connection. What comes is told to a [`PeerEvents`], in the tasks that read,
//! never within a call of the endpoint.
//!
//! What must stay true:
//! - A peer that does not read costs what its queues may hold and no more; a message that does not fit is dropped,
//!   counted, and the node is told.
//! - A message is sent at most once, and in the order of its class; one that was on its way when a connection ended may
//!   have arrived or not.
//! - Wrong bytes cost the connection they came on, and nothing else.

mod acceptor;
mod backoff;
mod encryption;
mod endpoint;
mod incoming;
mod link;
mod metrics;
mod opening;
mod ports;
pub mod seeds;
mod socket;
mod transport;
mod wire;

pub use acceptor::{Arrival, NewPeer, PeerAcceptor, PeerTarget, Port};
pub use endpoint::{Endpoint, PeerEvents};
pub use metrics::{PeerBook, PeerCollector, PeerMetrics};
pub use ports::InternodePorts;
pub use seeds::SeedsError;
pub use wire::Wire;

#[cfg(test)]
mod tests;
