//! Prepared statements of a node: by id, the same on every shard.

use cql::frame::ResultMetadata;
use cql::frame::response::prepared_id;
use cql::plan::{self, Catalog, Plan, Prepared};
use model::error::RequestError;
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
    /// The keyspace its names were resolved in; none if it names its tables with theirs, so that it has the same id whatever
    /// keyspace a connection uses: drivers prepare it again on nodes where they use another.
    pub keyspace: Option<Arc<str>>,
    /// How clear it is about the keyspaces of what it names.
    pub naming: Naming,
    /// The plan.
    pub prepared: Prepared,
    /// Its markers as clients are told.
    pub markers: ResultMetadata,
    /// Its result's columns.
    pub result: Arc<ResultMetadata>,
    /// Epoch of the schema it was planned with.
    pub epoch: u64,
}

/// How clear a statement is about the keyspaces of what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// It reads or writes tables and names each with its keyspace.
    Qualified,
    /// It reads or writes tables, and the keyspace in use matters.
    Unqualified,
    /// It is about something else: the keyspace in use counts as if it mattered.
    Otherwise,
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
        let naming = match &parsed.statement {
            statement if statement.is_fully_qualified() => Naming::Qualified,
            statement if statement.is_about_data() => Naming::Unqualified,
            _ => Naming::Otherwise,
        };
        let keyspace = keyspace.filter(|_| naming != Naming::Qualified);
        let prepared = plan::prepare(parsed, catalog, keyspace)?;
        let result = match &prepared.plan {
            Plan::Select(select) => select.metadata.clone(),
            _ => Arc::new(ResultMetadata::default()),
        };
        Ok(Self {
            id: prepared_id(keyspace, text),
            text: text.into(),
            keyspace: keyspace.map(Into::into),
            naming,
            markers: ResultMetadata::new(prepared.variables.clone()),
            prepared,
            result,
            epoch: catalog.schema.epoch,
        })
    }
}

/// What a statement takes beside what grows with its text: tables of columns, plan and metadata, measured.
const STATEMENT_BYTES: usize = 6 << 10;
/// What a plan takes for each byte of its text, measured.
const PLAN_BYTES_A_TEXT_BYTE: usize = 24;
/// How much of a statement that is too large a client is shown.
const SHOWN_CHARS: usize = 200;

impl Statement {
    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        STATEMENT_BYTES + self.text.len() * PLAN_BYTES_A_TEXT_BYTE
    }
}

/// The statements a shard can execute by id, within a number of bytes. The least recently used go when there are too
/// many; their clients are told so when they execute them, and prepare them again.
#[derive(Debug)]
pub struct Statements {
    by_id: BTreeMap<StatementId, Kept>,
    bytes: usize,
    max_bytes: usize,
    /// Counts uses.
    uses: u64,
    /// How many were dropped for want of room.
    pub evicted: u64,
    /// How many of those the operator was told of.
    told: u64,
}

#[derive(Debug)]
struct Kept {
    statement: Arc<Statement>,
    last_used: u64,
}

impl Statements {
    /// None yet.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            bytes: 0,
            max_bytes,
            uses: 0,
            evicted: 0,
            told: 0,
        }
    }

    /// The statement with this id, which is now the one used last.
    pub fn get(&mut self, id: &[u8]) -> Option<&Arc<Statement>> {
        let id: &StatementId = id.try_into().ok()?;
        let kept = self.by_id.get_mut(id)?;
        self.uses += 1;
        kept.last_used = self.uses;
        Some(&kept.statement)
    }

    /// Whether the statement with this id is kept; no use of it.
    pub fn contains(&self, id: &StatementId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Refuses a statement that would not fit though it were the only one.
    pub fn check_size(&self, statement: &Statement) -> Result<(), RequestError> {
        if statement.bytes() <= self.max_bytes {
            return Ok(());
        }
        let shown: String = statement.text.chars().take(SHOWN_CHARS).collect();
        Err(RequestError::Invalid(format!(
            "Prepared statement of size {} bytes is larger than allowed maximum of {} KiB: {shown}...",
            statement.bytes(),
            self.max_bytes >> 10
        )))
    }

    /// Keeps a statement, in place of one with the same id.
    pub fn put(&mut self, statement: Arc<Statement>) {
        self.uses += 1;
        self.bytes += statement.bytes();
        let kept = Kept {
            last_used: self.uses,
            statement,
        };
        if let Some(before) = self.by_id.insert(kept.statement.id, kept) {
            self.bytes -= before.statement.bytes();
        }
        while self.bytes > self.max_bytes && self.by_id.len() > 1 {
            self.evict();
        }
    }

    /// Drops the least recently used. Looks at all: that costs less than to keep them in order with every use.
    fn evict(&mut self) {
        let oldest = self.by_id.iter().min_by_key(|(_, kept)| kept.last_used);
        if let Some(id) = oldest.map(|(id, _)| *id)
            && let Some(kept) = self.by_id.remove(&id)
        {
            self.bytes -= kept.statement.bytes();
            self.evicted += 1;
        }
    }

    /// What the operator should know of what was dropped since this was last asked, at intervals of `period`.
    pub fn evictions(&mut self, period: &str) -> Option<String> {
        let dropped = self.evicted - self.told;
        self.told = self.evicted;
        (dropped > 0).then(|| {
            format!(
                "{dropped} prepared statements discarded in the last {period} because cache limit reached ({} KiB of a shard; see \
                 prepared_statements_cache_size)",
                self.max_bytes >> 10
            )
        })
    }

    /// The statements, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Statement>> {
        self.by_id.values().map(|kept| &kept.statement)
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::schema::Schema;

    fn statement(text: &str) -> Arc<Statement> {
        let (schema, virtual_keyspaces) = (Schema::default(), BTreeMap::new());
        let catalog = Catalog {
            schema: &schema,
            virtual_keyspaces: &virtual_keyspaces,
        };
        Arc::new(Statement::new(text, None, catalog).expect("valid"))
    }

    #[test]
    fn the_marker_of_a_batch_belongs_to_no_table() {
        let batch = statement("BEGIN BATCH USING TIMESTAMP ? APPLY BATCH");
        let marker = &batch.markers.columns()[0];
        let (keyspace, table) = (&*marker.keyspace, &*marker.table);
        assert_eq!((keyspace, table), ("[batch]", "[batch]"));
        assert_eq!(batch.naming, Naming::Qualified);
    }

    #[test]
    fn the_least_recently_used_goes_when_bytes_run_out() {
        let all: Vec<_> = ["USE a", "USE b", "USE c", "USE d"].map(statement).into();
        let mut statements = Statements::new(3 * all[0].bytes());
        all[..3].iter().for_each(|one| statements.put(one.clone()));
        assert!(statements.get(&all[0].id).is_some());
        statements.put(all[2].clone());
        statements.put(all[3].clone());
        let found = |statements: &mut Statements| {
            let found = all.iter().map(|one| statements.get(&one.id).is_some());
            found.collect::<Vec<bool>>()
        };
        assert_eq!(found(&mut statements), [true, false, true, true]);
        assert_eq!((statements.len(), statements.evicted), (3, 1));
        assert!(
            statements
                .evictions("minute")
                .is_some_and(|line| line.starts_with("1 prepared"))
        );
        assert_eq!(statements.evictions("minute"), None);
        statements.put(statement(&format!("USE {}", "x".repeat(40))));
        assert!(statements.len() < 3 && statements.bytes <= statements.max_bytes);
    }

    #[test]
    fn what_would_never_fit_is_refused() {
        let one = statement("USE a");
        assert!(Statements::new(one.bytes()).check_size(&one).is_ok());
        assert!(Statements::new(one.bytes() - 1).check_size(&one).is_err());
    }
}
