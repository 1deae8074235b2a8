//! Plans: statements with every name resolved and every rule checked, ready to run with each execution's values.
//!
//! Preparing needs the schema; running needs only the plan and the values, so a prepared statement costs its binding and
//! its reads or writes. Messages are those of Cassandra 5.0, whose users know them.

pub mod batch;
pub mod ddl;
mod duration;
mod inet;
pub mod json;
pub mod literal;
pub mod modify;
pub mod restrictions;
pub mod select;
pub mod temporal;
pub mod term;
pub mod types;
pub mod values;

use crate::ast;
use crate::frame::ColumnSpec;
use crate::functions::CallSite;
use batch::BatchPlan;
use model::error::RequestError;
use model::schema::{Column, Keyspace, Schema, Table};
use model::types::CqlType;
use modify::ModifyPlan;
use select::SelectPlan;
use std::collections::BTreeMap;
use std::sync::Arc;
use term::TermContext;

/// Where names are looked up: the schema and the virtual keyspaces beside it.
#[derive(Debug, Clone, Copy)]
pub struct Catalog<'a> {
    /// What users define.
    pub schema: &'a Schema,
    /// Keyspaces whose tables are computed.
    pub virtual_keyspaces: &'a BTreeMap<String, Arc<Keyspace>>,
}

impl<'a> Catalog<'a> {
    /// The keyspace of this name, stored or virtual.
    pub fn keyspace(&self, name: &str) -> Option<&'a Arc<Keyspace>> {
        self.schema
            .keyspace(name)
            .or_else(|| self.virtual_keyspaces.get(name))
    }

    /// The table of this name, or what a client is told.
    pub fn table(&self, keyspace: &str, name: &str) -> Result<&'a Arc<Table>, RequestError> {
        let found = self
            .keyspace(keyspace)
            .ok_or_else(|| invalid(format!("keyspace {keyspace} does not exist")))?;
        found
            .tables
            .get(name)
            .ok_or_else(|| invalid(format!("table {name} does not exist")))
    }
}

/// What a statement does.
#[derive(Debug)]
pub enum Plan {
    /// Reads.
    Select(Box<SelectPlan>),
    /// Changes rows.
    Modify(Box<ModifyPlan>),
    /// Changes rows of several statements at once.
    Batch(Box<BatchPlan>),
    /// Everything that is carried out by the schema, roles and administration: planned again against the schema of the
    /// moment it runs.
    Other(Box<ast::Statement>),
}

/// A statement ready to run.
#[derive(Debug)]
pub struct Prepared {
    /// What it does.
    pub plan: Plan,
    /// Its markers, in order: names and types.
    pub variables: Vec<ColumnSpec>,
    /// The marker of each partition key column, where every one is a marker: what token-aware drivers route by.
    pub partition_markers: Vec<u16>,
    /// The names by which values may be bound.
    pub marker_names: Vec<String>,
}

/// Prepares a parsed statement. `keyspace` is the one in use.
pub fn prepare(
    parsed: ast::Parsed,
    catalog: Catalog<'_>,
    keyspace: Option<&str>,
) -> Result<Prepared, RequestError> {
    let count = parsed.markers.len();
    let mut terms = TermContext {
        catalog,
        keyspace: "",
        partition_key: Vec::new(),
        markers: BTreeMap::new(),
        key_markers: Vec::new(),
        last_site: CallSite::ANEW,
    };
    let plan = match parsed.statement {
        ast::Statement::Select(select) => {
            let table = resolve(&select.table, catalog, keyspace)?;
            terms.enter(table);
            let plan = SelectPlan::prepare(&select, table, &mut terms)?;
            Plan::Select(Box::new(plan))
        }
        ast::Statement::Insert(_) | ast::Statement::Update(_) | ast::Statement::Delete(_) => {
            let modification = match parsed.statement {
                ast::Statement::Insert(insert) => ast::Modification::Insert(insert),
                ast::Statement::Update(update) => ast::Modification::Update(update),
                ast::Statement::Delete(delete) => ast::Modification::Delete(delete),
                _ => unreachable!("matched above"),
            };
            let plan = prepare_modification(&modification, &mut terms, catalog, keyspace)?;
            Plan::Modify(Box::new(plan))
        }
        ast::Statement::Batch(batch) => {
            let plan = BatchPlan::prepare(&batch, &mut terms, catalog, keyspace)?;
            // Drivers route a batch only if it is about one table, and all its markers are.
            let table = |plan: &ModifyPlan| plan.table.id;
            let one_table = plan
                .statements
                .windows(2)
                .all(|pair| table(&pair[0]) == table(&pair[1]));
            let mut specs = terms.markers.values();
            let strange = specs.any(BatchPlan::is_own_marker);
            if !one_table || strange {
                terms.key_markers.clear();
            }
            Plan::Batch(Box::new(plan))
        }
        other => Plan::Other(Box::new(other)),
    };
    let variables: Vec<ColumnSpec> = terms.markers.into_values().collect();
    if variables.len() != count {
        // `USING TTL ? AND TTL ?` drops the first; definitions of views and aggregates take no values.
        return Err(invalid(format!(
            "{} of the statement's {count} bind markers stand where no value is received",
            count - variables.len()
        )));
    }
    let marker_names = variables.iter().map(|spec| spec.name.to_string()).collect();
    let partition_markers: Option<Vec<u16>> = terms
        .key_markers
        .iter()
        .map(|(_, marker)| marker.map(|index| index as u16))
        .collect();
    Ok(Prepared {
        plan,
        variables,
        partition_markers: partition_markers.unwrap_or_default(),
        marker_names,
    })
}

/// Prepares one INSERT, UPDATE or DELETE.
fn prepare_modification<'a>(
    modification: &ast::Modification,
    terms: &mut TermContext<'a>,
    catalog: Catalog<'a>,
    keyspace: Option<&str>,
) -> Result<ModifyPlan, RequestError> {
    let table = resolve(modification.table(), catalog, keyspace)?;
    if table.kind == model::schema::TableKind::Virtual {
        return Err(invalid("Virtual tables cannot be modified"));
    }
    if table.keyspace == SYSTEM {
        return Err(RequestError::Unauthorized(NOT_MODIFIABLE.to_owned()));
    }
    terms.enter(table);
    match modification {
        ast::Modification::Insert(insert) => ModifyPlan::insert(insert, table, terms),
        ast::Modification::Update(update) => ModifyPlan::update(update, table, terms),
        ast::Modification::Delete(delete) => ModifyPlan::delete(delete, table, terms),
    }
}

/// The keyspace of what is a node's own, the batch log among it.
pub(crate) const SYSTEM: &str = "system";
/// Why its tables cannot be written or truncated.
pub(crate) const NOT_MODIFIABLE: &str = "system keyspace is not user-modifiable.";

/// The message Cassandra gives when a statement names no keyspace and none is in use.
pub const NO_KEYSPACE: &str =
    "No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename";

/// The type written in a statement about `keyspace`.
pub(crate) fn resolve_type(
    written: &ast::Type,
    keyspace: &str,
    catalog: &Catalog<'_>,
) -> Result<CqlType, RequestError> {
    let none = types::UserTypes::new();
    let types = catalog
        .keyspace(keyspace)
        .map_or(&none, |keyspace| &keyspace.types);
    types::resolve(written, keyspace, types)
}

fn resolve<'a>(
    name: &ast::QualifiedName,
    catalog: Catalog<'a>,
    keyspace: Option<&str>,
) -> Result<&'a Arc<Table>, RequestError> {
    let keyspace = name
        .keyspace
        .as_deref()
        .or(keyspace)
        .ok_or_else(|| invalid(NO_KEYSPACE))?;
    if name.name.is_empty() {
        return Err(invalid("Table name is empty"));
    }
    catalog.table(keyspace, &name.name)
}

/// An `Invalid` error.
pub(crate) fn invalid(message: impl Into<String>) -> RequestError {
    RequestError::invalid(message)
}

/// The column of a table, or what a client is told.
pub(crate) fn find_column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, RequestError> {
    table.column(name).ok_or_else(|| {
        invalid(format!(
            "Undefined column name {} in table {}",
            crate::ast::maybe_quote(name),
            crate::ast::full_name(&table.keyspace, &table.name)
        ))
    })
}

/// A column as clients are told of it.
pub(crate) fn column_spec(table: &Table, column: &Column) -> ColumnSpec {
    ColumnSpec {
        keyspace: table.keyspace.as_str().into(),
        table: table.name.as_str().into(),
        name: column.name.as_str().into(),
        cql_type: column.ctype.clone(),
    }
}

/// The same place under another name and type: an element, field or argument.
pub(crate) fn renamed(spec: &ColumnSpec, name: String, cql_type: CqlType) -> ColumnSpec {
    ColumnSpec {
        keyspace: spec.keyspace.clone(),
        table: spec.table.clone(),
        name: name.into(),
        cql_type,
    }
}

/// The same place under a marker's own name, if it has one.
pub(crate) fn named(spec: &ColumnSpec, name: Option<&str>) -> ColumnSpec {
    ColumnSpec {
        name: name.map_or_else(|| spec.name.clone(), Into::into),
        ..spec.clone()
    }
}
