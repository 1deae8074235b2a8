//! Every bound of the product, in one place, with the relations between them asserted when it is compiled.

/// Longest partition key, and longest clustering component, in bytes: Cassandra's limit, a 16-bit length.
pub const MAX_KEY_BYTES: usize = 65_535;
/// Longest name of a keyspace (`SchemaConstants.NAME_LENGTH` in Cassandra's documentation: 48).
pub const MAX_NAME_CHARS: usize = 48;
/// Longest name of a table: a file name of 255 bytes less `-` and the 32 digits of the table's id.
pub const MAX_TABLE_NAME_CHARS: usize = 222;
/// Largest TTL in seconds: 20 years, as Cassandra.
pub const MAX_TTL_SECONDS: i64 = 20 * 365 * 24 * 3600;
/// Latest second a cell may expire at. Cassandra 5.0 stores an unsigned 32-bit second (its formats `oa`, `da`).
pub const MAX_EXPIRY_SECONDS: i64 = u32::MAX as i64 - 1;
/// How deep terms, types and parentheses may nest.
pub const MAX_NESTING: usize = 64;
/// Largest encoded mutation; `commitlog_segment_size / 2` in Cassandra.
pub const MAX_MUTATION_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that the mutations of one statement with IN may have together, and those of the keys its IN relations make.
pub const MAX_STATEMENT_WRITE_BYTES: usize = 4 * MAX_MUTATION_BYTES;
/// Size of one commit-log segment.
pub const COMMITLOG_SEGMENT_BYTES: usize = 32 * 1024 * 1024;
/// Rows a page holds at most when the client asks for none or for more.
pub const MAX_PAGE_ROWS: usize = 1_000_000;
/// Bytes of rows after which a page ends early, so that no answer outgrows a frame.
pub const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;
/// Partitions one SELECT reads before others have their turn, and bytes it gathers.
pub const MAX_READS_A_TURN: usize = 128;
/// See [`MAX_READS_A_TURN`].
pub const MAX_READ_BYTES_A_TURN: usize = 1024 * 1024;
/// Partitions that one statement or batch may change which reads them first (list elements by index or value).
pub const MAX_READ_PARTITIONS: usize = 1_000;
/// Restrictions by `IN` may multiply to this many partitions in one statement.
pub const MAX_IN_COMBINATIONS: usize = 65_536;
/// Shards of one node.
pub const MAX_SHARDS: u32 = 256;
/// Bits of the token that the shard map leaves out: the value Scylla's drivers are told (`SCYLLA_SHARDING_IGNORE_MSB`).
pub const SHARDING_IGNORE_MSB: u32 = 12;
/// Answers one shard may be owed by another before it takes no more requests (but what one request sends at once).
pub const MAX_SHARD_QUEUE: usize = 16_384;
/// Passwords that may wait to be checked or hashed, per node: what two threads work off within the time a login has.
pub const MAX_WORK_QUEUE: usize = 256;
/// Bytes the metadata log may take before its entries are replaced by a snapshot, if that is much smaller.
pub const METADATA_LOG_BYTES: u64 = 1 << 20;
/// Longest name of a cluster, in bytes: nodes tell it to each other before they know anything of each other.
pub const MAX_CLUSTER_NAME_BYTES: usize = 1024;
/// Largest message between nodes: a page of rows with what belongs to it.
pub const MAX_INTERNODE_MESSAGE_BYTES: usize = 48 * 1024 * 1024;
/// Largest payload of a frame between nodes: one message with its length.
pub const MAX_INTERNODE_FRAME_BYTES: usize = MAX_INTERNODE_MESSAGE_BYTES + 8;
/// Payload of a frame between nodes that takes no further message, so that the first of many can be worked on while the
/// rest is on its way.
pub const INTERNODE_FRAME_BYTES: usize = 128 * 1024;
/// Connections of other nodes that may be in their handshake at once, per node; further ones are closed.
pub const MAX_INTERNODE_HANDSHAKES: usize = 512;
/// Connections of other nodes that one shard serves; further ones are closed. A thousand nodes have one for each class.
pub const MAX_INTERNODE_CONNECTIONS: usize = 4_096;

const _: () = assert!(MAX_MUTATION_BYTES * 2 <= COMMITLOG_SEGMENT_BYTES);
const _: () = assert!(MAX_INTERNODE_MESSAGE_BYTES > 2 * MAX_MUTATION_BYTES);
const _: () = assert!(MAX_INTERNODE_MESSAGE_BYTES > MAX_PAGE_BYTES);
const _: () = assert!(MAX_INTERNODE_FRAME_BYTES < u32::MAX as usize);
const _: () = assert!(INTERNODE_FRAME_BYTES < MAX_INTERNODE_FRAME_BYTES);
const _: () = assert!(MAX_CLUSTER_NAME_BYTES < u16::MAX as usize / 2);
const _: () = assert!(MAX_KEY_BYTES <= u16::MAX as usize);
const _: () = assert!(MAX_PAGE_BYTES < 256 * 1024 * 1024);
const _: () = assert!(MAX_TTL_SECONDS < MAX_EXPIRY_SECONDS);
