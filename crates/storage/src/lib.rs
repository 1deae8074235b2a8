//! One shard's durable data: commit log, memtable, SSTable, flush, compaction, read, cache. Sans-I/O.
