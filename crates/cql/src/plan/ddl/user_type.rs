//! CREATE, ALTER and DROP TYPE.

use super::create_table::first_repeated;
use super::{Planner, SchemaPlan, absent, modifiable};
use crate::ast::{AlterType, CreateType, Drop, Type, TypeChange, full_name};
use crate::frame::response::{SchemaChange, SchemaTarget};
use crate::plan::types;
use model::error::RequestError;
use model::schema::{Keyspace, SchemaEdit, Table};
use model::types::{CqlType, Frozen, UserType};
use std::sync::Arc;

impl Planner<'_> {
    pub(super) fn create_type(&self, create: &CreateType) -> Result<SchemaPlan, RequestError> {
        let invalid = |message: String| Err(RequestError::Invalid(message));
        let keyspace_name = self.keyspace_of(&create.name)?;
        let name = &create.name.name;
        modifiable::check_content(keyspace_name, "CREATE")?;
        let keyspace = self.existing_keyspace(keyspace_name)?;
        if keyspace.types.contains_key(name) {
            return if create.if_not_exists {
                Ok(SchemaPlan::NOTHING)
            } else {
                invalid(format!("A user type with name '{name}' already exists"))
            };
        }
        if let Some(field) = first_repeated(create.fields.iter().map(|(field, _)| field)) {
            return invalid(format!("Duplicate field name '{field}' in type '{name}'"));
        }
        create
            .fields
            .iter()
            .try_for_each(|(_, field)| check_field(field))?;
        let mut fields = Vec::with_capacity(create.fields.len());
        for (field, written) in &create.fields {
            let ctype = types::resolve(written, keyspace_name, &keyspace.types)?;
            fields.push((field.clone(), ctype));
        }
        let definition = UserType {
            keyspace: keyspace_name.to_owned(),
            name: name.clone(),
            fields,
        };
        Ok(type_change(SchemaChange::Created, definition))
    }

    pub(super) fn alter_type(&self, alter: &AlterType) -> Result<SchemaPlan, RequestError> {
        let keyspace_name = self.keyspace_of(&alter.name)?;
        let name = &alter.name.name;
        modifiable::check_content(keyspace_name, "ALTER")?;
        let found = self
            .keyspace(keyspace_name)
            .and_then(|keyspace| Some((keyspace, keyspace.types.get(name)?)));
        let Some((keyspace, definition)) = found else {
            return absent(
                alter.if_exists,
                format!("Type {keyspace_name}.{name} doesn't exist"),
            );
        };
        let mut renewed = UserType::clone(definition);
        match &alter.change {
            TypeChange::Add {
                if_not_exists,
                field,
                data_type,
            } => {
                if !add_field(&mut renewed, keyspace, field, data_type, *if_not_exists)? {
                    return Ok(SchemaPlan::NOTHING);
                }
            }
            TypeChange::Rename { if_exists, fields } => {
                rename_fields(&mut renewed, fields, *if_exists)?
            }
            TypeChange::AlterField { .. } => {
                return Err(RequestError::invalid(
                    "Altering field types is no longer supported",
                ));
            }
        }
        Ok(type_change(SchemaChange::Updated, renewed))
    }

    pub(super) fn drop_type(&self, drop: &Drop) -> Result<SchemaPlan, RequestError> {
        let keyspace_name = self.keyspace_of(&drop.name)?;
        let name = &drop.name.name;
        modifiable::check_content(keyspace_name, "DROP")?;
        let found = self
            .keyspace(keyspace_name)
            .filter(|keyspace| keyspace.types.contains_key(name));
        let Some(keyspace) = found else {
            return absent(
                drop.if_exists,
                format!("Type '{keyspace_name}.{name}' doesn't exist"),
            );
        };
        let used_by = |what: &str, users: Vec<&str>| {
            if users.is_empty() {
                return Ok(());
            }
            Err(RequestError::invalid(format!(
                "Cannot drop user type '{keyspace_name}.{name}' as it is still used by {what} {}",
                users.join(", ")
            )))
        };
        let uses = |ctype: &CqlType| ctype.references(keyspace_name, name);
        let types = keyspace.types.values();
        let types = types.filter(|other| other.fields.iter().any(|(_, field)| uses(field)));
        used_by(
            "user types",
            types.map(|other| other.name.as_str()).collect(),
        )?;
        let tables = keyspace
            .tables
            .values()
            .filter(|table| table.references_type(name));
        used_by("tables", tables.map(|table| table.name.as_str()).collect())?;
        let target = SchemaTarget::Type {
            keyspace: keyspace_name.to_owned(),
            name: name.clone(),
        };
        let edit = SchemaEdit::DropType {
            keyspace: keyspace_name.to_owned(),
            name: name.clone(),
        };
        Ok(SchemaPlan::change(
            SchemaChange::Dropped,
            target,
            vec![edit],
        ))
    }
}

fn type_change(change: SchemaChange, definition: UserType) -> SchemaPlan {
    let target = SchemaTarget::Type {
        keyspace: definition.keyspace.clone(),
        name: definition.name.clone(),
    };
    let edit = SchemaEdit::PutType(Arc::new(definition));
    SchemaPlan::change(change, target, vec![edit])
}

/// What no field may be, whatever else is wrong.
fn check_field(written: &Type) -> Result<(), RequestError> {
    if types::is_counter(written) {
        return Err(RequestError::invalid("A user type cannot contain counters"));
    }
    if types::is_unfrozen_user_type(written) {
        return Err(RequestError::invalid(
            "A user type cannot contain non-frozen UDTs",
        ));
    }
    Ok(())
}

/// Adds a field at the end; `false` if it is there already and may be.
fn add_field(
    definition: &mut UserType,
    keyspace: &Keyspace,
    field: &str,
    written: &Type,
    if_not_exists: bool,
) -> Result<bool, RequestError> {
    let invalid = |message: String| Err(RequestError::Invalid(message));
    check_field(written)?;
    let UserType {
        keyspace: owner,
        name,
        ..
    } = &*definition;
    if definition.fields.iter().any(|(other, _)| other == field) {
        if if_not_exists {
            return Ok(false);
        }
        return invalid(format!(
            "Cannot add field {field} to type {}: a field with name {field} already exists",
            full_name(owner, name)
        ));
    }
    let ctype = types::resolve(written, owner, &keyspace.types)?;
    let shown = types::text(written, Frozen::No, Some(owner));
    let cannot =
        format!("Cannot add new field {field} of type {shown} to user type {owner}.{name} as");
    if ctype.references(owner, name) {
        return invalid(format!("{cannot} it would create a circular reference"));
    }
    let used_in = tables_keyed_by(keyspace, name);
    if !used_in.is_empty() {
        return invalid(format!(
            "{cannot} the type is being used in partition key by the following tables: {}",
            used_in.join(", ")
        ));
    }
    definition.fields.push((field.to_owned(), ctype));
    Ok(true)
}

/// The tables whose partition key would change with the type.
fn tables_keyed_by(keyspace: &Keyspace, user_type: &str) -> Vec<String> {
    let keyed = |table: &&Arc<Table>| {
        table
            .partition_key()
            .iter()
            .any(|column| column.ctype.references(&keyspace.name, user_type))
    };
    let tables = keyspace.tables.values().filter(keyed);
    tables
        .map(|table| format!("{}.{}", table.keyspace, table.name))
        .collect()
}

/// All names are those before the statement.
fn rename_fields(
    definition: &mut UserType,
    renames: &[(String, String)],
    if_exists: bool,
) -> Result<(), RequestError> {
    let before = definition.clone();
    for (from, to) in renames {
        match before.fields.iter().position(|(field, _)| field == from) {
            Some(index) => to.clone_into(&mut definition.fields[index].0),
            None if if_exists => {}
            None => {
                return Err(RequestError::invalid(format!(
                    "Unkown field {from} in user type {}",
                    full_name(&definition.keyspace, &definition.name)
                )));
            }
        }
    }
    match first_repeated(definition.fields.iter().map(|(field, _)| field)) {
        // Cassandra prints the keyspace where it means the type.
        Some(field) => Err(RequestError::invalid(format!(
            "Duplicate field name {field} in type {}",
            definition.keyspace
        ))),
        None => Ok(()),
    }
}
