//! Statements about what this version does not have yet: indexes, materialized views, functions, aggregates, triggers.
//!
//! What Cassandra refuses for its own reasons is refused for those; what it would do gets a plain "not supported yet".
//! As nothing of the kind can exist, DROP and ALTER find nothing.

use super::properties::Attributes;
use super::{Planner, SchemaPlan, absent, modifiable, table_options};
use crate::ast::full_name;
use crate::ast::{
    AlterMaterializedView, CreateAggregate, CreateFunction, CreateIndex, CreateMaterializedView,
    CreateTrigger, Drop, DropFunction, DropTrigger, IndexTarget, IndexTargetKind,
};
use crate::plan::types;
use model::error::RequestError;
use model::schema::{Column, ColumnKind, Table};
use model::types::CqlType;

fn invalid(message: impl Into<String>) -> Result<SchemaPlan, RequestError> {
    Err(RequestError::invalid(message))
}

impl Planner<'_> {
    pub(super) fn create_index(&self, create: &CreateIndex) -> Result<SchemaPlan, RequestError> {
        let keyspace_name = self.keyspace_of(&create.table)?;
        let name = &create.table.name;
        modifiable::check_table(keyspace_name, name, "ALTER")?;
        Attributes(&create.properties).check_names(&["options"])?;
        if !create.custom && create.class.is_none() && Attributes(&create.properties).has("options")
        {
            return invalid("Cannot specify options for a non-CUSTOM index");
        }
        let keyspace = self.existing_keyspace(keyspace_name)?;
        let Some(table) = keyspace.tables.get(name) else {
            return invalid(format!("Table '{name}' doesn't exist"));
        };
        if table.is_counter() {
            return invalid("Secondary indexes on counter tables aren't supported");
        }
        if !create.custom && create.targets.is_empty() {
            return invalid(
                "Only CUSTOM indexes can be created without specifying a target column",
            );
        }
        if !create.custom && create.targets.len() > 1 {
            return invalid("Only CUSTOM indexes support multiple columns");
        }
        create
            .targets
            .iter()
            .try_for_each(|target| check_index_target(table, target))?;
        Err(RequestError::not_supported("Secondary indexes are"))
    }

    pub(super) fn drop_index(&self, drop: &Drop) -> Result<SchemaPlan, RequestError> {
        let keyspace = self.keyspace_of(&drop.name)?;
        modifiable::check_not_system(keyspace)?;
        absent(
            drop.if_exists,
            format!("Index '{keyspace}.{}' doesn't exist'", drop.name.name),
        )
    }

    pub(super) fn create_view(
        &self,
        create: &CreateMaterializedView,
    ) -> Result<SchemaPlan, RequestError> {
        let keyspace_name = self.keyspace_of(&create.name)?;
        let base_keyspace = self.keyspace_of(&create.base)?;
        modifiable::check_table(keyspace_name, &create.base.name, "ALTER")?;
        if !self.context.config.materialized_views_enabled {
            return invalid("Materialized views are disabled. Enable in cassandra.yaml to use.");
        }
        if keyspace_name != base_keyspace {
            return invalid("Cannot create a materialized view on a table in a different keyspace");
        }
        let keyspace = self.existing_keyspace(keyspace_name)?;
        if !keyspace.tables.contains_key(&create.base.name) {
            return invalid(format!("Base table '{}' doesn't exist", create.base.name));
        }
        if keyspace.tables.contains_key(&create.name.name) {
            return Err(RequestError::AlreadyExists {
                keyspace: keyspace_name.to_owned(),
                table: create.name.name.clone(),
            });
        }
        Err(RequestError::not_supported("Materialized views are"))
    }

    pub(super) fn alter_view(
        &self,
        alter: &AlterMaterializedView,
    ) -> Result<SchemaPlan, RequestError> {
        let keyspace = self.keyspace_of(&alter.name)?;
        modifiable::check_table(keyspace, &alter.name.name, "ALTER")?;
        let attributes = Attributes(&alter.properties);
        table_options::read(
            attributes,
            model::schema::TableOptions::default(),
            self.context.config,
        )?;
        absent(
            alter.if_exists,
            format!(
                "Materialized view '{keyspace}.{}' doesn't exist",
                alter.name.name
            ),
        )
    }

    pub(super) fn drop_view(&self, drop: &Drop) -> Result<SchemaPlan, RequestError> {
        let keyspace = self.keyspace_of(&drop.name)?;
        modifiable::check_table(keyspace, &drop.name.name, "DROP")?;
        absent(
            drop.if_exists,
            format!(
                "Materialized view '{keyspace}.{}' doesn't exist",
                drop.name.name
            ),
        )
    }

    fn check_functions_enabled(&self) -> Result<(), RequestError> {
        if self.context.config.user_defined_functions_enabled {
            return Ok(());
        }
        Err(RequestError::invalid(
            "User-defined functions are disabled in cassandra.yaml - set user_defined_functions_enabled=true to enable",
        ))
    }

    pub(super) fn create_function(
        &self,
        create: &CreateFunction,
    ) -> Result<SchemaPlan, RequestError> {
        let keyspace_name = self.keyspace_of(&create.name)?;
        modifiable::check_not_system(keyspace_name)?;
        if create.or_replace && create.if_not_exists {
            return invalid("Cannot use both 'OR REPLACE' and 'IF NOT EXISTS' directives");
        }
        self.check_functions_enabled()?;
        if create.language != "java" {
            return invalid(
                "Currently only Java UDFs are available in Cassandra. For more information - CASSANDRA-18252 and \
                 CASSANDRA-17281",
            );
        }
        self.existing_keyspace(keyspace_name)?;
        Err(RequestError::not_supported("User-defined functions are"))
    }

    pub(super) fn create_aggregate(
        &self,
        create: &CreateAggregate,
    ) -> Result<SchemaPlan, RequestError> {
        let keyspace_name = self.keyspace_of(&create.name)?;
        modifiable::check_not_system(keyspace_name)?;
        if create.or_replace && create.if_not_exists {
            return invalid("Cannot use both 'OR REPLACE' and 'IF NOT EXISTS' directives");
        }
        self.check_functions_enabled()?;
        if self.keyspace(keyspace_name).is_none() {
            return Err(RequestError::Config(format!(
                "Keyspace {keyspace_name} doesn't exist"
            )));
        }
        Err(RequestError::not_supported("User-defined aggregates are"))
    }

    pub(super) fn drop_function(
        &self,
        drop: &DropFunction,
        what: &str,
    ) -> Result<SchemaPlan, RequestError> {
        let keyspace_name = self.keyspace_of(&drop.name)?;
        modifiable::check_not_system(keyspace_name)?;
        let mut name = format!("{keyspace_name}.{}", drop.name.name);
        let keyspace = self.keyspace(keyspace_name);
        if let (Some(keyspace), Some(arguments)) = (keyspace, &drop.arguments) {
            let mut shown = Vec::with_capacity(arguments.len());
            for argument in arguments {
                shown.push(types::resolve(argument, keyspace_name, &keyspace.types)?.to_string());
            }
            name = format!("{name}({})", shown.join(", "));
        }
        absent(drop.if_exists, format!("{what} '{name}' doesn't exist"))
    }

    pub(super) fn create_trigger(
        &self,
        create: &CreateTrigger,
    ) -> Result<SchemaPlan, RequestError> {
        let keyspace_name = self.keyspace_of(&create.table)?;
        modifiable::check_not_system(keyspace_name)?;
        let keyspace = self.existing_keyspace(keyspace_name)?;
        if !keyspace.tables.contains_key(&create.table.name) {
            return invalid(format!("Table '{}' doesn't exist", create.table.name));
        }
        // There is no Java here to load it into.
        invalid(format!(
            "Trigger class '{}' couldn't be loaded",
            create.class
        ))
    }

    pub(super) fn drop_trigger(&self, drop: &DropTrigger) -> Result<SchemaPlan, RequestError> {
        let keyspace = self.keyspace_of(&drop.table)?;
        modifiable::check_not_system(keyspace)?;
        absent(
            drop.if_exists,
            format!(
                "Trigger '{}' on '{keyspace}.{}' doesn't exist",
                drop.name, drop.table.name
            ),
        )
    }
}

/// Whether an index could be on the target.
fn check_index_target(table: &Table, target: &IndexTarget) -> Result<(), RequestError> {
    let fail = |message: String| Err(RequestError::Invalid(message));
    let name = &target.column;
    let Some(column) = table.column(name) else {
        return fail(format!(
            "Undefined column name {name} in table {}",
            full_name(&table.keyspace, &table.name)
        ));
    };
    if column.kind == ColumnKind::PartitionKey && table.partition_key().len() == 1 {
        return fail(format!(
            "Cannot create secondary index on the only partition key column {name}"
        ));
    }
    let kind = match target.kind {
        IndexTargetKind::Simple | IndexTargetKind::Values => "values",
        IndexTargetKind::Keys => "keys",
        IndexTargetKind::Entries => "entries",
        IndexTargetKind::Full => "full",
    };
    check_collection_target(column, target.kind, kind)
}

fn check_collection_target(
    column: &Column,
    kind: IndexTargetKind,
    shown: &str,
) -> Result<(), RequestError> {
    let fail = |message: String| Err(RequestError::Invalid(message));
    let name = &column.name;
    let ctype = &column.ctype;
    let frozen = ctype.is_collection() && !ctype.is_multi_cell();
    match kind {
        IndexTargetKind::Full if !frozen => {
            return fail("full() indexes can only be created on frozen collections".into());
        }
        IndexTargetKind::Full => return Ok(()),
        _ if frozen => {
            return fail(format!(
                "Cannot create {shown}() index on frozen column {name}. Frozen collections are immutable and must be \
                 fully indexed by using the 'full({name})' modifier"
            ));
        }
        _ => {}
    }
    if kind != IndexTargetKind::Simple && !ctype.is_collection() {
        return fail(format!(
            "Cannot create {shown}() index on {name}. Non-collection columns only support simple indexes"
        ));
    }
    let needs_map = matches!(kind, IndexTargetKind::Keys | IndexTargetKind::Entries);
    if needs_map && !matches!(ctype, CqlType::Map(..)) {
        return fail(format!(
            "Cannot create index on {shown} of column {name} with non-map type"
        ));
    }
    Ok(())
}
