//! BATCH: several modifications as one.

use super::modify::{ModifyPlan, timestamp};
use super::term::{Term, TermContext};
use super::values::BoundValues;
use super::{Catalog, invalid, prepare_modification};
use crate::ast::{self, BatchKind};
use crate::frame::ColumnSpec;
use model::error::RequestError;
use model::types::CqlType;

/// What stands for keyspace and table of the marker in a batch's own USING.
const BATCH_NAME: &str = "[batch]";

/// A prepared BATCH statement.
#[derive(Debug)]
pub struct BatchPlan {
    /// Logged, unlogged or counter.
    pub kind: BatchKind,
    /// The modifications in order.
    pub statements: Vec<ModifyPlan>,
    timestamp: Option<Term>,
}

impl BatchPlan {
    /// Prepares a BATCH.
    pub fn prepare<'a>(
        batch: &ast::Batch,
        terms: &mut TermContext<'a>,
        catalog: Catalog<'a>,
        keyspace: Option<&str>,
    ) -> Result<Self, RequestError> {
        if batch.using.ttl.is_some() {
            return Err(invalid(
                "Global TTL on the BATCH statement is not supported.",
            ));
        }
        let spec = ColumnSpec {
            keyspace: BATCH_NAME.into(),
            table: BATCH_NAME.into(),
            name: "[timestamp]".into(),
            cql_type: CqlType::Bigint,
        };
        let timestamp = batch
            .using
            .timestamp
            .as_ref()
            .map(|term| terms.prepare(term, &spec))
            .transpose()?;
        let statements = batch
            .statements
            .iter()
            .map(|statement| prepare_modification(statement, terms, catalog, keyspace))
            .collect::<Result<Vec<_>, _>>()?;
        validate(
            batch.kind,
            &statements.iter().collect::<Vec<_>>(),
            timestamp.is_some(),
        )?;
        Ok(Self {
            kind: batch.kind,
            statements,
            timestamp,
        })
    }

    /// Whether a marker is the batch's own, of none of its statements.
    pub(super) fn is_own_marker(spec: &ColumnSpec) -> bool {
        &*spec.table == BATCH_NAME
    }

    /// Whether the batch states a timestamp.
    pub fn has_timestamp(&self) -> bool {
        self.timestamp.is_some()
    }

    /// The timestamp for statements that state none, in microseconds.
    pub fn timestamp(&self, values: &BoundValues<'_>, default: i64) -> Result<i64, RequestError> {
        timestamp(self.timestamp.as_ref(), values, default)
    }
}

/// The rules on what may stand together in a batch, of the statement and of the protocol's BATCH alike.
pub fn validate(
    kind: BatchKind,
    statements: &[&ModifyPlan],
    has_timestamp: bool,
) -> Result<(), RequestError> {
    let conditional = statements
        .iter()
        .any(|statement| statement.is_conditional());
    let counters = statements
        .iter()
        .filter(|statement| statement.is_counter())
        .count();
    if has_timestamp {
        if conditional {
            return Err(invalid(
                "Cannot provide custom timestamp for conditional BATCH",
            ));
        }
        if kind == BatchKind::Counter {
            return Err(invalid("Cannot provide custom timestamp for counter BATCH"));
        }
        if statements.iter().any(|statement| statement.has_timestamp()) {
            return Err(invalid(
                "Timestamp must be set either on BATCH or individual statements",
            ));
        }
    }
    if kind == BatchKind::Counter && counters < statements.len() {
        return Err(invalid(
            "Cannot include non-counter statement in a counter batch",
        ));
    }
    if counters > 0 && counters < statements.len() {
        return Err(invalid(
            "Counter and non-counter mutations cannot exist in the same batch",
        ));
    }
    if kind == BatchKind::Logged && counters > 0 {
        return Err(invalid(
            "Cannot include a counter statement in a logged batch",
        ));
    }
    if conditional
        && statements
            .windows(2)
            .any(|pair| pair[0].table.id != pair[1].table.id)
    {
        return Err(invalid("Batch with conditions cannot span multiple tables"));
    }
    Ok(())
}
