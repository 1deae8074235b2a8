//! CREATE TABLE.

use super::keyspace::is_plain_name;
use super::properties::Attributes;
use super::{DdlConfig, Planner, SchemaPlan, compact, modifiable, table_options};
use crate::ast::{ColumnDefinition, CreateTable, Direction, PrimaryKey};
use crate::frame::response::{SchemaChange, SchemaTarget};
use crate::plan::types::{self, UserTypes};
use model::error::RequestError;
use model::limits::MAX_TABLE_NAME_CHARS;
use model::row::ColumnId;
use model::schema::{ClusteringOrder, Column, ColumnKind, SchemaEdit, Table, TableId, TableKind};
use model::types::CqlType;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table as its statement defines it, without the checks of who may create it where: for the tables that a node
/// comes with.
pub fn define(
    create: &CreateTable,
    keyspace: &str,
    kind: TableKind,
    id: TableId,
) -> Result<Table, RequestError> {
    check_text(create)?;
    let Some(primary_key) = create.primary_keys.first() else {
        return Err(RequestError::invalid("No PRIMARY KEY"));
    };
    let attributes = Attributes(&create.properties);
    table_options::check_names(attributes)?;
    let options = table_options::create(attributes, &DdlConfig::default())?.check()?;
    let columns = columns(create, primary_key, keyspace, &BTreeMap::new())?;
    Ok(Table::new(
        id,
        keyspace,
        &create.name.name,
        kind,
        columns,
        options,
    ))
}

impl Planner<'_> {
    pub(super) fn create_table(&self, create: &CreateTable) -> Result<SchemaPlan, RequestError> {
        check_text(create)?;
        let keyspace_name = self.keyspace_of(&create.name)?;
        let name = &create.name.name;
        let Some(primary_key) = create.primary_keys.first() else {
            return Err(RequestError::invalid(format!(
                "No PRIMARY KEY specifed for table '{}' (exactly one required)",
                create.name
            )));
        };
        self.check_masks(&create.columns)?;
        modifiable::check_content(keyspace_name, "CREATE")?;
        let attributes = Attributes(&create.properties);
        let options = table_options::create(attributes, self.context.config)?;
        let keyspace = self.existing_keyspace(keyspace_name)?;
        if keyspace.tables.contains_key(name) {
            return if create.if_not_exists {
                Ok(SchemaPlan::NOTHING)
            } else {
                Err(RequestError::AlreadyExists {
                    keyspace: keyspace_name.to_owned(),
                    table: name.clone(),
                })
            };
        }
        table_options::check_names(attributes)?;
        let options = options.check()?;
        let columns = columns(create, primary_key, &keyspace.name, &keyspace.types)?;
        let id = table_id(attributes, self.context.new_id)?;
        if self.schema.tables().any(|table| table.id == id) {
            return Err(RequestError::Config(
                "Table id is in use by another table".into(),
            ));
        }
        check_name(keyspace_name, name)?;
        let mut table = Table::new(id, keyspace_name, name, TableKind::Stored, columns, options);
        table.compact = create.compact_storage;
        if table.is_counter() && table.options.default_time_to_live > 0 {
            return Err(RequestError::invalid(TTL_ON_COUNTERS));
        }
        let target = SchemaTarget::Table {
            keyspace: keyspace_name.to_owned(),
            name: name.clone(),
        };
        let edit = SchemaEdit::PutTable(Arc::new(table));
        Ok(SchemaPlan::change(
            SchemaChange::Created,
            target,
            vec![edit],
        ))
    }

    /// Columns can be masked only if the configuration says so, which it cannot yet.
    pub(super) fn check_masks(&self, columns: &[ColumnDefinition]) -> Result<(), RequestError> {
        if columns.iter().all(|column| column.mask.is_none()) {
            return Ok(());
        }
        self.refuse_mask()
    }

    pub(super) fn refuse_mask(&self) -> Result<(), RequestError> {
        if self.context.config.dynamic_data_masking_enabled {
            return Err(RequestError::not_supported("Masked columns are"));
        }
        Err(RequestError::invalid(
            "Cannot mask columns because dynamic data masking is not enabled. You can enable it with the \
             dynamic_data_masking_enabled property on cassandra.yaml",
        ))
    }
}

/// Why a table of counters cannot have a default TTL.
pub(super) const TTL_ON_COUNTERS: &str = "Cannot set default_time_to_live on a table with counters";

impl PrimaryKey {
    /// All its columns in order.
    fn columns(&self) -> impl Iterator<Item = &String> {
        self.partition.iter().chain(&self.clustering)
    }
}

/// What Cassandra finds while it reads the text: it names the table as it was written.
fn check_text(create: &CreateTable) -> Result<(), RequestError> {
    let name = &create.name;
    if create.primary_keys.len() > 1 {
        return Err(RequestError::invalid(format!(
            "Multiple PRIMARY KEY specified for table '{name}' (exactly one required)"
        )));
    }
    let columns = create.columns.iter().map(|column| &column.name);
    if let Some(column) = first_repeated(columns) {
        return Err(RequestError::invalid(format!(
            "Duplicate column '{column}' declaration for table '{name}'"
        )));
    }
    if let Some(column) = first_repeated(create.clustering_order.iter().map(|(column, _)| column)) {
        return Err(RequestError::invalid(format!(
            "Duplicate column '{column}' in CLUSTERING ORDER BY clause for table '{name}'"
        )));
    }
    Ok(())
}

/// The first name that stood before.
pub(super) fn first_repeated<'n>(names: impl Iterator<Item = &'n String>) -> Option<&'n String> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

fn table_id(attributes: Attributes<'_>, fresh: uuid::Uuid) -> Result<TableId, RequestError> {
    match attributes.text("id")? {
        None => Ok(TableId(fresh)),
        Some(text) => uuid::Uuid::try_parse(text)
            .map(TableId)
            .map_err(|_| RequestError::Config("Invalid table id".into())),
    }
}

fn check_name(keyspace: &str, name: &str) -> Result<(), RequestError> {
    let config = |problem: String| {
        Err(RequestError::Config(format!(
            "{keyspace}.{name}: {problem}"
        )))
    };
    if !is_plain_name(name) {
        return config(format!(
            "Table name must not be empty or not contain non-alphanumeric-underscore characters (got \"{name}\")"
        ));
    }
    if name.len() > MAX_TABLE_NAME_CHARS {
        return config(format!(
            "Table name must not be more than {MAX_TABLE_NAME_CHARS} characters long (got {} characters for \
             \"{name}\")",
            name.len()
        ));
    }
    Ok(())
}

/// A column that is not in the key yet.
struct Unplaced<'a> {
    definition: &'a ColumnDefinition,
    ctype: CqlType,
}

/// Resolves and checks the columns.
fn columns(
    create: &CreateTable,
    primary_key: &PrimaryKey,
    keyspace: &str,
    user_types: &UserTypes,
) -> Result<Vec<Column>, RequestError> {
    let invalid = |message: String| Err(RequestError::Invalid(message));
    let mut unplaced: BTreeMap<&str, Unplaced<'_>> = BTreeMap::new();
    let mut definitions: Vec<&ColumnDefinition> = create.columns.iter().collect();
    definitions.sort_by_key(|definition| &definition.name);
    for definition in definitions {
        let ctype = types::resolve(&definition.data_type, keyspace, user_types)?;
        unplaced.insert(&definition.name, Unplaced { definition, ctype });
    }
    if unplaced
        .values()
        .any(|column| has_unfrozen_fields(&column.ctype))
    {
        return invalid(
            "Non-frozen UDTs with nested non-frozen collections are not supported".into(),
        );
    }
    check_primary_key(create, primary_key, &unplaced)?;
    check_clustering_order(create, primary_key)?;
    let mut columns = Vec::with_capacity(unplaced.len());
    let kinds = [
        (&primary_key.partition, ColumnKind::PartitionKey),
        (&primary_key.clustering, ColumnKind::Clustering),
    ];
    for (names, kind) in kinds {
        for (position, name) in names.iter().enumerate() {
            let descending = create
                .clustering_order
                .iter()
                .any(|(column, direction)| column == name && *direction == Direction::Descending);
            if let Some(column) = unplaced.remove(name.as_str()) {
                let order = if descending {
                    ClusteringOrder::Descending
                } else {
                    ClusteringOrder::Ascending
                };
                columns.push(place(column, kind, position, order));
            }
        }
    }
    if create.compact_storage {
        compact::check(
            primary_key,
            unplaced
                .iter()
                .map(|(name, column)| (*name, &column.ctype, column.definition.is_static)),
        )?;
    }
    if primary_key.clustering.is_empty()
        && unplaced.values().any(|column| column.definition.is_static)
    {
        return invalid(STATIC_WITHOUT_CLUSTERING.into());
    }
    check_counters(&unplaced)?;
    for column in unplaced.into_values() {
        let kind = if column.definition.is_static {
            ColumnKind::Static
        } else {
            ColumnKind::Regular
        };
        columns.push(place(column, kind, 0, ClusteringOrder::Ascending));
    }
    Ok(columns)
}

/// Whether all columns outside the key are counters, or none is.
fn check_counters(columns: &BTreeMap<&str, Unplaced<'_>>) -> Result<(), RequestError> {
    let is_counter = |column: &Unplaced<'_>| column.ctype == CqlType::Counter;
    if columns.values().any(is_counter) && !columns.values().all(is_counter) {
        return Err(RequestError::invalid(
            "Cannot mix counter and non counter columns in the same table",
        ));
    }
    Ok(())
}

/// Why a table without clustering columns cannot have static ones.
pub(super) const STATIC_WITHOUT_CLUSTERING: &str = "Static columns are only useful (and thus allowed) if the table has at least one clustering column";

/// Whether it is a user type as several cells with a field that would itself be several.
pub(super) fn has_unfrozen_fields(ctype: &CqlType) -> bool {
    match ctype {
        CqlType::Udt(definition, _) if ctype.is_multi_cell() => definition
            .fields
            .iter()
            .any(|(_, field)| field.is_multi_cell()),
        _ => false,
    }
}

fn place(
    column: Unplaced<'_>,
    kind: ColumnKind,
    position: usize,
    order: ClusteringOrder,
) -> Column {
    Column {
        id: ColumnId(0),
        name: column.definition.name.clone(),
        ctype: column.ctype,
        kind,
        position,
        order,
    }
}

fn check_primary_key(
    create: &CreateTable,
    primary_key: &PrimaryKey,
    columns: &BTreeMap<&str, Unplaced<'_>>,
) -> Result<(), RequestError> {
    let invalid = |message: String| Err(RequestError::Invalid(message));
    let table = &create.name.name;
    let mut seen = std::collections::BTreeSet::new();
    for name in primary_key.columns() {
        let Some(column) = columns.get(name.as_str()) else {
            return invalid(format!(
                "Unknown column '{name}' referenced in PRIMARY KEY for table '{table}'"
            ));
        };
        if !seen.insert(name) {
            return invalid(format!(
                "Duplicate column '{name}' in PRIMARY KEY clause for table '{table}'"
            ));
        }
        match &column.ctype {
            CqlType::Udt(definition, _) if column.ctype.is_multi_cell() => {
                return invalid(format!(
                    "Invalid non-frozen user-defined type \"{}.{}\" for PRIMARY KEY column '{name}'",
                    definition.keyspace, definition.name
                ));
            }
            ctype if ctype.is_multi_cell() => {
                return invalid(format!(
                    "Invalid non-frozen collection type {ctype} for PRIMARY KEY column '{name}'"
                ));
            }
            CqlType::Counter => {
                return invalid(format!(
                    "counter type is not supported for PRIMARY KEY column '{name}'"
                ));
            }
            ctype if holds_duration(ctype) => {
                return invalid(format!(
                    "duration type is not supported for PRIMARY KEY column '{name}'"
                ));
            }
            _ => {}
        }
        if column.definition.is_static {
            return invalid(format!(
                "Static column '{name}' cannot be part of the PRIMARY KEY"
            ));
        }
    }
    Ok(())
}

/// Whether a duration is in it, which has no order. Cassandra does not look into vectors.
fn holds_duration(ctype: &CqlType) -> bool {
    match ctype {
        CqlType::Duration => true,
        CqlType::List(element, _) | CqlType::Set(element, _) => holds_duration(element),
        CqlType::Map(key, value, _) => holds_duration(key) || holds_duration(value),
        CqlType::Tuple(elements) => elements.iter().any(holds_duration),
        CqlType::Udt(definition, _) => definition
            .fields
            .iter()
            .any(|(_, field)| holds_duration(field)),
        _ => false,
    }
}

fn check_clustering_order(
    create: &CreateTable,
    primary_key: &PrimaryKey,
) -> Result<(), RequestError> {
    let invalid = |message: String| Err(RequestError::Invalid(message));
    let ordered: Vec<&String> = create
        .clustering_order
        .iter()
        .map(|(column, _)| column)
        .collect();
    let strangers: Vec<&str> = ordered
        .iter()
        .filter(|column| !primary_key.clustering.contains(column))
        .map(|column| column.as_str())
        .collect();
    if !strangers.is_empty() {
        return invalid(format!(
            "Only clustering key columns can be defined in CLUSTERING ORDER directive: [{}] are not clustering columns",
            strangers.join(", ")
        ));
    }
    for (expected, column) in primary_key.clustering.iter().zip(&ordered) {
        if expected == *column {
            continue;
        }
        return invalid(if ordered.contains(&expected) {
            format!(
                "The order of columns in the CLUSTERING ORDER directive must match that of the clustering columns \
                 ({expected} must appear before {column})"
            )
        } else {
            format!("Missing CLUSTERING ORDER for column {expected}")
        });
    }
    Ok(())
}
