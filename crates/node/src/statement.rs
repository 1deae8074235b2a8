//! Prepared statements of a node: by id, the same on every shard.

use cql::frame::ResultMetadata;
use cql::frame::response::prepared_id;
use cql::plan::{self, Catalog, Plan, Prepared};
use model::error::RequestError;
use model::limits::MAX_PREPARED_STATEMENTS;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Id of a prepared statement: MD5 of keyspace and text, as drivers expect it to be the same on every node.
pub type StatementId = [u8; 16];

/// A statement ready to run, with what is told of it.
#[derive(Debug)]
pub struct Statement {
    /// Its id.
    pub id: StatementId,
    /// Its text.
    pub text: Arc<str>,
    /// The keyspace its names were resolved in.
    pub keyspace: Option<Arc<str>>,
    /// The plan.
    pub prepared: Prepared,
    /// Its markers as clients are told.
    pub markers: ResultMetadata,
    /// Its result's columns.
    pub result: Arc<ResultMetadata>,
    /// Epoch of the schema it was planned with.
    pub epoch: u64,
}

impl Statement {
    /// Parses and plans a text.
    pub fn new(
        text: &str,
        keyspace: Option<&str>,
        catalog: Catalog<'_>,
    ) -> Result<Self, RequestError> {
        let parsed =
            cql::parse::parse(text).map_err(|error| RequestError::Syntax(error.to_string()))?;
        let prepared = plan::prepare(parsed, catalog, keyspace)?;
        let result = match &prepared.plan {
            Plan::Select(select) => select.metadata.clone(),
            _ => Arc::new(ResultMetadata::default()),
        };
        Ok(Self {
            id: prepared_id(keyspace, text),
            text: text.into(),
            keyspace: keyspace.map(Into::into),
            markers: ResultMetadata::new(prepared.variables.clone()),
            prepared,
            result,
            epoch: catalog.schema.epoch,
        })
    }
}

/// The statements a shard can execute by id. The oldest goes when there are too many; its clients prepare it again.
#[derive(Debug, Default)]
pub struct Statements {
    by_id: BTreeMap<StatementId, (u64, Arc<Statement>)>,
    by_age: BTreeMap<u64, StatementId>,
    next: u64,
    /// How many were dropped for want of room.
    pub evicted: u64,
}

impl Statements {
    /// The statement with this id.
    pub fn get(&self, id: &[u8]) -> Option<&Arc<Statement>> {
        let id: &StatementId = id.try_into().ok()?;
        self.by_id.get(id).map(|(_, statement)| statement)
    }

    /// Keeps a statement, in place of one with the same id.
    pub fn put(&mut self, statement: Arc<Statement>) {
        if let Some((age, _)) = self.by_id.get(&statement.id) {
            self.by_age.remove(age);
        }
        self.next += 1;
        self.by_age.insert(self.next, statement.id);
        self.by_id.insert(statement.id, (self.next, statement));
        if self.by_id.len() > MAX_PREPARED_STATEMENTS
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_id.remove(&oldest);
            self.evicted += 1;
        }
    }

    /// The statements, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Statement>> {
        self.by_id.values().map(|(_, statement)| statement)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
