//! The statements that change the schema, and DESCRIBE.

use super::{Direction, QualifiedName, Relation, Selected, Term, Type};

/// `name = value AND …`; no name twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties(pub Vec<(String, PropertyValue)>);

/// The value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyValue {
    /// The text of a constant or of a keyword, without quotes.
    Simple(String),
    /// The texts of a map, in the order written, no key twice.
    Map(Vec<(String, String)>),
}

/// `CREATE KEYSPACE …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateKeyspace {
    /// Its name.
    pub name: String,
    /// Nothing happens if it exists.
    pub if_not_exists: bool,
    /// `WITH …`
    pub properties: Properties,
}

/// `ALTER KEYSPACE …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterKeyspace {
    /// Its name.
    pub name: String,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
    /// `WITH …`
    pub properties: Properties,
}

/// `DROP KEYSPACE …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropKeyspace {
    /// Its name.
    pub name: String,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
}

/// DROP of a table, type, index or materialized view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// What is dropped.
    pub name: QualifiedName,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
}

/// `CREATE TABLE …`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// Its name.
    pub name: QualifiedName,
    /// Nothing happens if it exists.
    pub if_not_exists: bool,
    /// The columns in the order written.
    pub columns: Vec<ColumnDefinition>,
    /// Every PRIMARY KEY written, as a clause or at a column; a valid table has one.
    pub primary_keys: Vec<PrimaryKey>,
    /// `CLUSTERING ORDER BY`, in the order written.
    pub clustering_order: Vec<(String, Direction)>,
    /// `COMPACT STORAGE`
    pub compact_storage: bool,
    /// The rest of WITH.
    pub properties: Properties,
}

/// A column of CREATE TABLE or ALTER TABLE ADD.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: Type,
    /// Whether a partition has it once.
    pub is_static: bool,
    /// `MASKED WITH …`
    pub mask: Option<Mask>,
}

/// `MASKED WITH function(arguments)`
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// The function; `mask_default` for DEFAULT.
    pub function: QualifiedName,
    /// The arguments after the column.
    pub arguments: Vec<Term>,
}

/// `PRIMARY KEY ((a, b), c)`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrimaryKey {
    /// The columns that choose the partition.
    pub partition: Vec<String>,
    /// The columns that order its rows.
    pub clustering: Vec<String>,
}

/// `ALTER TABLE …`
#[derive(Debug, Clone, PartialEq)]
pub struct AlterTable {
    /// Its name.
    pub name: QualifiedName,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
    /// What changes.
    pub change: TableChange,
}

/// What ALTER TABLE changes.
#[derive(Debug, Clone, PartialEq)]
pub enum TableChange {
    /// `ADD …`
    Add {
        /// Columns that exist are passed over.
        if_not_exists: bool,
        /// The new columns.
        columns: Vec<ColumnDefinition>,
    },
    /// `DROP …`
    Drop {
        /// Columns that do not exist are passed over.
        if_exists: bool,
        /// The columns.
        columns: Vec<String>,
        /// `USING TIMESTAMP`, µs since the epoch.
        timestamp: Option<i64>,
    },
    /// `RENAME a TO b AND …`
    Rename {
        /// Columns that do not exist are passed over.
        if_exists: bool,
        /// Old and new names.
        columns: Vec<(String, String)>,
    },
    /// `ALTER column TYPE type`
    AlterType {
        /// The column.
        column: String,
        /// The new type.
        data_type: Type,
    },
    /// `ALTER column MASKED WITH …` or `DROP MASKED`
    Mask {
        /// A column that does not exist is passed over.
        if_exists: bool,
        /// The column.
        column: String,
        /// The new mask; `None` drops it.
        mask: Option<Mask>,
    },
    /// `DROP COMPACT STORAGE`
    DropCompactStorage,
    /// `WITH …`
    With(Properties),
}

/// `CREATE TYPE …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateType {
    /// Its name.
    pub name: QualifiedName,
    /// Nothing happens if it exists.
    pub if_not_exists: bool,
    /// The fields in order.
    pub fields: Vec<(String, Type)>,
}

/// `ALTER TYPE …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterType {
    /// Its name.
    pub name: QualifiedName,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
    /// What changes.
    pub change: TypeChange,
}

/// What ALTER TYPE changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeChange {
    /// `ADD field type`
    Add {
        /// A field that exists is passed over.
        if_not_exists: bool,
        /// The field.
        field: String,
        /// Its type.
        data_type: Type,
    },
    /// `RENAME a TO b AND …`
    Rename {
        /// Fields that do not exist are passed over.
        if_exists: bool,
        /// Old and new names.
        fields: Vec<(String, String)>,
    },
    /// `ALTER field TYPE type`
    AlterField {
        /// The field.
        field: String,
        /// The new type.
        data_type: Type,
    },
}

/// `CREATE [CUSTOM] INDEX …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateIndex {
    /// Whether CUSTOM was written.
    pub custom: bool,
    /// Nothing happens if it exists.
    pub if_not_exists: bool,
    /// Its name, if given.
    pub name: Option<String>,
    /// The table.
    pub table: QualifiedName,
    /// What it indexes, possibly nothing.
    pub targets: Vec<IndexTarget>,
    /// `USING 'class'`
    pub class: Option<String>,
    /// `WITH …`
    pub properties: Properties,
}

/// A column an index is on, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexTarget {
    /// What of the column.
    pub kind: IndexTargetKind,
    /// The column.
    pub column: String,
}

/// What of a column an index is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexTargetKind {
    /// Nothing was said: the value, or the values of a collection.
    Simple,
    /// `values(column)`
    Values,
    /// `keys(column)`
    Keys,
    /// `entries(column)`
    Entries,
    /// `full(column)`
    Full,
}

/// `CREATE MATERIALIZED VIEW …`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateMaterializedView {
    /// Its name.
    pub name: QualifiedName,
    /// Nothing happens if it exists.
    pub if_not_exists: bool,
    /// The table it follows.
    pub base: QualifiedName,
    /// What it keeps; empty means `*`.
    pub selection: Vec<Selected>,
    /// Which rows it keeps.
    pub relations: Vec<Relation>,
    /// Its primary key.
    pub primary_key: PrimaryKey,
    /// `CLUSTERING ORDER BY`
    pub clustering_order: Vec<(String, Direction)>,
    /// The rest of WITH.
    pub properties: Properties,
}

/// `ALTER MATERIALIZED VIEW …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterMaterializedView {
    /// Its name.
    pub name: QualifiedName,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
    /// `WITH …`
    pub properties: Properties,
}

/// `CREATE FUNCTION …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateFunction {
    /// Its name.
    pub name: QualifiedName,
    /// `OR REPLACE`
    pub or_replace: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// Names and types of the arguments.
    pub arguments: Vec<(String, Type)>,
    /// Whether it is called when an argument is null.
    pub called_on_null_input: bool,
    /// Its result.
    pub returns: Type,
    /// Its language in lower case.
    pub language: String,
    /// Its text.
    pub body: String,
}

/// DROP of a function or an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropFunction {
    /// Its name.
    pub name: QualifiedName,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
    /// The types of the arguments, if given.
    pub arguments: Option<Vec<Type>>,
}

/// `CREATE AGGREGATE …`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateAggregate {
    /// Its name.
    pub name: QualifiedName,
    /// `OR REPLACE`
    pub or_replace: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The types of the arguments.
    pub arguments: Vec<Type>,
    /// The function that adds a row to the state.
    pub state_function: String,
    /// The type of the state.
    pub state_type: Type,
    /// The function that makes the result from the last state.
    pub final_function: Option<String>,
    /// The first state.
    pub initial_state: Option<Term>,
}

/// `CREATE TRIGGER …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTrigger {
    /// Its name.
    pub name: String,
    /// Nothing happens if it exists.
    pub if_not_exists: bool,
    /// The table.
    pub table: QualifiedName,
    /// The Java class.
    pub class: String,
}

/// `DROP TRIGGER …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropTrigger {
    /// Its name.
    pub name: String,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
    /// The table.
    pub table: QualifiedName,
}

/// `DESCRIBE …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Describe {
    /// What is described.
    pub target: DescribeTarget,
    /// `WITH INTERNALS`
    pub with_internals: bool,
}

/// What DESCRIBE describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescribeTarget {
    /// `CLUSTER`
    Cluster,
    /// `[FULL] SCHEMA`
    Schema {
        /// Whether system keyspaces are included.
        full: bool,
    },
    /// `KEYSPACES`
    Keyspaces,
    /// `[ONLY] KEYSPACE [name]`
    Keyspace {
        /// The keyspace; `None` is the current one.
        name: Option<String>,
        /// Without what is in it.
        only: bool,
    },
    /// `TABLES`
    Tables,
    /// `TABLE name`
    Table(QualifiedName),
    /// `INDEX name`
    Index(QualifiedName),
    /// `MATERIALIZED VIEW name`
    MaterializedView(QualifiedName),
    /// `TYPES`
    Types,
    /// `TYPE name`
    Type(QualifiedName),
    /// `FUNCTIONS`
    Functions,
    /// `FUNCTION name`
    Function(QualifiedName),
    /// `AGGREGATES`
    Aggregates,
    /// `AGGREGATE name`
    Aggregate(QualifiedName),
    /// A name alone: a keyspace, table, index or view.
    Any(QualifiedName),
}
