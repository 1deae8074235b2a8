//! What this shard shows of itself in system tables, and reads of those tables.
//!
//! Each shard sends its facts to the others once a second while they change, so whichever answers shows the node.

use crate::client::Stage;
use crate::effects::Effects;
use crate::message::ShardMessage;
use crate::shard::Shard;
use crate::snapshots::Snapshots;
use crate::system::{
    self, CacheFact, ClientFact, NodeFacts, NodeView, PoolFact, StatementFact, TableFact, TaskFact,
};
use model::read::{ReadCommand, ReadResponse};
use model::schema::Table;
use model::time::Now;
use std::sync::Arc;
use storage::{JobKind, StoreStats};
use uuid::Uuid;

impl Shard {
    /// Answers a read of a computed table.
    pub(crate) fn read_virtual(
        &mut self,
        table: &Table,
        command: &ReadCommand,
        now: Now,
    ) -> ReadResponse {
        self.replica.latencies.tick(now.boot);
        self.facts[usize::from(self.number)] = Some(Arc::new(self.collect_facts()));
        let view = NodeView {
            schema: &self.schema,
            virtual_keyspaces: &self.virtual_keyspaces,
            topology: &self.topology,
            outlook: &self.outlook,
            listen_address: self.config.listen_address,
            generation: self.config.started_seconds,
            settings: &self.config.settings,
            properties: &self.config.properties,
            facts: self.facts.iter().filter_map(Option::as_deref).collect(),
            now,
        };
        system::read(table, command, &view)
    }

    /// Sends this shard's facts to the others, if they changed.
    pub(crate) fn share_facts(&mut self, out: &mut Effects) {
        if self.config.shards == 1 {
            return;
        }
        let facts = self.collect_facts();
        let own = usize::from(self.number);
        if self.facts[own].as_deref() == Some(&facts) {
            return;
        }
        let facts = Arc::new(facts);
        self.facts[own] = Some(facts.clone());
        for shard in self.other_shards() {
            out.messages
                .push((shard, ShardMessage::Facts(facts.clone())));
        }
    }

    /// A plain description of the shard's state, for SIGQUIT and the admin API.
    pub fn describe(&self) -> String {
        format!(
            "shard {}: {} clients, {} operations in flight, {} waiting for a partition, {} bytes of answers held, {} prepared statements, schema epoch {}; {}; {}",
            self.number,
            self.clients.len(),
            self.operations.len(),
            self.partitions.waiting(),
            self.answers.used(),
            self.statements.len(),
            self.schema.epoch,
            self.metrics,
            self.replica.describe(),
        )
    }

    pub(crate) fn collect_facts(&self) -> NodeFacts {
        let stats = self.replica.store.stats();
        let mut tables = Vec::with_capacity(stats.tables.len());
        for table in &stats.tables {
            let partitions = table.partitions + table.memtable_partitions as u64;
            let mut fact = TableFact::new(table.table);
            fact.disk_bytes = table.disk_bytes;
            fact.partitions = partitions;
            fact.mean_partition_bytes = table.raw_bytes.checked_div(table.partitions).unwrap_or(0);
            self.replica.latencies.fill(&mut fact);
            tables.push(fact);
        }
        let tasks = stats.jobs.iter().map(|job| TaskFact {
            table: job.table,
            id: Uuid::from_u64_pair(u64::from(self.number) << 48 | 0x1000, job.id | 1 << 63),
            kind: match job.kind {
                JobKind::Flush => "flush",
                JobKind::Compaction => "compaction",
            },
            progress: job.output_bytes,
            total: job.input_bytes,
            unit: "bytes",
            sstables: 0,
        });
        NodeFacts {
            clients: self.clients.values().map(client_fact).collect(),
            queries: Vec::new(),
            statements: self.statement_facts(),
            pools: self.pool_facts(&stats),
            caches: vec![CacheFact {
                name: "chunks".to_owned(),
                capacity_bytes: self.config.cache_bytes_per_shard,
                size_bytes: stats.cache_bytes as u64,
                entries: 0,
                requests: stats.cache_hits + stats.cache_misses,
                hits: stats.cache_hits,
                ..CacheFact::default()
            }],
            tables,
            hot: self.replica.hot.facts(),
            tasks: tasks.collect(),
            repairs: self.repairs.shown(),
            groups: self.group_facts(self.stopwatch.boot()),
            snapshots: self
                .snapshots
                .as_ref()
                .map(Snapshots::shown)
                .unwrap_or_default(),
            regular_executed: self.metrics.regular_executed,
            prepared_executed: self.metrics.prepared_executed,
            prepared_evicted: self.statements.evicted,
        }
    }

    fn statement_facts(&self) -> Vec<StatementFact> {
        let fact = |statement: &Arc<crate::statement::Statement>| StatementFact {
            id: statement.id,
            keyspace: statement.keyspace.clone(),
            query: statement.text.clone(),
        };
        self.statements.iter().map(fact).collect()
    }

    /// What other servers have as thread pools: shares of the shard.
    fn pool_facts(&self, stats: &StoreStats) -> Vec<PoolFact> {
        let pool = |name: &str, active: usize, completed: u64| PoolFact {
            name: name.to_owned(),
            active: active as u32,
            active_limit: self.config.max_requests_in_flight as u32,
            completed,
            ..PoolFact::default()
        };
        let jobs = |kind| stats.jobs.iter().filter(|job| job.kind == kind).count();
        let tables = || stats.tables.iter();
        vec![
            pool(
                "Native-Transport-Requests",
                self.operations.len(),
                self.metrics.requests,
            ),
            pool("ReadStage", 0, self.metrics.replica_reads),
            pool("MutationStage", 0, self.metrics.replica_writes),
            pool(
                "CompactionExecutor",
                jobs(JobKind::Compaction),
                tables().map(|table| table.compactions).sum(),
            ),
            pool(
                "MemtableFlushWriter",
                jobs(JobKind::Flush),
                tables().map(|table| table.flushes).sum(),
            ),
        ]
    }
}

fn client_fact(client: &crate::client::Client) -> ClientFact {
    ClientFact {
        address: client.address,
        stage: match client.stage {
            Stage::Fresh => "establishing",
            Stage::Authenticating | Stage::Verifying => "authenticating",
            Stage::Ready => "ready",
        },
        options: client.options.clone(),
        protocol_version: client.version as u8,
        keyspace: client.keyspace.as_deref().map(str::to_owned),
        user: client.user.as_deref().map(str::to_owned),
        requests: client.requests,
        tls: client.tls,
    }
}
