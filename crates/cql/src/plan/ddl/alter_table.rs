//! ALTER TABLE.

use super::create_table::{STATIC_WITHOUT_CLUSTERING, TTL_ON_COUNTERS, has_unfrozen_fields};
use super::properties::Attributes;
use super::{Planner, SchemaPlan, absent, compatible, modifiable, table_options};
use crate::ast::{AlterTable, ColumnDefinition, Properties, TableChange, full_name};
use crate::frame::response::{SchemaChange, SchemaTarget};
use crate::plan::types;
use model::error::RequestError;
use model::schema::{ColumnKind, Keyspace, SchemaEdit, Table};
use model::types::CqlType;
use std::sync::Arc;

impl Planner<'_> {
    pub(super) fn alter_table(&self, alter: &AlterTable) -> Result<SchemaPlan, RequestError> {
        let keyspace_name = self.keyspace_of(&alter.name)?;
        let name = &alter.name.name;
        if let TableChange::Mask { mask: Some(_), .. } = &alter.change {
            self.refuse_mask()?;
        }
        modifiable::check_table(keyspace_name, name, "ALTER")?;
        let base = self
            .table(keyspace_name, name)
            .map(|table| table.options.clone());
        let written = match &alter.change {
            TableChange::With(properties) => Some(table_options::read(
                Attributes(properties),
                base.unwrap_or_default(),
                self.context.config,
            )?),
            _ => None,
        };
        let keyspace = self.keyspace(keyspace_name);
        let found = keyspace.and_then(|keyspace| Some((keyspace, keyspace.tables.get(name)?)));
        let Some((keyspace, table)) = found else {
            return absent(
                alter.if_exists,
                format!("Table '{keyspace_name}.{name}' doesn't exist"),
            );
        };
        let mut changed = Table::clone(table);
        match &alter.change {
            TableChange::Add {
                if_not_exists,
                columns,
            } => self.add_columns(&mut changed, keyspace, columns, *if_not_exists)?,
            TableChange::Drop {
                if_exists,
                columns,
                timestamp,
            } => {
                let dropped_at = timestamp.unwrap_or(self.context.now_micros);
                drop_columns(&mut changed, columns, *if_exists, dropped_at)?;
            }
            TableChange::Rename { columns, .. } => rename_columns(&mut changed, columns)?,
            TableChange::AlterType { .. } => {
                return Err(RequestError::invalid(
                    "Altering column types is no longer supported",
                ));
            }
            TableChange::Mask {
                if_exists, column, ..
            } => drop_mask(table, column, *if_exists)?,
            TableChange::DropCompactStorage => self.drop_compact_storage(&mut changed)?,
            TableChange::With(properties) => alter_options(&mut changed, properties, written)?,
        }
        let target = SchemaTarget::Table {
            keyspace: keyspace_name.to_owned(),
            name: name.clone(),
        };
        let edit = SchemaEdit::PutTable(Arc::new(changed));
        Ok(SchemaPlan::change(
            SchemaChange::Updated,
            target,
            vec![edit],
        ))
    }

    fn drop_compact_storage(&self, table: &mut Table) -> Result<(), RequestError> {
        if !self.context.config.drop_compact_storage_enabled {
            return Err(RequestError::invalid(
                "DROP COMPACT STORAGE is disabled. Enable in cassandra.yaml to use.",
            ));
        }
        if !table.compact {
            return Err(RequestError::invalid(
                "Cannot DROP COMPACT STORAGE on table without COMPACT STORAGE",
            ));
        }
        table.compact = false;
        Ok(())
    }

    fn add_columns(
        &self,
        table: &mut Table,
        keyspace: &Keyspace,
        columns: &[ColumnDefinition],
        if_not_exists: bool,
    ) -> Result<(), RequestError> {
        self.check_masks(columns)?;
        let was_counter = table.is_counter();
        for definition in columns {
            let name = &definition.name;
            let ctype = types::resolve(&definition.data_type, &keyspace.name, &keyspace.types)?;
            if table.column(name).is_some() {
                if if_not_exists {
                    continue;
                }
                return Err(RequestError::invalid(format!(
                    "Column with name '{name}' already exists"
                )));
            }
            check_addition(table, definition, &ctype, was_counter)?;
            let kind = if definition.is_static {
                ColumnKind::Static
            } else {
                ColumnKind::Regular
            };
            table.add_column(name, ctype, kind);
        }
        let mixed = |name: &str, what: &str, whose: &str| {
            Err(RequestError::Config(format!(
                "{}.{}: Cannot have a {what} column (\"{name}\") in a {whose} table",
                table.keyspace, table.name
            )))
        };
        for column in table.statics().iter().chain(table.regulars()) {
            match (column.ctype == CqlType::Counter, was_counter) {
                (true, false) => return mixed(&column.name, "counter", "non counter"),
                (false, true) => return mixed(&column.name, "non counter", "counter"),
                _ => {}
            }
        }
        Ok(())
    }
}

fn alter_options(
    table: &mut Table,
    properties: &Properties,
    written: Option<table_options::Written>,
) -> Result<(), RequestError> {
    let attributes = Attributes(properties);
    table_options::check_names(attributes)?;
    if let Some(written) = written {
        table.options = written.check()?;
    }
    if attributes.has("id") {
        return Err(RequestError::Config("Cannot alter table id.".into()));
    }
    if table.is_counter() && table.options.default_time_to_live > 0 {
        return Err(RequestError::invalid(TTL_ON_COUNTERS));
    }
    Ok(())
}

/// No column has a mask, so there is only to see whether the column is there.
fn drop_mask(table: &Table, column: &str, if_exists: bool) -> Result<(), RequestError> {
    if table.column(column).is_none() && !if_exists {
        return Err(RequestError::invalid(format!(
            "Column with name '{column}' doesn't exist on table '{}'",
            table.name
        )));
    }
    Ok(())
}

fn check_addition(
    table: &Table,
    definition: &ColumnDefinition,
    ctype: &CqlType,
    was_counter: bool,
) -> Result<(), RequestError> {
    let invalid = |message: String| Err(RequestError::Invalid(message));
    let name = &definition.name;
    if table.compact {
        return invalid("Cannot add new column to a COMPACT STORAGE table".into());
    }
    if definition.is_static && table.clustering_key().is_empty() {
        return invalid(STATIC_WITHOUT_CLUSTERING.into());
    }
    if has_unfrozen_fields(ctype) {
        return invalid(format!(
            "Non-frozen UDTs with nested non-frozen collections are not supported for column {name}"
        ));
    }
    let Some(dropped) = table
        .dropped
        .iter()
        .find(|dropped| dropped.column.name == *name)
    else {
        return Ok(());
    };
    let again = format!("Cannot re-add previously dropped column '{name}' of");
    if !compatible::is_compatible(ctype, &dropped.column.ctype) {
        return invalid(format!(
            "{again} type {ctype}, incompatible with previous type {}",
            dropped.column.ctype
        ));
    }
    let kind = |is_static| if is_static { "STATIC" } else { "REGULAR" };
    let was_static = dropped.column.kind == ColumnKind::Static;
    if was_static != definition.is_static {
        return invalid(format!(
            "{again} kind {}, incompatible with previous kind {}",
            kind(definition.is_static),
            kind(was_static)
        ));
    }
    if was_counter {
        return invalid(format!(
            "Cannot re-add previously dropped counter column {name}"
        ));
    }
    Ok(())
}

fn drop_columns(
    table: &mut Table,
    columns: &[String],
    if_exists: bool,
    dropped_at: i64,
) -> Result<(), RequestError> {
    let invalid = |message: String| Err(RequestError::Invalid(message));
    let before = table.clone();
    for name in columns {
        let Some(column) = before.column(name) else {
            if if_exists {
                continue;
            }
            return invalid(format!(
                "Column {name} was not found in table '{}'",
                full_name(&table.keyspace, &table.name)
            ));
        };
        if column.is_primary_key() {
            return invalid(format!("Cannot drop PRIMARY KEY column {name}"));
        }
        if matches!(column.ctype, CqlType::Udt(..)) && column.ctype.is_multi_cell() {
            return invalid(format!(
                "Cannot drop non-frozen column {name} of user type {}",
                column.ctype
            ));
        }
        // The one value of such a table is not a column that could be missed.
        if table.compact && !table.clustering_key().is_empty() {
            return invalid(
                "Cannot drop a column of a COMPACT STORAGE table with clustering columns".into(),
            );
        }
        table.drop_column(name, dropped_at);
    }
    Ok(())
}

/// All names are those before the statement, so that two columns can swap theirs with nobody; of two new names for one
/// column the last counts.
fn rename_columns(table: &mut Table, columns: &[(String, String)]) -> Result<(), RequestError> {
    let invalid = |message: String| Err(RequestError::Invalid(message));
    let before = table.clone();
    let mut renames: Vec<&(String, String)> = Vec::with_capacity(columns.len());
    for rename in columns {
        match renames.iter_mut().find(|other| other.0 == rename.0) {
            Some(other) => *other = rename,
            None => renames.push(rename),
        }
    }
    for (from, to) in renames {
        let Some(column) = before.column(from) else {
            return invalid(format!(
                "Undefined column name {from} in table {}",
                full_name(&table.keyspace, &table.name)
            ));
        };
        if !column.is_primary_key() {
            return invalid(format!("Cannot rename non PRIMARY KEY column {from}"));
        }
        if before.column(to).is_some() || table.column(to).is_some() {
            return invalid(format!(
                "Cannot rename column {from} to {to} in table '{}'; another column with that name already exists",
                full_name(&table.keyspace, &table.name)
            ));
        }
        table.rename_column(from, to);
    }
    Ok(())
}
