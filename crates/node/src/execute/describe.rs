//! DESCRIBE: answered by the server, from the schema in force.

use super::request::Requester;
use crate::effects::Effects;
use crate::reply::Reply;
use crate::shard::Shard;
use cql::ast::Describe;
use cql::describe::{self, ClusterFacts, Scope};
use cql::frame::response::{MetadataForm, RowsWriter};
use cql::frame::{ColumnSpec, ResultMetadata};
use model::error::RequestError;
use model::schema::Keyspace;
use model::time::Now;
use std::collections::BTreeMap;

impl Shard {
    /// The replicas of each range by the token that ends it.
    fn range_ownership(&self) -> BTreeMap<String, Vec<String>> {
        let node = self.topology.local();
        let endpoint = format!("{0}/{0}:7000", node.client_address.ip());
        node.tokens
            .iter()
            .map(|token| (token.0.to_string(), vec![endpoint.clone()]))
            .collect()
    }

    pub(super) fn describe_statement(
        &mut self,
        requester: &Requester,
        statement: &Describe,
        reply: Reply,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), (Reply, RequestError)> {
        let keyspaces: Vec<&Keyspace> = self
            .schema
            .keyspaces
            .values()
            .chain(self.virtual_keyspaces.values())
            .map(AsRef::as_ref)
            .collect();
        let cluster = ClusterFacts {
            name: self.topology.cluster_name.clone(),
            partitioner: "Murmur3Partitioner".to_owned(),
            snitch: self.config.snitch.clone(),
            range_ownership: requester.keyspace.as_ref().map(|_| self.range_ownership()),
        };
        let scope = Scope {
            keyspaces: &keyspaces,
            current: requester.keyspace.as_deref(),
            cluster: &cluster,
        };
        let answer = match describe::describe(statement, scope) {
            Ok(answer) => answer,
            Err(error) => return Err((reply, error)),
        };
        let specs = answer.columns.iter().map(|(name, ctype)| ColumnSpec {
            keyspace: describe::KEYSPACE.into(),
            table: describe::TABLE.into(),
            name: (*name).into(),
            cql_type: ctype.clone(),
        });
        let metadata = ResultMetadata::new(specs.collect());
        reply.result(out, |buffer| {
            let mut writer =
                RowsWriter::begin(buffer, &metadata, reply.version, MetadataForm::Full);
            for cell in answer.rows.iter().flatten() {
                writer.cell(Some(cell));
            }
            writer.finish(None);
        });
        self.finish_trace(&reply, now, out);
        Ok(())
    }
}
