//! CREATE, ALTER and DROP KEYSPACE.

use super::properties::Attributes;
use super::{Planner, SchemaPlan, absent, modifiable, replication};
use crate::ast::{AlterKeyspace, CreateKeyspace, DropKeyspace};
use crate::frame::response::{SchemaChange, SchemaTarget};
use model::error::RequestError;
use model::limits::MAX_NAME_CHARS;
use model::schema::{Replication, SchemaEdit};

const PROPERTIES: &[&str] = &["replication", "durable_writes"];

impl Planner<'_> {
    pub(super) fn create_keyspace(
        &self,
        create: &CreateKeyspace,
    ) -> Result<SchemaPlan, RequestError> {
        let name = &create.name;
        modifiable::check_not_system(name)?;
        check_name(name)?;
        let attributes = Attributes(&create.properties);
        let options = replication_options(attributes)?;
        let Some(options) = options else {
            return Err(RequestError::invalid(
                "Missing mandatory option 'replication'",
            ));
        };
        if self.keyspace(name).is_some() {
            return if create.if_not_exists {
                Ok(SchemaPlan::NOTHING)
            } else {
                Err(RequestError::AlreadyExists {
                    keyspace: name.clone(),
                    table: String::new(),
                })
            };
        }
        let durable_writes = attributes.boolean("durable_writes")?.unwrap_or(true);
        let replication = replication::resolve(options, None, self.context)?;
        let warnings = replication::check(&replication, name, self.context)?;
        let plan = keyspace_change(SchemaChange::Created, name, replication, durable_writes);
        Ok(with_warnings(plan, warnings))
    }

    pub(super) fn alter_keyspace(&self, alter: &AlterKeyspace) -> Result<SchemaPlan, RequestError> {
        let name = &alter.name;
        modifiable::check_alter(name)?;
        let attributes = Attributes(&alter.properties);
        let options = replication_options(attributes)?;
        let Some(keyspace) = self.schema.keyspace(name) else {
            return absent(alter.if_exists, format!("Keyspace '{name}' doesn't exist"));
        };
        let durable_writes = attributes.boolean("durable_writes")?;
        let replication = match options {
            Some(options) => {
                replication::resolve(options, Some(&keyspace.replication), self.context)?
            }
            None => keyspace.replication.clone(),
        };
        let mut warnings = replication::check(&replication, name, self.context)?;
        if replication::factor(&keyspace.replication) < replication::factor(&replication) {
            warnings.push(
                "When increasing replication factor you need to run a full (-full) repair to distribute the data."
                    .into(),
            );
        }
        let durable_writes = durable_writes.unwrap_or(keyspace.durable_writes);
        let plan = keyspace_change(SchemaChange::Updated, name, replication, durable_writes);
        Ok(with_warnings(plan, warnings))
    }

    pub(super) fn drop_keyspace(&self, drop: &DropKeyspace) -> Result<SchemaPlan, RequestError> {
        let name = &drop.name;
        modifiable::check_drop(name)?;
        if self.schema.keyspace(name).is_none() {
            return absent(drop.if_exists, format!("Keyspace '{name}' doesn't exist"));
        }
        let target = SchemaTarget::Keyspace {
            keyspace: name.clone(),
        };
        let edit = SchemaEdit::DropKeyspace { name: name.clone() };
        Ok(SchemaPlan::change(
            SchemaChange::Dropped,
            target,
            vec![edit],
        ))
    }
}

/// The `replication` map, once all names have been checked.
fn replication_options(
    attributes: Attributes<'_>,
) -> Result<Option<replication::Options>, RequestError> {
    attributes.check_names(PROPERTIES)?;
    let options = attributes.map("replication")?;
    if options
        .as_ref()
        .is_some_and(|options| !options.contains_key("class"))
    {
        return Err(RequestError::Config(
            "Missing replication strategy class".into(),
        ));
    }
    Ok(options)
}

fn keyspace_change(
    change: SchemaChange,
    name: &str,
    replication: Replication,
    durable_writes: bool,
) -> SchemaPlan {
    let target = SchemaTarget::Keyspace {
        keyspace: name.to_owned(),
    };
    let edit = SchemaEdit::PutKeyspace {
        name: name.to_owned(),
        replication,
        durable_writes,
    };
    SchemaPlan::change(change, target, vec![edit])
}

fn with_warnings(plan: SchemaPlan, warnings: Vec<String>) -> SchemaPlan {
    match plan {
        SchemaPlan::Change { edits, event, .. } => SchemaPlan::Change {
            edits,
            event,
            warnings,
        },
        SchemaPlan::Nothing { .. } => SchemaPlan::Nothing { warnings },
    }
}

/// Whether a name is made of ASCII letters, digits and underscores only, at least one.
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn check_name(name: &str) -> Result<(), RequestError> {
    let length = name.chars().count();
    if !is_plain_name(name) {
        return Err(RequestError::invalid(format!(
            "Keyspace name must not be empty and must contain alphanumeric or underscore characters only (got \
             \"{name}\")"
        )));
    }
    if length > MAX_NAME_CHARS {
        return Err(RequestError::invalid(format!(
            "Keyspace name must not be more than {MAX_NAME_CHARS} characters long (got {length} characters for \
             \"{name}\")"
        )));
    }
    Ok(())
}
