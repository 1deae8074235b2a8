//! Plans of the statements that change the schema: pure functions from statement, schema and context to the edits the
//! metadata log stores and the event clients get, or to the error Cassandra gives.
//!
//! The order of the checks is Cassandra's, since it decides which of several errors a client sees: what the text alone
//! says, then whether the keyspace may be changed at all, then the options, then existence (where IF [NOT] EXISTS ends
//! it), then everything else. A statement that would change nothing is [`SchemaPlan::Nothing`].
//!
//! Nothing here reads a clock or draws a random number: the context carries both.

mod alter_table;
mod compact;
mod compaction;
mod compatible;
mod compression;
mod create_table;
mod keyspace;
mod modifiable;
mod number;
mod properties;
mod replication;
pub mod roles;
mod speculative;
mod table_options;
mod unsupported;
mod user_type;

#[cfg(test)]
mod tests;

pub use create_table::define;

use super::{NOT_MODIFIABLE, SYSTEM};
use crate::ast::{Drop, QualifiedName, Statement};
use crate::frame::response::{SchemaChange, SchemaTarget};
use model::error::RequestError;
use model::schema::{Keyspace, Schema, SchemaEdit, Table, TableKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What of the configuration decides about schema statements; names as in `cassandra.yaml`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DdlConfig {
    pub materialized_views_enabled: bool,
    pub user_defined_functions_enabled: bool,
    pub sasi_indexes_enabled: bool,
    pub drop_compact_storage_enabled: bool,
    pub dynamic_data_masking_enabled: bool,
    /// Replication factor of a keyspace that says none.
    pub default_keyspace_rf: u32,
    /// Names a table's `memtable` option may have.
    pub memtable_configurations: Vec<String>,
}

impl Default for DdlConfig {
    fn default() -> Self {
        Self {
            materialized_views_enabled: false,
            user_defined_functions_enabled: false,
            sasi_indexes_enabled: false,
            drop_compact_storage_enabled: false,
            dynamic_data_masking_enabled: false,
            default_keyspace_rf: 1,
            memtable_configurations: vec!["default".into()],
        }
    }
}

/// What a schema statement is planned with, beside the schema.
#[derive(Debug, Clone, Copy)]
pub struct DdlContext<'a> {
    /// The keyspace in use.
    pub keyspace: Option<&'a str>,
    /// Wall clock in microseconds.
    pub now_micros: i64,
    /// An id never used before, for a table that is created.
    pub new_id: uuid::Uuid,
    /// Nodes by data centre.
    pub datacenters: &'a BTreeMap<String, u32>,
    /// The keyspaces that are not in the schema because they are computed (`system`, `system_schema`, …).
    pub virtual_keyspaces: &'a BTreeMap<String, Arc<Keyspace>>,
    /// The configuration.
    pub config: &'a DdlConfig,
}

/// What a schema statement comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaPlan {
    /// Nothing changes; the answer is a void result.
    Nothing {
        /// Warnings for the client.
        warnings: Vec<String>,
    },
    /// The schema changes.
    Change {
        /// What the metadata log stores, as one entry.
        edits: Vec<SchemaEdit>,
        /// What is answered, and sent to who registered for it.
        event: SchemaEvent,
        /// Warnings for the client.
        warnings: Vec<String>,
    },
}

/// A change of the schema as clients hear of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaEvent {
    /// What happened.
    pub change: SchemaChange,
    /// To what.
    pub target: SchemaTarget,
}

impl SchemaPlan {
    /// Nothing to do and nothing to say.
    const NOTHING: Self = Self::Nothing {
        warnings: Vec::new(),
    };

    fn change(change: SchemaChange, target: SchemaTarget, edits: Vec<SchemaEdit>) -> Self {
        Self::Change {
            edits,
            event: SchemaEvent { change, target },
            warnings: Vec::new(),
        }
    }
}

/// Plans a statement that changes the schema; `None` if the statement is of another kind.
pub fn plan(
    statement: &Statement,
    schema: &Schema,
    context: &DdlContext<'_>,
) -> Option<Result<SchemaPlan, RequestError>> {
    let planner = Planner { schema, context };
    let planned = match statement {
        Statement::CreateKeyspace(create) => planner.create_keyspace(create),
        Statement::AlterKeyspace(alter) => planner.alter_keyspace(alter),
        Statement::DropKeyspace(drop) => planner.drop_keyspace(drop),
        Statement::CreateTable(create) => planner.create_table(create),
        Statement::AlterTable(alter) => planner.alter_table(alter),
        Statement::DropTable(drop) => planner.drop_table(drop),
        Statement::CreateType(create) => planner.create_type(create),
        Statement::AlterType(alter) => planner.alter_type(alter),
        Statement::DropType(drop) => planner.drop_type(drop),
        Statement::CreateIndex(create) => planner.create_index(create),
        Statement::DropIndex(drop) => planner.drop_index(drop),
        Statement::CreateMaterializedView(create) => planner.create_view(create),
        Statement::AlterMaterializedView(alter) => planner.alter_view(alter),
        Statement::DropMaterializedView(drop) => planner.drop_view(drop),
        Statement::CreateFunction(create) => planner.create_function(create),
        Statement::DropFunction(drop) => planner.drop_function(drop, "Function"),
        Statement::CreateAggregate(create) => planner.create_aggregate(create),
        Statement::DropAggregate(drop) => planner.drop_function(drop, "Aggregate"),
        Statement::CreateTrigger(create) => planner.create_trigger(create),
        Statement::DropTrigger(drop) => planner.drop_trigger(drop),
        _ => return None,
    };
    Some(planned.map(|plan| planner.without_idle_change(plan)))
}

/// Checks a `TRUNCATE` and gives the table that is to be emptied.
pub fn plan_truncate(
    name: &QualifiedName,
    schema: &Schema,
    context: &DdlContext<'_>,
) -> Result<Arc<Table>, RequestError> {
    let planner = Planner { schema, context };
    let keyspace_name = planner.keyspace_of(name)?;
    let invalid = |message: String| Err(RequestError::Invalid(message));
    let Some(keyspace) = planner.keyspace(keyspace_name) else {
        return invalid(format!("keyspace {keyspace_name} does not exist"));
    };
    let Some(table) = keyspace.tables.get(&name.name) else {
        return invalid(format!("table {} does not exist", name.name));
    };
    if table.kind == TableKind::Virtual {
        return invalid(format!(
            "Truncation is not supported by table {keyspace_name}.{}",
            name.name
        ));
    }
    if keyspace_name == SYSTEM {
        return Err(RequestError::Unauthorized(NOT_MODIFIABLE.to_owned()));
    }
    Ok(table.clone())
}

/// A statement is planned by its methods, spread over the files of this folder.
#[derive(Clone, Copy)]
struct Planner<'a> {
    schema: &'a Schema,
    context: &'a DdlContext<'a>,
}

impl<'a> Planner<'a> {
    /// The keyspace a name is in: its own, or the one in use.
    fn keyspace_of<'n>(&self, name: &'n QualifiedName) -> Result<&'n str, RequestError>
    where
        'a: 'n,
    {
        match (name.keyspace.as_deref(), self.context.keyspace) {
            (Some(keyspace), _) | (None, Some(keyspace)) => Ok(keyspace),
            (None, None) => Err(RequestError::invalid(
                "No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename",
            )),
        }
    }

    /// The keyspace of this name, computed ones included.
    fn keyspace(&self, name: &str) -> Option<&'a Arc<Keyspace>> {
        self.schema
            .keyspace(name)
            .or_else(|| self.context.virtual_keyspaces.get(name))
    }

    fn table(&self, keyspace: &str, name: &str) -> Option<&'a Arc<Table>> {
        self.keyspace(keyspace)?.tables.get(name)
    }

    fn existing_keyspace(&self, name: &str) -> Result<&'a Arc<Keyspace>, RequestError> {
        self.keyspace(name)
            .ok_or_else(|| RequestError::invalid(format!("Keyspace '{name}' doesn't exist")))
    }

    fn drop_table(&self, drop: &Drop) -> Result<SchemaPlan, RequestError> {
        let keyspace = self.keyspace_of(&drop.name)?;
        modifiable::check_table(keyspace, &drop.name.name, "DROP")?;
        let name = &drop.name.name;
        if self.table(keyspace, name).is_none() {
            return absent(
                drop.if_exists,
                format!("Table '{keyspace}.{name}' doesn't exist"),
            );
        }
        let edit = SchemaEdit::DropTable {
            keyspace: keyspace.to_owned(),
            name: name.clone(),
        };
        let target = SchemaTarget::Table {
            keyspace: keyspace.to_owned(),
            name: name.clone(),
        };
        Ok(SchemaPlan::change(
            SchemaChange::Dropped,
            target,
            vec![edit],
        ))
    }

    /// Cassandra tells nobody of a change that leaves everything as it was.
    fn without_idle_change(&self, plan: SchemaPlan) -> SchemaPlan {
        match plan {
            SchemaPlan::Change {
                edits, warnings, ..
            } if self.schema.is_unchanged_by(&edits) => SchemaPlan::Nothing { warnings },
            plan => plan,
        }
    }
}

/// What comes of a statement about something that is not there.
fn absent(if_exists: bool, message: String) -> Result<SchemaPlan, RequestError> {
    if if_exists {
        Ok(SchemaPlan::NOTHING)
    } else {
        Err(RequestError::Invalid(message))
    }
}
