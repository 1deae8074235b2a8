//! Sorts the relations of a WHERE by what they restrict, and refuses those that contradict one another.

mod tuple;

use super::super::term::{Term, TermContext};
use super::super::{column_spec, find_column, invalid, renamed};
use super::{
    ClusteringRestriction, End, FilterOperands, FilterTerm, InTerms, Restriction, TupleTerm,
};
use crate::ast;
use crate::frame::ColumnSpec;
use model::error::RequestError;
use model::filter::{Operator, Target};
use model::schema::{Column, ColumnKind, Table};
use model::types::{CqlType, Frozen};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the relations say, by what they restrict.
pub(super) struct Gathered {
    pub partition: Vec<Option<Restriction<Term>>>,
    pub token: Option<Restriction<Term>>,
    pub clustering: Vec<ClusteringRestriction>,
    pub filters: Vec<FilterTerm>,
}

struct Gatherer<'a, 'b> {
    table: &'a Arc<Table>,
    terms: &'a mut TermContext<'b>,
    partition: Vec<Option<Restriction<Term>>>,
    token: Option<Restriction<Term>>,
    clustering: BTreeMap<usize, ClusteringRestriction>,
    /// Restrictions of regular and static columns, by name, before they become conditions.
    others: BTreeMap<String, Restriction<Term>>,
    filters: Vec<FilterTerm>,
}

pub(super) fn gather(
    relations: &[ast::Relation],
    table: &Arc<Table>,
    terms: &mut TermContext<'_>,
) -> Result<Gathered, RequestError> {
    let partition = vec![None; table.partition_key().len()];
    let mut gatherer = Gatherer {
        table,
        terms,
        partition,
        token: None,
        clustering: BTreeMap::new(),
        others: BTreeMap::new(),
        filters: Vec::new(),
    };
    for relation in relations {
        gatherer.relation(relation)?;
    }
    for (name, restriction) in gatherer.others {
        let column = find_column(table, &name)?;
        gatherer
            .filters
            .extend(super::as_filters(column, target(column), restriction));
    }
    Ok(Gathered {
        partition: gatherer.partition,
        token: gatherer.token,
        clustering: gatherer.clustering.into_values().collect(),
        filters: gatherer.filters,
    })
}

fn target(column: &Column) -> Target {
    match column.kind {
        ColumnKind::PartitionKey => Target::PartitionKey(column.position),
        ColumnKind::Clustering => Target::Clustering(column.position),
        ColumnKind::Static => Target::Static(column.id),
        ColumnKind::Regular => Target::Regular(column.id),
    }
}

/// Whether the elements of an IN may be null; no value equals null, so such an element finds nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    Refused,
    Kept,
}

impl Gatherer<'_, '_> {
    fn relation(&mut self, relation: &ast::Relation) -> Result<(), RequestError> {
        match relation {
            ast::Relation::Column {
                column,
                operator,
                value,
            } => self.column(relation, column, *operator, value),
            ast::Relation::In { column, values } => {
                let column = find_column(self.table, column)?.clone();
                refuse_multi_cell(&column, "IN")?;
                refuse_duration(&column, relation, "IN")?;
                // IN of one value is `=`, for every rule about either.
                if let ast::InValues::List(items) = values
                    && let [only] = items.as_slice()
                {
                    let term = self
                        .terms
                        .prepare(only, &column_spec(self.table, &column))?;
                    refuse_null(&column, &term)?;
                    return self.restrict(&column, Restriction::Equal(term));
                }
                let nulls = if column.is_primary_key() {
                    Nulls::Refused
                } else {
                    Nulls::Kept
                };
                let terms = self.in_terms(values, &column_spec(self.table, &column), nulls)?;
                self.restrict(&column, Restriction::In(terms))
            }
            ast::Relation::IsNotNull { column } => {
                find_column(self.table, column)?;
                Err(invalid(format!("Unsupported restriction: {relation}")))
            }
            ast::Relation::Element {
                column,
                key,
                operator,
                value,
            } => self.element(relation, column, key, *operator, value),
            ast::Relation::Tuple {
                columns,
                operator,
                value,
            } => self.tuple(relation, columns, *operator, value),
            ast::Relation::TupleIn { columns, values } => self.tuple_in(relation, columns, values),
            ast::Relation::Token {
                columns,
                operator,
                value,
            } => self.token(columns, *operator, value),
            ast::Relation::CustomIndex { .. } => {
                Err(RequestError::not_supported("Custom index expressions are"))
            }
        }
    }

    fn column(
        &mut self,
        relation: &ast::Relation,
        name: &str,
        operator: ast::Operator,
        value: &ast::Term,
    ) -> Result<(), RequestError> {
        let column = find_column(self.table, name)?.clone();
        let spec = column_spec(self.table, &column);
        match operator {
            ast::Operator::NotEqual => {
                Err(invalid(format!("Unsupported \"!=\" relation: {relation}")))
            }
            ast::Operator::Like => {
                self.terms.prepare(value, &spec)?;
                Err(invalid(format!(
                    "LIKE restriction is only supported on properly indexed columns. {relation} is not valid."
                )))
            }
            ast::Operator::Contains | ast::Operator::ContainsKey => {
                self.contains(&column, &spec, operator, value)
            }
            ast::Operator::Equal => {
                refuse_multi_cell(&column, "=")?;
                let term = self.terms.prepare(value, &spec)?;
                refuse_null(&column, &term)?;
                self.restrict(&column, Restriction::Equal(term))
            }
            ast::Operator::Less
            | ast::Operator::LessOrEqual
            | ast::Operator::Greater
            | ast::Operator::GreaterOrEqual => {
                refuse_multi_cell(&column, operator_text(operator))?;
                refuse_duration(&column, relation, "Slice")?;
                let term = self.terms.prepare(value, &spec)?;
                if column.kind != ColumnKind::Clustering {
                    refuse_null(&column, &term)?;
                }
                self.restrict(&column, slice(operator, term))
            }
        }
    }

    fn contains(
        &mut self,
        column: &Column,
        spec: &ColumnSpec,
        operator: ast::Operator,
        value: &ast::Term,
    ) -> Result<(), RequestError> {
        let (word, kind, slot) = match (&column.ctype, operator) {
            (CqlType::Map(key, _, _), ast::Operator::ContainsKey) => {
                ("key", Operator::ContainsKey, key)
            }
            (_, ast::Operator::ContainsKey) => {
                return Err(invalid(format!(
                    "Cannot use CONTAINS KEY on non-map column {}",
                    column.name
                )));
            }
            (
                CqlType::List(element, _) | CqlType::Set(element, _) | CqlType::Map(_, element, _),
                _,
            ) => ("value", Operator::Contains, element),
            _ => {
                return Err(invalid(format!(
                    "Cannot use CONTAINS on non-collection column {}",
                    column.name
                )));
            }
        };
        let slot = renamed(
            spec,
            format!("{word}({})", column.name),
            slot.as_ref().clone(),
        );
        let term = self.terms.prepare(value, &slot)?;
        self.add_filter(column, kind, FilterOperands::Terms(vec![term]));
        Ok(())
    }

    fn element(
        &mut self,
        _relation: &ast::Relation,
        name: &str,
        key: &ast::Term,
        operator: ast::Operator,
        value: &ast::Term,
    ) -> Result<(), RequestError> {
        let column = find_column(self.table, name)?.clone();
        let spec = column_spec(self.table, &column);
        match &column.ctype {
            CqlType::List(..) => Err(invalid(format!(
                "Indexes on list entries ({name}[index] = value) are not currently supported."
            ))),
            CqlType::Map(_, _, Frozen::Yes) => Err(invalid(format!(
                "Map-entry equality predicates on frozen map column {name} are not supported"
            ))),
            CqlType::Map(key_type, item, Frozen::No) => {
                if operator != ast::Operator::Equal {
                    return Err(invalid("Only EQ relations are supported on map entries"));
                }
                let key = self.terms.prepare(
                    key,
                    &renamed(&spec, format!("key({name})"), key_type.as_ref().clone()),
                )?;
                let item = self.terms.prepare(
                    value,
                    &renamed(&spec, format!("value({name})"), item.as_ref().clone()),
                )?;
                if matches!(key, Term::Null) || matches!(item, Term::Null) {
                    return Err(invalid(format!(
                        "Unsupported null map {} for column {name}",
                        if matches!(key, Term::Null) {
                            "key"
                        } else {
                            "value"
                        }
                    )));
                }
                self.add_filter(
                    &column,
                    Operator::Entry,
                    FilterOperands::Terms(vec![key, item]),
                );
                Ok(())
            }
            _ => Err(invalid(format!("Column {name} cannot be used as a map"))),
        }
    }

    fn add_filter(&mut self, column: &Column, operator: Operator, operands: FilterOperands) {
        let (target, name, ctype) = (target(column), column.name.clone(), column.ctype.clone());
        self.filters.push(FilterTerm {
            target,
            name,
            ctype,
            operator,
            operands,
        });
    }

    fn in_terms(
        &mut self,
        values: &ast::InValues,
        spec: &ColumnSpec,
        nulls: Nulls,
    ) -> Result<InTerms, RequestError> {
        match values {
            ast::InValues::List(items) => Ok(InTerms::List(
                items
                    .iter()
                    .map(|item| {
                        let term = self.terms.prepare(item, spec)?;
                        match term {
                            Term::Null if nulls == Nulls::Refused => Err(invalid(format!(
                                "Invalid null value in condition for column {}",
                                spec.name
                            ))),
                            term => Ok(term),
                        }
                    })
                    .collect::<Result<_, _>>()?,
            )),
            ast::InValues::Marker(marker) => {
                let list = CqlType::List(Arc::new(spec.cql_type.clone()), Frozen::Yes);
                let slot = renamed(spec, format!("in({})", spec.name), list);
                let term = self
                    .terms
                    .prepare(&ast::Term::Marker(marker.clone()), &slot)?;
                Ok(InTerms::Marker(term, spec.cql_type.clone()))
            }
        }
    }

    fn restrict(
        &mut self,
        column: &Column,
        restriction: Restriction<Term>,
    ) -> Result<(), RequestError> {
        match column.kind {
            ColumnKind::PartitionKey => {
                let slot = &mut self.partition[column.position];
                *slot = Some(combine(slot.take(), restriction, &column.name)?);
            }
            ColumnKind::Clustering => {
                let restriction = match restriction {
                    Restriction::Equal(term) => Restriction::Equal(TupleTerm::Terms(vec![term])),
                    Restriction::In(terms) => Restriction::In(terms),
                    Restriction::Slice { lower, upper } => {
                        let wrap = |end: Option<End<Term>>| {
                            end.map(|end| End {
                                value: TupleTerm::Terms(vec![end.value]),
                                inclusive: end.inclusive,
                            })
                        };
                        Restriction::Slice {
                            lower: wrap(lower),
                            upper: wrap(upper),
                        }
                    }
                };
                self.restrict_clustering(column.position, 1, restriction)?;
            }
            ColumnKind::Static | ColumnKind::Regular => {
                let combined =
                    combine(self.others.remove(&column.name), restriction, &column.name)?;
                self.others.insert(column.name.clone(), combined);
            }
        }
        Ok(())
    }

    fn restrict_clustering(
        &mut self,
        first: usize,
        count: usize,
        restriction: Restriction<TupleTerm>,
    ) -> Result<(), RequestError> {
        let overlapping = self
            .clustering
            .values()
            .find(|other| other.first < first + count && first < other.first + other.count)
            .map(|other| other.first);
        let Some(start) = overlapping else {
            self.clustering.insert(
                first,
                ClusteringRestriction {
                    first,
                    count,
                    restriction,
                },
            );
            return Ok(());
        };
        let other = self.clustering.remove(&start).expect("just found");
        let key = self.table.clustering_key();
        let names: Vec<&str> = key
            [other.first.max(first)..(other.first + other.count).min(first + count)]
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        let combined = combine(Some(other.restriction), restriction, &names.join(" ,"))?;
        if start != first {
            return Err(invalid(format!(
                "Column \"{}\" cannot be restricted by two inequalities not starting with the same column",
                key[first.max(start)].name
            )));
        }
        let count = other.count.max(count);
        self.clustering.insert(
            first,
            ClusteringRestriction {
                first,
                count,
                restriction: combined,
            },
        );
        Ok(())
    }

    fn token(
        &mut self,
        names: &[String],
        operator: ast::Operator,
        value: &ast::Term,
    ) -> Result<(), RequestError> {
        let key = self.table.partition_key();
        let mut positions = Vec::with_capacity(names.len());
        for name in names {
            let column = find_column(self.table, name)?;
            if column.kind != ColumnKind::PartitionKey {
                return Err(invalid(
                    "The token() function must be applied to all partition key components or none of them",
                ));
            }
            positions.push(column.position);
        }
        if positions.len() != key.len() {
            return Err(invalid(
                "The token() function must be applied to all partition key components or none of them",
            ));
        }
        if positions
            .iter()
            .enumerate()
            .any(|(index, position)| index != *position)
        {
            let order: Vec<&str> = key.iter().map(|column| column.name.as_str()).collect();
            return Err(invalid(format!(
                "The token function arguments must be in the partition key order: {}",
                order.join(", ")
            )));
        }
        let slot = renamed(
            &column_spec(self.table, &key[0]),
            "partition key token".to_owned(),
            CqlType::Bigint,
        );
        let term = self.terms.prepare(value, &slot)?;
        if matches!(term, Term::Null) {
            return Err(invalid("Invalid null token value"));
        }
        let restriction = match operator {
            ast::Operator::Equal => Restriction::Equal(term),
            ast::Operator::Less
            | ast::Operator::LessOrEqual
            | ast::Operator::Greater
            | ast::Operator::GreaterOrEqual => slice(operator, term),
            _ => {
                return Err(invalid(format!(
                    "{} cannot be used with token()",
                    operator_text(operator)
                )));
            }
        };
        self.token = Some(combine(self.token.take(), restriction, &names.join(", "))?);
        Ok(())
    }
}

/// A literal null is refused when the statement is prepared; a bound one when it runs.
fn refuse_null(column: &Column, term: &Term) -> Result<(), RequestError> {
    match term {
        Term::Null if column.is_primary_key() => Err(invalid(format!(
            "Invalid null value in condition for column {}",
            column.name
        ))),
        _ => Ok(()),
    }
}

fn slice<T>(operator: ast::Operator, value: T) -> Restriction<T> {
    let end = |inclusive| Some(End { value, inclusive });
    match operator {
        ast::Operator::Greater => Restriction::Slice {
            lower: end(false),
            upper: None,
        },
        ast::Operator::GreaterOrEqual => Restriction::Slice {
            lower: end(true),
            upper: None,
        },
        ast::Operator::Less => Restriction::Slice {
            lower: None,
            upper: end(false),
        },
        _ => Restriction::Slice {
            lower: None,
            upper: end(true),
        },
    }
}

/// Two restrictions of the same columns: only the two ends of a range go together.
fn combine<T>(
    present: Option<Restriction<T>>,
    added: Restriction<T>,
    name: &str,
) -> Result<Restriction<T>, RequestError> {
    let Some(present) = present else {
        return Ok(added);
    };
    match (present, added) {
        (
            Restriction::Slice { lower, upper },
            Restriction::Slice {
                lower: new_lower,
                upper: new_upper,
            },
        ) => {
            if lower.is_some() && new_lower.is_some() {
                return Err(invalid(format!(
                    "More than one restriction was found for the start bound on {name}"
                )));
            }
            if upper.is_some() && new_upper.is_some() {
                return Err(invalid(format!(
                    "More than one restriction was found for the end bound on {name}"
                )));
            }
            Ok(Restriction::Slice {
                lower: lower.or(new_lower),
                upper: upper.or(new_upper),
            })
        }
        (Restriction::Slice { .. }, _) => Err(invalid(format!(
            "Column \"{name}\" cannot be restricted by both an equality and an inequality relation"
        ))),
        (Restriction::Equal(_), _) => Err(invalid(format!(
            "{name} cannot be restricted by more than one relation if it includes an Equal"
        ))),
        (Restriction::In(_), _) => Err(invalid(format!(
            "{name} cannot be restricted by more than one relation if it includes a IN"
        ))),
    }
}

fn refuse_multi_cell(column: &Column, operator: &str) -> Result<(), RequestError> {
    if column.ctype.is_multi_cell() {
        let noun = if column.ctype.is_collection() {
            "Collection column"
        } else {
            "UDT column"
        };
        return Err(invalid(format!(
            "{noun} '{}' ({}) cannot be restricted by a '{operator}' relation",
            column.name, column.ctype
        )));
    }
    Ok(())
}

fn refuse_duration(
    column: &Column,
    _relation: &ast::Relation,
    what: &str,
) -> Result<(), RequestError> {
    if what == "Slice" && column.ctype.any(&|ctype| *ctype == CqlType::Duration) {
        let noun = match column.ctype {
            CqlType::Duration => "duration columns",
            CqlType::Tuple(_) => "tuples containing durations",
            CqlType::Udt(..) => "UDTs containing durations",
            _ => "collections containing durations",
        };
        return Err(invalid(format!(
            "Slice restrictions are not supported on {noun}"
        )));
    }
    Ok(())
}

fn operator_text(operator: ast::Operator) -> &'static str {
    match operator {
        ast::Operator::Equal => "=",
        ast::Operator::NotEqual => "!=",
        ast::Operator::Less => "<",
        ast::Operator::LessOrEqual => "<=",
        ast::Operator::Greater => ">",
        ast::Operator::GreaterOrEqual => ">=",
        ast::Operator::Contains => "CONTAINS",
        ast::Operator::ContainsKey => "CONTAINS KEY",
        ast::Operator::Like => "LIKE",
    }
}
