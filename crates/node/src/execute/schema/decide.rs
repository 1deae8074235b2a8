//! What a statement about the schema or the roles comes to, against the schema in force. Nothing is changed here.

use super::{Demand, SchemaAnswer};
use crate::effects::SlowWork;
use crate::shard::Shard;
use cql::ast::Statement as Syntax;
use cql::frame::response::{MetadataForm, RowsWriter};
use cql::frame::{ColumnSpec, ProtocolVersion, ResultMetadata};
use cql::plan::ddl::roles::{Authorization, Listing, RoleContext, RolePlan, User, plan_role};
use cql::plan::ddl::{self, DdlContext, SchemaPlan};
use model::env::Random;
use model::error::RequestError;
use model::schema::{SchemaEdit, Table};
use model::time::Now;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is to be done.
pub(super) enum Decision {
    /// All is as demanded.
    Nothing,
    /// This is the answer.
    Rows(Listing),
    /// A table is emptied.
    Truncate(Arc<Table>),
    /// The schema or the roles are changed.
    Change(Vec<SchemaEdit>, SchemaAnswer),
    /// A password is hashed on a worker thread, and then decided again.
    Hash(SlowWork),
}

impl Shard {
    /// Decides what a demand comes to; its answer gets the warnings.
    pub(super) fn decide(
        &mut self,
        demand: &mut Demand,
        now: Now,
    ) -> Result<Decision, RequestError> {
        let datacenters = self.datacenters();
        let new_id = uuid::Builder::from_random_bytes(self.random_bytes()).into_uuid();
        let context = DdlContext {
            keyspace: demand.wish.requester.keyspace.as_deref(),
            now_micros: self.clock.next(now),
            new_id,
            datacenters: &datacenters,
            virtual_keyspaces: &self.virtual_keyspaces,
            config: &self.config.ddl,
        };
        if let Syntax::Truncate(name) = &demand.wish.statement {
            let table = ddl::plan_truncate(name, &self.schema, &context)?;
            return Ok(Decision::Truncate(table));
        }
        let Some(planned) = ddl::plan(&demand.wish.statement, &self.schema, &context) else {
            return self.decide_roles(demand, &context);
        };
        match planned? {
            SchemaPlan::Nothing { warnings } => {
                demand.reply.warnings.extend(warnings);
                Ok(Decision::Nothing)
            }
            SchemaPlan::Change {
                edits,
                event,
                warnings,
            } => {
                demand.reply.warnings.extend(warnings);
                Ok(Decision::Change(edits, SchemaAnswer::Change(event)))
            }
        }
    }

    /// Roles and permissions. A password is hashed before its edit is stored.
    fn decide_roles(
        &self,
        demand: &Demand,
        context: &DdlContext<'_>,
    ) -> Result<Decision, RequestError> {
        let roles = RoleContext {
            user: demand
                .wish
                .requester
                .user
                .as_deref()
                .map_or(User::Anonymous, User::Role),
            passwords: self.config.password_authentication,
            authorization: Authorization::None,
        };
        let planned = plan_role(&demand.wish.statement, &self.schema, context, &roles);
        let planned = planned.ok_or_else(|| RequestError::not_supported("This statement is"))?;
        let edits = match (planned?, &demand.wish.salted_hash) {
            (RolePlan::Nothing, _) => return Ok(Decision::Nothing),
            (RolePlan::Rows(listing), _) => return Ok(Decision::Rows(listing)),
            (RolePlan::Change(edits), _) => edits,
            (RolePlan::HashPassword(change), Some(hash)) => change.edits(hash.clone()),
            (RolePlan::HashPassword(change), None) => {
                return Ok(Decision::Hash(SlowWork::HashPassword {
                    password: change.password.clone(),
                    cost: self.config.password_cost,
                }));
            }
        };
        Ok(Decision::Change(edits, SchemaAnswer::Void))
    }

    fn random_bytes(&mut self) -> [u8; 16] {
        let (high, low) = (self.random.next_u64(), self.random.next_u64());
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }

    fn datacenters(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for node in &self.topology.nodes {
            *counts.entry(node.datacenter.clone()).or_insert(0) += 1;
        }
        counts
    }
}

/// Appends the rows of a LIST.
pub(super) fn put_listing(buffer: &mut Vec<u8>, version: ProtocolVersion, listing: &Listing) {
    let specs = listing.columns.iter().map(|(name, ctype)| ColumnSpec {
        keyspace: "system_auth".into(),
        table: listing.table.into(),
        name: (*name).into(),
        cql_type: ctype.clone(),
    });
    let metadata = ResultMetadata::new(specs.collect());
    let mut writer = RowsWriter::begin(buffer, &metadata, version, MetadataForm::Full);
    for value in listing.rows.iter().flatten() {
        writer.cell(Some(value));
    }
    writer.finish(None);
}
