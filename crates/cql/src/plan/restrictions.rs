//! WHERE: what a statement restricts, checked when it is prepared, and turned into partitions, slices and conditions
//! when it runs.
//!
//! Restrictions on the partition key name partitions (or, by token, a range of them); those on a prefix of the
//! clustering key name slices; the rest are conditions that rows are filtered by, which a SELECT must allow.

mod bind;
mod gather;

pub use bind::{BoundRestrictions, row_key};

use super::invalid;
use super::term::{Term, TermContext};
use crate::ast;
use model::error::RequestError;
use model::filter::{Operator, Target};
use model::row::ColumnId;
use model::schema::{Column, ColumnKind, Table};
use model::types::CqlType;
use std::sync::Arc;

/// The message that asks for ALLOW FILTERING.
pub const FILTERING: &str = "Cannot execute this query as it might involve data filtering and thus may have unpredictable performance. \
     If you want to execute this query despite the performance unpredictability, use ALLOW FILTERING";

/// The values of an IN.
#[derive(Debug, Clone)]
pub enum InTerms {
    /// Written out.
    List(Vec<Term>),
    /// One marker for the whole list, bound as a list of the type.
    Marker(Term, CqlType),
}

/// An end of a slice.
#[derive(Debug, Clone)]
pub struct End<T> {
    /// The value.
    pub value: T,
    /// Whether the value itself is in the slice.
    pub inclusive: bool,
}

/// What restricts one column, or several together.
#[derive(Debug, Clone)]
pub enum Restriction<T> {
    /// `=`.
    Equal(T),
    /// `IN`.
    In(InTerms),
    /// `<`, `<=`, `>`, `>=`.
    Slice {
        /// Lower end.
        lower: Option<End<T>>,
        /// Upper end.
        upper: Option<End<T>>,
    },
}

/// A restriction of clustering columns from `first` on.
#[derive(Debug, Clone)]
pub struct ClusteringRestriction {
    /// Position of the first column.
    pub first: usize,
    /// How many columns.
    pub count: usize,
    /// The values: a term per column, or one marker for the tuple.
    pub restriction: Restriction<TupleTerm>,
}

/// The values of several columns: one by one, or a single marker bound as a tuple.
#[derive(Debug, Clone)]
pub enum TupleTerm {
    /// A term per column.
    Terms(Vec<Term>),
    /// Bound as a tuple of the columns' types.
    Marker(Term),
}

/// A condition that rows are filtered by.
#[derive(Debug, Clone)]
pub struct FilterTerm {
    /// What is compared.
    pub target: Target,
    /// Name of the column, for messages.
    pub name: String,
    /// The column's type.
    pub ctype: CqlType,
    /// How.
    pub operator: Operator,
    /// Operands.
    pub operands: FilterOperands,
}

/// Operands of a condition.
#[derive(Debug, Clone)]
pub enum FilterOperands {
    /// One, or key and value of a map entry.
    Terms(Vec<Term>),
    /// Those of an IN.
    In(InTerms),
}

/// All restrictions of a statement.
#[derive(Debug, Clone)]
pub struct Restrictions {
    table: Arc<Table>,
    /// By partition key column; `Slice` never stays here: it becomes a filter.
    partition: Vec<Option<Restriction<Term>>>,
    token: Option<Restriction<Term>>,
    /// In clustering order, gapless from the first column.
    clustering: Vec<ClusteringRestriction>,
    filters: Vec<FilterTerm>,
    /// Whether answering needs ALLOW FILTERING.
    pub needs_filtering: bool,
}

/// What kind of statement the WHERE belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// SELECT, with or without ALLOW FILTERING.
    Select {
        /// Whether it was said.
        allow_filtering: bool,
    },
    /// UPDATE or DELETE.
    Modify,
}

impl Restrictions {
    /// Checks a WHERE clause.
    pub fn prepare(
        relations: &[ast::Relation],
        table: &Arc<Table>,
        purpose: Use,
        terms: &mut TermContext<'_>,
    ) -> Result<Self, RequestError> {
        // Computed tables are small: they are filtered without being asked to be.
        let computed = matches!(
            table.keyspace.as_str(),
            "system_views" | "system_virtual_schema"
        );
        let purpose = match purpose {
            Use::Select { .. } if computed => Use::Select {
                allow_filtering: true,
            },
            other => other,
        };
        let gathered = gather::gather(relations, table, terms)?;
        let mut restrictions = Self {
            table: table.clone(),
            partition: vec![None; table.partition_key().len()],
            token: gathered.token,
            clustering: Vec::new(),
            filters: gathered.filters,
            needs_filtering: false,
        };
        if purpose == Use::Modify && !restrictions.filters.is_empty() {
            let names: String = restrictions
                .filters
                .iter()
                .map(|filter| format!("{} ", filter.name))
                .collect();
            return Err(invalid(format!(
                "Non PRIMARY KEY columns found in where clause: {names}"
            )));
        }
        restrictions.needs_filtering = !restrictions.filters.is_empty();
        restrictions.take_partition(gathered.partition, purpose)?;
        restrictions.take_clustering(gathered.clustering, purpose)?;
        if let Use::Select {
            allow_filtering: false,
        } = purpose
            && restrictions.needs_filtering
        {
            return Err(invalid(FILTERING));
        }
        Ok(restrictions)
    }

    fn take_partition(
        &mut self,
        gathered: Vec<Option<Restriction<Term>>>,
        purpose: Use,
    ) -> Result<(), RequestError> {
        let restricted = gathered
            .iter()
            .filter(|restriction| restriction.is_some())
            .count();
        let columns = self.table.clone();
        let complete = restricted == gathered.len()
            && gathered
                .iter()
                .flatten()
                .all(|restriction| !matches!(restriction, Restriction::Slice { .. }));
        if complete {
            self.partition = gathered;
            if self.token.is_some() && matches!(purpose, Use::Modify) {
                return Err(invalid(
                    "The token function cannot be used in WHERE clauses for UPDATE and DELETE statements",
                ));
            }
            return Ok(());
        }
        if purpose == Use::Modify {
            if self.token.is_some() {
                return Err(invalid(
                    "The token function cannot be used in WHERE clauses for UPDATE and DELETE statements",
                ));
            }
            if gathered
                .iter()
                .flatten()
                .any(|restriction| matches!(restriction, Restriction::Slice { .. }))
            {
                return Err(invalid(
                    "Only EQ and IN relation are supported on the partition key (unless you use the token() function) for UPDATE and DELETE statements",
                ));
            }
            let missing: Vec<&str> = missing_names(columns.partition_key(), &gathered);
            return Err(invalid(format!(
                "Some partition key parts are missing: {}",
                missing.join(", ")
            )));
        }
        // Part of the key, or a slice of it: every partition is looked at.
        for (index, restriction) in gathered.into_iter().enumerate() {
            if let Some(restriction) = restriction {
                self.needs_filtering = true;
                self.filters.extend(as_filters(
                    &columns.partition_key()[index],
                    Target::PartitionKey(index),
                    restriction,
                ));
            }
        }
        Ok(())
    }

    fn take_clustering(
        &mut self,
        gathered: Vec<ClusteringRestriction>,
        purpose: Use,
    ) -> Result<(), RequestError> {
        let names = self.table.clustering_key();
        let mut next = 0;
        let mut sliced: Option<usize> = None;
        let mut kept = Vec::new();
        let mut filters = Vec::new();
        let whole_scan =
            matches!(purpose, Use::Select { .. }) && self.partition.iter().any(Option::is_none);
        let allowed = matches!(
            purpose,
            Use::Select {
                allow_filtering: true
            }
        );
        for restriction in gathered {
            let gap = restriction.first > next;
            if gap || sliced.is_some() {
                let name = &names[restriction.first].name;
                if !allowed {
                    if whole_scan && matches!(purpose, Use::Select { .. }) {
                        return Err(invalid(FILTERING));
                    }
                    return Err(invalid(match sliced {
                        Some(before) => format!(
                            "Clustering column \"{name}\" cannot be restricted (preceding column \"{}\" is restricted by a non-EQ relation)",
                            names[before].name
                        ),
                        None => format!(
                            "PRIMARY KEY column \"{name}\" cannot be restricted as preceding column \"{}\" is not restricted",
                            names[next].name
                        ),
                    }));
                }
                self.needs_filtering = true;
                filters.push(restriction);
                continue;
            }
            next = restriction.first + restriction.count;
            if matches!(restriction.restriction, Restriction::Slice { .. }) {
                sliced = Some(restriction.first);
            }
            kept.push(restriction);
        }
        if !kept.is_empty() && whole_scan {
            // A range of partitions with restricted rows is a filtered scan, except by token with nothing else.
            self.needs_filtering = true;
        }
        self.clustering = kept;
        let table = self.table.clone();
        for restriction in filters {
            self.filters
                .extend(clustering_filters(&table, restriction)?);
        }
        Ok(())
    }

    /// Whether all partition key columns are restricted by `=` or IN.
    pub fn names_partitions(&self) -> bool {
        self.partition.iter().all(Option::is_some)
    }

    /// Whether any column of the partition key is restricted by IN, as a place to read or as a condition.
    pub fn partition_in(&self) -> bool {
        let filtered = |filter: &FilterTerm| {
            matches!(filter.target, Target::PartitionKey(_)) && filter.operator == Operator::In
        };
        self.partition
            .iter()
            .flatten()
            .any(|restriction| matches!(restriction, Restriction::In(_)))
            || self.filters.iter().any(filtered)
    }

    /// Whether anything is asked of the partition key or its token.
    pub fn restricts_partition(&self) -> bool {
        let filtered = |filter: &FilterTerm| matches!(filter.target, Target::PartitionKey(_));
        self.partition.iter().any(Option::is_some)
            || self.has_token()
            || self.filters.iter().any(filtered)
    }

    /// Whether `token()` is restricted.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether any clustering column is restricted, by place or by filter.
    pub fn restricts_clustering(&self) -> bool {
        !self.clustering.is_empty()
            || self
                .filters
                .iter()
                .any(|filter| matches!(filter.target, Target::Clustering(_)))
    }

    /// Whether any non-static regular column or clustering column is restricted.
    pub fn restricts_rows(&self) -> bool {
        self.restricts_clustering()
            || self
                .filters
                .iter()
                .any(|filter| matches!(filter.target, Target::Regular(_)))
    }

    /// How many clustering columns, from the first, are restricted by `=` alone.
    pub fn clustering_equalities(&self) -> usize {
        self.clustering
            .iter()
            .take_while(|restriction| matches!(restriction.restriction, Restriction::Equal(_)))
            .map(|restriction| restriction.count)
            .sum()
    }

    /// Whether every clustering column is restricted by `=` or IN.
    pub fn names_rows(&self) -> bool {
        self.clustering
            .iter()
            .map(|restriction| restriction.count)
            .sum::<usize>()
            == self.table.clustering_key().len()
            && !self
                .clustering
                .iter()
                .any(|restriction| matches!(restriction.restriction, Restriction::Slice { .. }))
    }

    /// Whether a clustering column is restricted by IN.
    pub fn clustering_in(&self) -> bool {
        self.clustering
            .iter()
            .any(|restriction| matches!(restriction.restriction, Restriction::In(_)))
    }

    /// Whether a clustering column is restricted by a range.
    pub fn clustering_slice(&self) -> bool {
        self.clustering
            .iter()
            .any(|restriction| matches!(restriction.restriction, Restriction::Slice { .. }))
    }

    /// Names of the clustering columns that are not restricted by place.
    pub fn missing_clustering(&self) -> Vec<&str> {
        let covered = self
            .clustering
            .iter()
            .map(|restriction| restriction.count)
            .sum::<usize>();
        self.table.clustering_key()[covered..]
            .iter()
            .map(|column| column.name.as_str())
            .collect()
    }

    /// Whether a column is restricted by `=` with a single value, be it by filtering (for GROUP BY and ORDER BY).
    pub fn is_fixed(&self, column: &Column) -> bool {
        let target = match column.kind {
            ColumnKind::PartitionKey => Target::PartitionKey(column.position),
            ColumnKind::Clustering => Target::Clustering(column.position),
            ColumnKind::Static | ColumnKind::Regular => return false,
        };
        let mut filters = self.filters.iter();
        self.is_sought(column)
            || filters.any(|filter| filter.target == target && filter.operator == Operator::Equal)
    }

    /// Whether only rows with a single value of a primary key column are read at all.
    pub fn is_sought(&self, column: &Column) -> bool {
        match column.kind {
            ColumnKind::PartitionKey => {
                matches!(self.partition[column.position], Some(Restriction::Equal(_)))
            }
            ColumnKind::Clustering => self.clustering.iter().any(|restriction| {
                matches!(restriction.restriction, Restriction::Equal(_))
                    && (restriction.first..restriction.first + restriction.count)
                        .contains(&column.position)
            }),
            ColumnKind::Static | ColumnKind::Regular => false,
        }
    }

    /// Columns that conditions look at, besides the primary key: a reader must fetch them.
    pub fn filtered_columns(&self) -> impl Iterator<Item = ColumnId> + '_ {
        self.filters
            .iter()
            .filter_map(|filter| match filter.target {
                Target::Static(id) | Target::Regular(id) => Some(id),
                Target::PartitionKey(_) | Target::Clustering(_) => None,
            })
    }
}

fn missing_names<'a, T>(columns: &'a [Column], given: &[Option<T>]) -> Vec<&'a str> {
    columns
        .iter()
        .zip(given)
        .filter(|(_, restriction)| restriction.is_none())
        .map(|(column, _)| column.name.as_str())
        .collect()
}

/// Conditions equivalent to a restriction.
fn as_filters(column: &Column, target: Target, restriction: Restriction<Term>) -> Vec<FilterTerm> {
    let filter = |operator, operands| FilterTerm {
        target: target.clone(),
        name: column.name.clone(),
        ctype: column.ctype.clone(),
        operator,
        operands,
    };
    match restriction {
        Restriction::Equal(term) => {
            vec![filter(Operator::Equal, FilterOperands::Terms(vec![term]))]
        }
        Restriction::In(terms) => vec![filter(Operator::In, FilterOperands::In(terms))],
        Restriction::Slice { lower, upper } => {
            let lower = lower.map(|end| {
                filter(
                    if end.inclusive {
                        Operator::GreaterOrEqual
                    } else {
                        Operator::Greater
                    },
                    FilterOperands::Terms(vec![end.value]),
                )
            });
            let upper = upper.map(|end| {
                filter(
                    if end.inclusive {
                        Operator::LessOrEqual
                    } else {
                        Operator::Less
                    },
                    FilterOperands::Terms(vec![end.value]),
                )
            });
            lower.into_iter().chain(upper).collect()
        }
    }
}

/// Conditions on clustering columns that no slice can express. Multi-column ones cannot be conditions.
fn clustering_filters(
    table: &Table,
    restriction: ClusteringRestriction,
) -> Result<Vec<FilterTerm>, RequestError> {
    let column = &table.clustering_key()[restriction.first];
    let target = Target::Clustering(restriction.first);
    let single = |term: TupleTerm| match term {
        TupleTerm::Terms(mut terms) if terms.len() == 1 => Ok(terms.remove(0)),
        TupleTerm::Terms(_) | TupleTerm::Marker(_) => Err(invalid(
            "Multi-column slice restrictions cannot be used as filters: restrict the preceding clustering columns as well",
        )),
    };
    let end = |end: Option<End<TupleTerm>>| {
        end.map(|end| {
            Ok::<_, RequestError>(End {
                value: single(end.value)?,
                inclusive: end.inclusive,
            })
        })
        .transpose()
    };
    match restriction.restriction {
        Restriction::Equal(TupleTerm::Terms(terms)) => Ok(terms
            .into_iter()
            .enumerate()
            .flat_map(|(index, term)| {
                let position = restriction.first + index;
                as_filters(
                    &table.clustering_key()[position],
                    Target::Clustering(position),
                    Restriction::Equal(term),
                )
            })
            .collect()),
        Restriction::Equal(marker) => Ok(as_filters(
            column,
            target,
            Restriction::Equal(single(marker)?),
        )),
        Restriction::In(_) if restriction.count > 1 => {
            Err(invalid("Multicolumn IN filters are not supported"))
        }
        Restriction::In(terms) => Ok(as_filters(column, target, Restriction::In(terms))),
        Restriction::Slice { lower, upper } => Ok(as_filters(
            column,
            target,
            Restriction::Slice {
                lower: end(lower)?,
                upper: end(upper)?,
            },
        )),
    }
}
