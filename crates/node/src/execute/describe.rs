//! DESCRIBE: answered by the server, from the schema in force.

use super::call::{Call, Terms};
use crate::effects::Effects;
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
        call: &mut Call<'_>,
        statement: &Describe,
        terms: &Terms,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), RequestError> {
        let requester = &call.requester;
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
            // Cassandra names the wrapper it puts around every snitch.
            snitch: "DynamicEndpointSnitch".to_owned(),
            range_ownership: requester.keyspace.as_ref().map(|_| self.range_ownership()),
        };
        let scope = Scope {
            keyspaces: &keyspaces,
            current: requester.keyspace.as_deref(),
            cluster: &cluster,
        };
        let answer = describe::describe(statement, scope)?;
        let specs = answer.columns.iter().map(|(name, ctype)| ColumnSpec {
            keyspace: describe::KEYSPACE.into(),
            table: describe::TABLE.into(),
            name: (*name).into(),
            cql_type: ctype.clone(),
        });
        let metadata = ResultMetadata::new(specs.collect());
        // The paging state is how many rows were answered before.
        let start = terms
            .paging_state
            .as_deref()
            .and_then(|state| state.try_into().ok())
            .map_or(0, u32::from_be_bytes) as usize;
        let rest = answer.rows.get(start..).unwrap_or_default();
        let size = terms
            .page_size
            .map_or(rest.len(), |size| size as usize)
            .min(rest.len());
        let page = &rest[..size];
        let next = (size < rest.len()).then(|| ((start + size) as u32).to_be_bytes().to_vec());
        let reply = call.take_reply();
        let version = reply.version;
        self.succeed(&reply, now, out, |buffer| {
            let mut writer = RowsWriter::begin(buffer, &metadata, version, MetadataForm::Full);
            for cell in page.iter().flatten() {
                writer.cell(Some(cell));
            }
            writer.finish(next.as_deref());
        });
        Ok(())
    }
}
