//! The answer to OPTIONS, with what Scylla's drivers need to find the shard of a token.
//!
//! A driver that knows these keys opens a connection to each shard (through the shard-aware port, where the source port
//! modulo the number of shards chooses it) and sends each request to the shard that owns its token: the token, its
//! first `SCYLLA_SHARDING_IGNORE_MSB` bits shifted out, scaled to the number of shards. A driver that does not know
//! them ignores them.

use cql::frame::ProtocolVersion;
use cql::frame::response::put_supported;
use model::limits::SHARDING_IGNORE_MSB;

/// CQL version that clients are told, as Cassandra 5.0.
const CQL_VERSION: &str = "3.4.7";
const PARTITIONER: &str = "org.apache.cassandra.dht.Murmur3Partitioner";

/// What one shard says of itself.
#[derive(Debug, Clone)]
pub struct ShardAwareness {
    options: Vec<(&'static str, String)>,
}

impl ShardAwareness {
    /// Of shard `shard` of `shards`.
    pub fn new(shard: u16, shards: u16, shard_aware_port: Option<u16>) -> Self {
        let mut options = vec![
            ("SCYLLA_SHARD", shard.to_string()),
            ("SCYLLA_NR_SHARDS", shards.to_string()),
            (
                "SCYLLA_SHARDING_ALGORITHM",
                "biased-token-round-robin".to_owned(),
            ),
            (
                "SCYLLA_SHARDING_IGNORE_MSB",
                SHARDING_IGNORE_MSB.to_string(),
            ),
            ("SCYLLA_PARTITIONER", PARTITIONER.to_owned()),
        ];
        if let Some(port) = shard_aware_port {
            options.push(("SCYLLA_SHARD_AWARE_PORT", port.to_string()));
        }
        Self { options }
    }

    /// Appends the whole SUPPORTED answer.
    pub fn put(&self, out: &mut Vec<u8>, version: ProtocolVersion, stream: i16) {
        put_supported(out, version, stream, CQL_VERSION, &self.options);
    }
}
