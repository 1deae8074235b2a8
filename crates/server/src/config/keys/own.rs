//! Keys that only Helenus has.

use super::Kind::*;
use super::State::*;
use super::{Key, key};

/// Helenus' own.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("helenus_shards", Integer, "", &[], Effective("Threads that serve data, each with its share of the tokens. Unset: one for each core. May be changed at any restart.")),
    key("helenus_memory", Text, "", &[], Effective("What the process may use, as `2GiB` or `2G`; `--memory` sets it. Unset: half of the machine's, or of the container's limit.")),
    key("helenus_io_threads", Integer, "", &[], Effective("Threads that read and write files for the shards where clients wait for it; half as many beside them write SSTables. Unset: twice the shards, at least 2.")),
    key("helenus_disk_access", Word(&["pread"]), "pread", &[], Effective("How files are read and written: `pread`, by the threads of `helenus_io_threads`.")),
    key("helenus_on_rot", Word(&["refuse", "skip"]), "refuse", &[], Effective("What a start does when a record of the commit log that was synced is not what was written, or a segment is missing: `refuse` ends it and names file and offset; `skip` goes on without what cannot be read and counts it. For one start, by an operator who knows that the data is elsewhere or lost.")),
    key("helenus_read_gate", Word(&["warn", "strict"]), "warn", &[], Effective("What becomes of a read at ONE or LOCAL_ONE when no replica that could be asked is known to have caught up: `warn` answers it with a warning and counts it, `strict` refuses it as Unavailable.")),
    key("helenus_journal_space", Size, "4GiB", &[], Effective("Bytes of commit log that this node keeps for replicas that were away, beyond what it needs itself. Above it the oldest is given away, after it is written down durably who lacks what of it.")),
    key("helenus_repair_interval", Duration, "1h", &[], Effective("After a round of repair over everything that this node is the first replica of, the next one begins so much later. It takes about a tenth of a thread at the most. `0s`: none.")),
    key("helenus_shard_aware_port", Integer, "19042", &[], Effective("Port where a client chooses its shard by its own source port, as Scylla's drivers do. 0: none. If the default is taken, there is none, with a warning.")),
    key("helenus_admin_address", Text, "127.0.0.1:7199", &[], Effective("Where `/metrics`, `/health` and the admin API listen. Empty: nowhere. Off loopback only with `authenticator: PasswordAuthenticator`: then all but `/metrics` and `/health` wants a superuser's name and password (HTTP Basic; put TLS before it). Requests of web pages (with an `Origin` header, or a `Host` that is neither `localhost` nor a loopback address) are refused with 403.")),
    key("helenus_availability_zone", Text, "", &[], Effective("The zone this node runs in, as the cloud names it (`us-east-1a`, `us-central1-a`, `eastus-1`): what the clouds' snitches make data centre and rack of.")),
    key("helenus_dc", Text, "", &[], Effective("Data centre of this node. Unset: what `endpoint_snitch` says, else `datacenter1`.")),
    key("helenus_rack", Text, "", &[], Effective("Rack of this node. Unset: what `endpoint_snitch` says, else `rack1`.")),
    key("helenus_replace_address_first_boot", Text, "", &[], Effective("Address of a dead member whose tokens a node with an empty data directory takes over, as `-Dcassandra.replace_address_first_boot` does. It has the same address or another; it never founds a cluster.")),
    key("helenus_max_requests_in_flight_per_connection", Integer, "2048", &[], Effective("Requests of one connection that may wait for their answers. Above it nothing more is read from that connection until some are answered.")),
];
