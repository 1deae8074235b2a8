//! DESCRIBE: the text that recreates a schema, and the lists of what there is.
//!
//! The texts are those Cassandra 5.0.6 prints, byte for byte, so that tools that parse them find what they expect;
//! `keyspace`, `table` and `user_type` write one kind each. What DESCRIBE finds, in which order and what it says of what
//! it does not find is here. The answer is a result set whose columns belong to the table `describe` of `system`.
//!
//! Order: keyspaces, types and tables by name, capitals apart; within a keyspace its types come first, each after those
//! it is made of.

mod answer;
mod keyspace;
mod table;
mod user_type;

pub use answer::{Answer, ClusterFacts, KEYSPACE, TABLE};
pub use keyspace::create_keyspace;
pub use table::{Internals, create_table};
pub use user_type::{by_dependency, create_type};

use crate::ast::{Describe, DescribeTarget, QualifiedName};
use answer::Element;
use model::error::RequestError;
use model::schema::{Keyspace, Table};

/// Keyspaces that exist without anybody creating them: only FULL SCHEMA includes them.
pub const SYSTEM_KEYSPACES: [&str; 7] = [
    "system",
    "system_auth",
    "system_distributed",
    "system_schema",
    "system_traces",
    "system_views",
    "system_virtual_schema",
];

/// Keyspaces whose tables cannot be created with CQL.
pub const VIRTUAL_KEYSPACES: [&str; 2] = ["system_views", "system_virtual_schema"];

/// What a DESCRIBE looks at.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Every keyspace, those of the system too, in any order.
    pub keyspaces: &'a [&'a Keyspace],
    /// The keyspace in use.
    pub current: Option<&'a str>,
    /// What DESCRIBE CLUSTER says.
    pub cluster: &'a ClusterFacts,
}

/// Answers a DESCRIBE.
pub fn describe(describe: &Describe, scope: Scope<'_>) -> Result<Answer, RequestError> {
    let internals = if describe.with_internals {
        Internals::Shown
    } else {
        Internals::Hidden
    };
    let elements = match &describe.target {
        DescribeTarget::Cluster => return Ok(answer::cluster(scope.cluster)),
        DescribeTarget::Keyspaces => {
            let keyspaces = scope.sorted();
            return Ok(answer::list(
                keyspaces
                    .into_iter()
                    .map(|keyspace| Element::keyspace(keyspace, None))
                    .collect(),
            ));
        }
        DescribeTarget::Tables => return Ok(answer::list(scope.listed(tables)?)),
        DescribeTarget::Types => return Ok(answer::list(scope.listed(types)?)),
        DescribeTarget::Functions | DescribeTarget::Aggregates => {
            return Ok(answer::list(scope.listed(|_| Vec::new())?));
        }
        DescribeTarget::Schema { full } => scope
            .sorted()
            .into_iter()
            .filter(|keyspace| *full || !SYSTEM_KEYSPACES.contains(&keyspace.name.as_str()))
            .flat_map(|keyspace| everything(keyspace, internals))
            .collect(),
        DescribeTarget::Keyspace { name, only } => {
            let keyspace = scope.find(name.as_deref())?;
            if *only {
                vec![created(keyspace)]
            } else {
                everything(keyspace, internals)
            }
        }
        DescribeTarget::Table(name) => vec![scope.table(name, internals)?],
        DescribeTarget::Type(name) => vec![scope.user_type(name)?],
        DescribeTarget::Any(name) => scope.any(name, internals)?,
        DescribeTarget::Index(name) => return scope.missing(name, "Table for existing index"),
        DescribeTarget::MaterializedView(name) => return scope.missing(name, "Materialized view"),
        DescribeTarget::Function(name) => return scope.missing(name, "User defined function"),
        DescribeTarget::Aggregate(name) => return scope.missing(name, "User defined aggregate"),
    };
    Ok(answer::create_statements(elements))
}

/// The key that orders names: capitals apart, then as they are.
fn order(name: &str) -> (String, &str) {
    (name.to_lowercase(), name)
}

impl<'a> Scope<'a> {
    fn sorted(self) -> Vec<&'a Keyspace> {
        let mut sorted = self.keyspaces.to_vec();
        sorted.sort_by_key(|keyspace| order(&keyspace.name));
        sorted
    }

    /// The keyspace of this name, or the one in use.
    fn find(self, name: Option<&str>) -> Result<&'a Keyspace, RequestError> {
        let Some(name) = name.or(self.current) else {
            return Err(RequestError::invalid(
                "No keyspace specified and no current keyspace",
            ));
        };
        self.named(name)
            .ok_or_else(|| RequestError::Invalid(format!("'{name}' not found in keyspaces")))
    }

    fn named(self, name: &str) -> Option<&'a Keyspace> {
        self.keyspaces
            .iter()
            .copied()
            .find(|keyspace| keyspace.name == name)
    }

    /// What `elements` finds in the keyspace in use, or in all if there is none.
    fn listed(
        self,
        elements: impl Fn(&'a Keyspace) -> Vec<Element>,
    ) -> Result<Vec<Element>, RequestError> {
        let keyspaces = match self.current {
            Some(current) => vec![self.find(Some(current))?],
            None => self.sorted(),
        };
        Ok(keyspaces.into_iter().flat_map(elements).collect())
    }

    fn table(self, name: &QualifiedName, internals: Internals) -> Result<Element, RequestError> {
        let keyspace = self.find(name.keyspace.as_deref())?;
        let table = keyspace.tables.get(&name.name).ok_or_else(|| {
            RequestError::Invalid(format!(
                "Table '{}' not found in keyspace '{}'",
                name.name, keyspace.name
            ))
        })?;
        Ok(Element::table(table, Some(create_table(table, internals))))
    }

    fn user_type(self, name: &QualifiedName) -> Result<Element, RequestError> {
        let keyspace = self.find(name.keyspace.as_deref())?;
        let definition = keyspace.types.get(&name.name).ok_or_else(|| {
            RequestError::Invalid(format!(
                "User defined type '{}' not found in '{}'",
                name.name, keyspace.name
            ))
        })?;
        Ok(Element::user_type(
            definition,
            Some(create_type(definition)),
        ))
    }

    /// A keyspace, or a table of the keyspace given or in use.
    fn any(self, name: &QualifiedName, internals: Internals) -> Result<Vec<Element>, RequestError> {
        if name.keyspace.is_none() {
            if let Some(keyspace) = self.named(&name.name) {
                return Ok(everything(keyspace, internals));
            }
            if self.current.is_none() {
                return Err(RequestError::Invalid(format!(
                    "'{}' not found in keyspaces",
                    name.name
                )));
            }
        }
        let keyspace = self.find(name.keyspace.as_deref())?;
        let table = keyspace.tables.get(&name.name).ok_or_else(|| {
            RequestError::Invalid(format!(
                "'{}' not found in keyspace '{}'",
                name.name, keyspace.name
            ))
        })?;
        Ok(vec![Element::table(
            table,
            Some(create_table(table, internals)),
        )])
    }

    /// What is of a kind that no schema has yet.
    fn missing(self, name: &QualifiedName, kind: &str) -> Result<Answer, RequestError> {
        let keyspace = self.find(name.keyspace.as_deref())?;
        Err(RequestError::Invalid(format!(
            "{kind} '{}' not found in '{}'",
            name.name, keyspace.name
        )))
    }
}

fn sorted_tables(keyspace: &Keyspace) -> Vec<&Table> {
    let mut tables: Vec<&Table> = keyspace.tables.values().map(AsRef::as_ref).collect();
    tables.sort_by_key(|table| order(&table.name));
    tables
}

fn tables(keyspace: &Keyspace) -> Vec<Element> {
    sorted_tables(keyspace)
        .into_iter()
        .map(|table| Element::table(table, None))
        .collect()
}

fn types(keyspace: &Keyspace) -> Vec<Element> {
    let mut definitions: Vec<_> = keyspace.types.values().collect();
    definitions.sort_by_key(|definition| order(&definition.name));
    definitions
        .into_iter()
        .map(|definition| Element::user_type(definition, None))
        .collect()
}

fn created(keyspace: &Keyspace) -> Element {
    Element::keyspace(keyspace, Some(create_keyspace(keyspace)))
}

/// A keyspace and all that is in it.
fn everything(keyspace: &Keyspace, internals: Internals) -> Vec<Element> {
    let types = by_dependency(&keyspace.types);
    let types = types
        .into_iter()
        .map(|definition| Element::user_type(definition, Some(create_type(definition))));
    let tables = sorted_tables(keyspace);
    let tables = tables
        .into_iter()
        .map(|table| Element::table(table, Some(create_table(table, internals))));
    std::iter::once(created(keyspace))
        .chain(types)
        .chain(tables)
        .collect()
}

#[cfg(test)]
mod tests;
