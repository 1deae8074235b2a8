//! The syntax tree of CQL: what was written, before any name is resolved.
//!
//! Names are folded as Cassandra folds them (lower case unless quoted); nothing else is interpreted. Bind markers are
//! numbered in the order in which they appear in the text, across a whole batch. Every tree is of bounded depth (see
//! [`crate::parse`]), so walking or dropping one cannot exhaust the stack.
//!
//! [`std::fmt::Display`] of terms, selectors, relations and types prints them the way Cassandra does in error messages and
//! in the names of result columns.

mod access;
mod display;
mod modify;
mod relation;
mod schema;
mod select;
mod selector;
mod term;
mod types;

pub use access::*;
pub use display::{full_name, maybe_quote};
pub use modify::*;
pub use relation::*;
pub use schema::*;
pub use select::*;
pub use selector::*;
pub use term::*;
pub use types::*;

/// A parsed statement and its bind markers.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The statement.
    pub statement: Statement,
    /// The name of each bind marker in order of appearance, `None` for `?`.
    pub markers: Vec<Option<String>>,
}

/// One CQL statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `USE keyspace`
    Use(String),
    /// `SELECT …`
    Select(Select),
    /// `INSERT …`
    Insert(Insert),
    /// `UPDATE …`
    Update(Update),
    /// `DELETE …`
    Delete(Delete),
    /// `BEGIN BATCH … APPLY BATCH`
    Batch(Batch),
    /// `TRUNCATE [TABLE] table`
    Truncate(QualifiedName),
    /// `CREATE KEYSPACE …`
    CreateKeyspace(CreateKeyspace),
    /// `ALTER KEYSPACE …`
    AlterKeyspace(AlterKeyspace),
    /// `DROP KEYSPACE …`
    DropKeyspace(DropKeyspace),
    /// `CREATE TABLE …`
    CreateTable(CreateTable),
    /// `ALTER TABLE …`
    AlterTable(AlterTable),
    /// `DROP TABLE …`
    DropTable(Drop),
    /// `CREATE TYPE …`
    CreateType(CreateType),
    /// `ALTER TYPE …`
    AlterType(AlterType),
    /// `DROP TYPE …`
    DropType(Drop),
    /// `CREATE [CUSTOM] INDEX …`
    CreateIndex(CreateIndex),
    /// `DROP INDEX …`
    DropIndex(Drop),
    /// `CREATE MATERIALIZED VIEW …`
    CreateMaterializedView(CreateMaterializedView),
    /// `ALTER MATERIALIZED VIEW …`
    AlterMaterializedView(AlterMaterializedView),
    /// `DROP MATERIALIZED VIEW …`
    DropMaterializedView(Drop),
    /// `CREATE FUNCTION …`
    CreateFunction(CreateFunction),
    /// `DROP FUNCTION …`
    DropFunction(DropFunction),
    /// `CREATE AGGREGATE …`
    CreateAggregate(CreateAggregate),
    /// `DROP AGGREGATE …`
    DropAggregate(DropFunction),
    /// `CREATE TRIGGER …`
    CreateTrigger(CreateTrigger),
    /// `DROP TRIGGER …`
    DropTrigger(DropTrigger),
    /// `CREATE ROLE …` and `CREATE USER …`
    CreateRole(CreateRole),
    /// `ALTER ROLE …` and `ALTER USER …`
    AlterRole(AlterRole),
    /// `DROP ROLE …` and `DROP USER …`
    DropRole(DropRole),
    /// `LIST ROLES …`
    ListRoles(ListRoles),
    /// `LIST USERS`
    ListUsers,
    /// `GRANT role TO role`
    GrantRole(GrantRole),
    /// `REVOKE role FROM role`
    RevokeRole(GrantRole),
    /// `GRANT permissions ON resource TO role`
    GrantPermissions(GrantPermissions),
    /// `REVOKE permissions ON resource FROM role`
    RevokePermissions(GrantPermissions),
    /// `LIST permissions …`
    ListPermissions(ListPermissions),
    /// `ADD IDENTITY …`
    AddIdentity(AddIdentity),
    /// `DROP IDENTITY …`
    DropIdentity(DropIdentity),
    /// `DESCRIBE …`
    Describe(Describe),
}

impl Statement {
    /// Whether what it means depends on no keyspace in use: it reads or writes tables, and every one is named with its keyspace.
    /// Statements of other kinds count as unqualified, as Cassandra has it, whatever they name.
    pub fn is_fully_qualified(&self) -> bool {
        match self {
            Self::Select(select) => select.table.keyspace.is_some(),
            Self::Insert(insert) => insert.table.keyspace.is_some(),
            Self::Update(update) => update.table.keyspace.is_some(),
            Self::Delete(delete) => delete.table.keyspace.is_some(),
            Self::Truncate(table) => table.keyspace.is_some(),
            Self::Batch(batch) => batch
                .statements
                .iter()
                .all(|statement| statement.table().keyspace.is_some()),
            _ => false,
        }
    }

    /// Whether it reads or writes tables.
    pub fn is_about_data(&self) -> bool {
        matches!(
            self,
            Self::Select(_)
                | Self::Insert(_)
                | Self::Update(_)
                | Self::Delete(_)
                | Self::Truncate(_)
                | Self::Batch(_)
        )
    }
}

/// A name that may say its keyspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QualifiedName {
    /// The keyspace, if it was given.
    pub keyspace: Option<String>,
    /// The name itself.
    pub name: String,
}
