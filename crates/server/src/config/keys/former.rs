//! Keys that a `cassandra.yaml` of 3.x or 4.x may have and 5.0 no longer knows.

use super::Kind::*;
use super::State::*;
use super::{Key, key};

const NO_THRIFT: &str = "CQL; Thrift is gone since Cassandra 4.0";
const NO_NEED: &str = "nothing: it tunes what Helenus does not have";

/// Of the past.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("start_rpc", Flag, "false", &[], Replaced(NO_THRIFT)),
    key("rpc_port", Integer, "9160", &[], Replaced(NO_THRIFT)),
    key("rpc_server_type", Text, "sync", &[], Replaced(NO_THRIFT)),
    key("rpc_min_threads", Integer, "16", &[], Replaced(NO_THRIFT)),
    key("rpc_max_threads", Integer, "2147483647", &[], Replaced(NO_THRIFT)),
    key("rpc_send_buff_size_in_bytes", Integer, "", &[], Replaced(NO_THRIFT)),
    key("rpc_recv_buff_size_in_bytes", Integer, "", &[], Replaced(NO_THRIFT)),
    key("rpc_listen_backlog", Integer, "50", &[], Replaced(NO_THRIFT)),
    key("thrift_framed_transport_size_in_mb", Integer, "15", &[], Replaced(NO_THRIFT)),
    key("thrift_max_message_length_in_mb", Integer, "16", &[], Replaced(NO_THRIFT)),
    key("thrift_prepared_statements_cache_size_mb", Integer, "", &[], Replaced(NO_THRIFT)),
    key("request_scheduler", Text, "", &[], Replaced(NO_THRIFT)),
    key("request_scheduler_options", Tree, "", &[], Replaced(NO_THRIFT)),
    key("request_scheduler_id", Text, "", &[], Replaced(NO_THRIFT)),
    key("native_transport_max_negotiable_protocol_version", Integer, "", &[], Replaced("`native_transport_allow_older_protocols`")),
    key("concurrent_replicates", Integer, "", &[], Replaced("one shard per core, see `helenus_shards`")),
    key("commitlog_sync_batch_window_in_ms", Number, "", &[], Replaced("`commitlog_sync: batch`, which waits for nothing")),
    key("commitlog_periodic_queue_size", Integer, "-1", &[], Replaced(NO_NEED)),
    key("index_interval", Integer, "", &[], Replaced("`min_index_interval` of each table")),
    key("file_cache_size_in_bytes", Integer, "", &[], Replaced("one budget for the process, see `helenus_memory`")),
    key("multi_threaded_compaction", Flag, "false", &[], Replaced("one shard per core, see `helenus_shards`")),
    key("in_memory_compaction_limit_in_mb", Integer, "", &[], Replaced(NO_NEED)),
    key("compaction_preheat_key_cache", Flag, "true", &[], Replaced(NO_NEED)),
    key("populate_io_cache_on_flush", Flag, "false", &[], Replaced(NO_NEED)),
    key("preheat_kernel_page_cache", Flag, "false", &[], Replaced(NO_NEED)),
    key("memory_allocator", Text, "", &[], Replaced(NO_NEED)),
    key("memtable_total_space_in_mb", Integer, "", &[], Replaced("one budget for the process, see `helenus_memory`")),
    key("memtable_flush_queue_size", Integer, "4", &[], Replaced("one budget for the process, see `helenus_memory`")),
    key("reduce_cache_sizes_at", Number, "", &[], Replaced("one budget for the process, see `helenus_memory`")),
    key("reduce_cache_capacity_to", Number, "", &[], Replaced("one budget for the process, see `helenus_memory`")),
    key("flush_largest_memtables_at", Number, "", &[], Replaced("one budget for the process, see `helenus_memory`")),
];
