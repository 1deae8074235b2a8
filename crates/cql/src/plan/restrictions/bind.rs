//! Restrictions with their values: the partitions, slices and conditions of one execution.

mod slices;

use super::super::invalid;
use super::super::term::Term;
use super::super::values::{Bound, BoundValues};
use super::{
    ClusteringRestriction, End, FilterOperands, InTerms, Restriction, Restrictions, TupleTerm,
};
use model::clustering::Slice;
use model::comparable;
use model::error::RequestError;
use model::filter::{Condition, RowFilter};
use model::key::{self, DecoratedKey, Token};
use model::limits::{MAX_IN_COMBINATIONS, MAX_KEY_BYTES, MAX_STATEMENT_WRITE_BYTES};
use model::read::{KeyBound, KeyRange};
use model::schema::{Column, Table};
use model::value;
use slices::{column_slice, normalized, tuple_slices};
use std::borrow::Cow;

/// What one execution reads or changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundRestrictions {
    /// The partitions, by key in the order of the key's types; `None` for a range.
    pub keys: Option<Vec<DecoratedKey>>,
    /// The range, where no keys are named; two where it wraps would be needed never occur in WHERE.
    pub range: KeyRange,
    /// Clustering slices, disjoint and ascending.
    pub slices: Vec<Slice>,
    /// Conditions.
    pub filter: RowFilter,
}

type Bytes<'a> = Cow<'a, [u8]>;

/// Columns of a partition key that is put together without an allocation for its parts.
const FEW_COLUMNS: usize = 4;

impl Restrictions {
    /// Evaluates everything.
    pub fn bind(&self, values: &BoundValues<'_>) -> Result<BoundRestrictions, RequestError> {
        Ok(BoundRestrictions {
            keys: if self.names_partitions() {
                Some(self.keys(values)?)
            } else {
                None
            },
            range: self.range(values)?,
            slices: self.slices(values)?,
            filter: self.filter(values)?,
        })
    }

    /// The partition keys named.
    pub fn keys(&self, values: &BoundValues<'_>) -> Result<Vec<DecoratedKey>, RequestError> {
        let columns = self.table.partition_key();
        if self.token.is_none()
            && let Some(key) = self.only_key(values)
        {
            return Ok(vec![key?]);
        }
        let mut choices: Vec<Vec<Bytes<'_>>> = Vec::with_capacity(columns.len());
        for (column, restriction) in columns.iter().zip(&self.partition) {
            choices.push(
                match restriction
                    .as_ref()
                    .expect("the caller asked names_partitions")
                {
                    Restriction::Equal(term) => vec![key_value(term, column, values)?],
                    Restriction::In(terms) => in_values(terms, column, values)?,
                    Restriction::Slice { .. } => {
                        unreachable!("slices of the partition key are filters")
                    }
                },
            );
        }
        let combinations = choices
            .iter()
            .fold(1usize, |all, choice| all.saturating_mul(choice.len()));
        if combinations > MAX_IN_COMBINATIONS {
            return Err(invalid(format!(
                "IN restrictions name {combinations} partitions; at most {MAX_IN_COMBINATIONS} are allowed"
            )));
        }
        let longest: usize = choices
            .iter()
            .filter_map(|choice| choice.iter().map(|value| value.as_ref().len()).max())
            .sum();
        check_bytes(combinations, longest)?;
        let mut keys = Vec::with_capacity(combinations);
        for mut index in 0..combinations {
            let mut parts: Vec<&[u8]> = vec![&[]; choices.len()];
            for (part, choice) in parts.iter_mut().zip(&choices).rev() {
                *part = choice[index % choice.len()].as_ref();
                index /= choice.len();
            }
            keys.push(decorated(&parts, columns)?);
        }
        keys.dedup();
        if self.token.is_some() {
            let range = self.range(values)?;
            keys.retain(|key| range.contains(key.token, &key.key));
        }
        Ok(keys)
    }

    /// The one key that `=` on each of a few columns names, put together without a list of its parts; `None` if keys are
    /// named otherwise.
    fn only_key(&self, values: &BoundValues<'_>) -> Option<Result<DecoratedKey, RequestError>> {
        let columns = self.table.partition_key();
        let is_equal = |restriction: &Option<_>| matches!(restriction, Some(Restriction::Equal(_)));
        if columns.len() > FEW_COLUMNS || !self.partition.iter().all(is_equal) {
            return None;
        }
        let mut found: [Bytes<'_>; FEW_COLUMNS] = Default::default();
        for ((part, restriction), column) in found.iter_mut().zip(&self.partition).zip(columns) {
            if let Some(Restriction::Equal(term)) = restriction {
                match key_value(term, column, values) {
                    Ok(value) => *part = value,
                    Err(error) => return Some(Err(error)),
                }
            }
        }
        let parts = found.each_ref().map(AsRef::as_ref);
        Some(decorated(&parts[..columns.len()], columns))
    }

    fn range(&self, values: &BoundValues<'_>) -> Result<KeyRange, RequestError> {
        let token = |term: &Term| -> Result<Token, RequestError> {
            let bytes = term
                .evaluate(values)?
                .required(|| invalid("Invalid unset token value"))?
                .ok_or_else(|| invalid("Invalid null token value"))?;
            let bytes: [u8; 8] = bytes
                .as_ref()
                .try_into()
                .map_err(|_| invalid("Invalid token value"))?;
            Ok(Token(i64::from_be_bytes(bytes)))
        };
        let mut range = KeyRange::all();
        match &self.token {
            None | Some(Restriction::In(_)) => {}
            Some(Restriction::Equal(term)) => {
                let token = token(term)?;
                range = KeyRange {
                    start: KeyBound::Before(token),
                    end: KeyBound::After(token),
                };
            }
            Some(Restriction::Slice { lower, upper }) => {
                if let Some(end) = lower {
                    let token = token(&end.value)?;
                    range.start = if end.inclusive {
                        KeyBound::Before(token)
                    } else {
                        KeyBound::After(token)
                    };
                }
                if let Some(end) = upper {
                    let token = token(&end.value)?;
                    // The minimum token as an upper end means the ring's end: drivers and tools page by (start, MIN].
                    if token != Token::MIN {
                        range.end = if end.inclusive {
                            KeyBound::After(token)
                        } else {
                            KeyBound::Before(token)
                        };
                    }
                }
            }
        }
        Ok(range)
    }

    /// The clustering slices.
    pub fn slices(&self, values: &BoundValues<'_>) -> Result<Vec<Slice>, RequestError> {
        if self.clustering.is_empty() {
            return Ok(vec![Slice::all()]);
        }
        let mut prefixes: Vec<Vec<u8>> = vec![Vec::new()];
        for restriction in &self.clustering {
            let columns = &self.table.clustering_key()
                [restriction.first..restriction.first + restriction.count];
            match &restriction.restriction {
                Restriction::Equal(term) => {
                    let tuple = tuple_values(term, columns, values)?;
                    prefixes
                        .iter_mut()
                        .for_each(|prefix| encode(columns, &tuple, prefix));
                }
                Restriction::In(terms) => {
                    let tuples = in_tuples(terms, restriction, columns, values)?;
                    if prefixes.len() * tuples.len() > MAX_IN_COMBINATIONS {
                        return Err(invalid(
                            "IN restrictions on clustering columns name too many rows",
                        ));
                    }
                    let longest = prefixes.iter().map(Vec::len).max().unwrap_or(0);
                    check_bytes(prefixes.len() * tuples.len(), longest)?;
                    prefixes = prefixes
                        .iter()
                        .flat_map(|prefix| {
                            tuples.iter().map(|tuple| {
                                let mut extended = prefix.clone();
                                encode(columns, tuple, &mut extended);
                                extended
                            })
                        })
                        .collect();
                }
                Restriction::Slice { lower, upper } => {
                    let lower = end_values(lower.as_ref(), columns, values)?;
                    let upper = end_values(upper.as_ref(), columns, values)?;
                    if let ([prefix], [column]) = (&prefixes[..], columns) {
                        let slice = column_slice(prefix, column, lower.as_ref(), upper.as_ref());
                        return Ok(slice.into_iter().collect());
                    }
                    let slices = prefixes
                        .iter()
                        .flat_map(|prefix| {
                            tuple_slices(prefix, columns, lower.as_ref(), upper.as_ref())
                        })
                        .collect();
                    return Ok(normalized(slices));
                }
            }
        }
        Ok(normalized(
            prefixes
                .iter()
                .map(|prefix| Slice::prefix(prefix))
                .collect(),
        ))
    }

    /// The clustering values of the one row that `=` on every clustering column names; `None` if a row is not named so.
    pub fn clustering_values<'a>(
        &'a self,
        values: &BoundValues<'a>,
    ) -> Result<Option<Vec<Bytes<'a>>>, RequestError> {
        let mut all = Vec::with_capacity(self.table.clustering_key().len());
        for restriction in &self.clustering {
            let Restriction::Equal(term) = &restriction.restriction else {
                return Ok(None);
            };
            let columns = &self.table.clustering_key()
                [restriction.first..restriction.first + restriction.count];
            all.extend(tuple_values(term, columns, values)?);
        }
        Ok((all.len() == self.table.clustering_key().len()).then_some(all))
    }

    fn filter(&self, values: &BoundValues<'_>) -> Result<RowFilter, RequestError> {
        let mut conditions = Vec::with_capacity(self.filters.len());
        for filter in &self.filters {
            let any = |term: &Term| -> Result<Option<Vec<u8>>, RequestError> {
                let bound = term.evaluate(values)?.required(|| {
                    invalid(format!(
                        "Unsupported unset value for column {}",
                        filter.name
                    ))
                })?;
                Ok(bound.map(Cow::into_owned))
            };
            let one = |term: &Term| -> Result<Vec<u8>, RequestError> {
                any(term)?.ok_or_else(|| {
                    invalid(format!("Unsupported null value for column {}", filter.name))
                })
            };
            let operands = match &filter.operands {
                FilterOperands::Terms(terms) => terms.iter().map(one).collect::<Result<_, _>>()?,
                FilterOperands::In(InTerms::List(terms)) => {
                    let found = terms.iter().map(any).collect::<Result<Vec<_>, _>>()?;
                    found.into_iter().flatten().collect()
                }
                FilterOperands::In(InTerms::Marker(term, _)) => {
                    list_items(term, &filter.name, values)?
                }
            };
            conditions.push(Condition {
                target: filter.target.clone(),
                ctype: filter.ctype.clone(),
                operator: filter.operator,
                operands,
            });
        }
        Ok(RowFilter { conditions })
    }
}

/// A value of a key column: not null, not unset, not too long.
fn key_value<'a>(
    term: &'a Term,
    column: &Column,
    values: &BoundValues<'a>,
) -> Result<Bytes<'a>, RequestError> {
    let bytes = match term.evaluate(values)? {
        Bound::Value(bytes) => bytes,
        Bound::Null => {
            return Err(invalid(format!(
                "Invalid null value in condition for column {}",
                column.name
            )));
        }
        Bound::Unset => {
            return Err(invalid(format!(
                "Invalid unset value for column {}",
                column.name
            )));
        }
    };
    if bytes.len() > MAX_KEY_BYTES {
        return Err(invalid(format!(
            "Key length of {} is longer than maximum of {MAX_KEY_BYTES}",
            bytes.len()
        )));
    }
    Ok(bytes)
}

fn in_values<'a>(
    terms: &'a InTerms,
    column: &Column,
    values: &BoundValues<'a>,
) -> Result<Vec<Bytes<'a>>, RequestError> {
    let mut found = match terms {
        InTerms::List(items) => items
            .iter()
            .map(|item| key_value(item, column, values))
            .collect::<Result<Vec<_>, _>>()?,
        InTerms::Marker(term, _) => list_items(term, &column.name, values)?
            .into_iter()
            .map(Cow::Owned)
            .collect(),
    };
    found.sort_by(|one, other| value::compare(&column.ctype, one, other));
    found.dedup();
    Ok(found)
}

/// The elements of a list bound to `IN ?`.
fn list_items(
    term: &Term,
    name: &str,
    values: &BoundValues<'_>,
) -> Result<Vec<Vec<u8>>, RequestError> {
    let list = match term.evaluate(values)? {
        Bound::Value(bytes) => bytes,
        Bound::Null => return Err(invalid("Invalid null value for IN restriction")),
        Bound::Unset => return Err(invalid("Invalid unset value for IN restriction")),
    };
    value::elements(&list)
        .map(|item| {
            item.map(<[u8]>::to_vec).ok_or_else(|| {
                invalid(format!("Invalid null value in condition for column {name}"))
            })
        })
        .collect()
}

/// A partition key of these components. An empty single-column key is refused, as Cassandra does.
pub fn decorated(parts: &[&[u8]], columns: &[Column]) -> Result<DecoratedKey, RequestError> {
    if columns.len() == 1 && parts[0].is_empty() {
        return Err(invalid("Key may not be empty"));
    }
    let joined = key::join(parts);
    if joined.len() > MAX_KEY_BYTES {
        return Err(invalid(format!(
            "Key length of {} is longer than maximum of {MAX_KEY_BYTES}",
            joined.len()
        )));
    }
    Ok(DecoratedKey::new(joined))
}

fn tuple_values<'a>(
    term: &'a TupleTerm,
    columns: &[Column],
    values: &BoundValues<'a>,
) -> Result<Vec<Bytes<'a>>, RequestError> {
    match term {
        TupleTerm::Terms(terms) => terms
            .iter()
            .zip(columns)
            .map(|(term, column)| key_value(term, column, values))
            .collect(),
        TupleTerm::Marker(term) => match term.evaluate(values)? {
            Bound::Value(bytes) => tuple_parts(&bytes, columns),
            Bound::Null => Err(invalid(format!(
                "Invalid null value for {}",
                names(columns)
            ))),
            Bound::Unset => Err(invalid(format!(
                "Invalid unset value for {}",
                names(columns)
            ))),
        },
    }
}

fn names(columns: &[Column]) -> String {
    columns
        .iter()
        .map(|column| column.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn tuple_parts<'a>(bytes: &[u8], columns: &[Column]) -> Result<Vec<Bytes<'a>>, RequestError> {
    let parts: Vec<Option<&[u8]>> = value::fields(bytes).collect();
    if parts.is_empty() || parts.len() > columns.len() {
        return Err(invalid(format!(
            "Expected {} elements in value tuple, but got {}",
            columns.len(),
            parts.len()
        )));
    }
    parts
        .iter()
        .zip(columns)
        .map(|(part, column)| {
            part.map(|bytes| Cow::Owned(bytes.to_vec())).ok_or_else(|| {
                invalid(format!(
                    "Invalid null value in condition for column {}",
                    column.name
                ))
            })
        })
        .collect()
}

fn in_tuples<'a>(
    terms: &'a InTerms,
    restriction: &ClusteringRestriction,
    columns: &[Column],
    values: &BoundValues<'a>,
) -> Result<Vec<Vec<Bytes<'a>>>, RequestError> {
    if restriction.count == 1 {
        return Ok(in_values(terms, &columns[0], values)?
            .into_iter()
            .map(|value| vec![value])
            .collect());
    }
    let tuples: Vec<Vec<u8>> = match terms {
        InTerms::Marker(term, _) => list_items(term, &columns[0].name, values)?,
        InTerms::List(items) => items
            .iter()
            .map(|item| match item.evaluate(values)? {
                Bound::Value(bytes) => Ok(bytes.into_owned()),
                Bound::Null | Bound::Unset => Err(invalid(format!(
                    "Invalid null value for {}",
                    names(columns)
                ))),
            })
            .collect::<Result<_, RequestError>>()?,
    };
    tuples
        .iter()
        .map(|tuple| tuple_parts(tuple, columns))
        .collect()
}

fn end_values<'a>(
    end: Option<&'a End<TupleTerm>>,
    columns: &[Column],
    values: &BoundValues<'a>,
) -> Result<Option<End<Vec<Bytes<'a>>>>, RequestError> {
    let Some(end) = end else {
        return Ok(None);
    };
    // An end that is null is no end, as in Cassandra.
    if let TupleTerm::Terms(terms) = &end.value
        && let [term] = terms.as_slice()
        && term.evaluate(values)? == Bound::Null
    {
        return Ok(None);
    }
    let value = tuple_values(&end.value, columns, values)?;
    Ok(Some(End {
        value,
        inclusive: end.inclusive,
    }))
}

fn encode(columns: &[Column], tuple: &[Bytes<'_>], out: &mut Vec<u8>) {
    for (column, value) in columns.iter().zip(tuple) {
        comparable::encode(&column.ctype, value, column.is_descending(), out);
    }
}

/// The clustering key of a row that is named whole, with the values themselves if they cannot be had back from it.
pub fn row_key(table: &Table, values: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
    let key = model::clustering::encode(table, values);
    let original = (!model::clustering::is_exact(table, values)).then(|| key::join(values));
    (key, original)
}

/// Each combination of IN relations repeats the values beside them.
fn check_bytes(combinations: usize, longest: usize) -> Result<(), RequestError> {
    if combinations.saturating_mul(longest) > MAX_STATEMENT_WRITE_BYTES {
        return Err(invalid(format!(
            "IN restrictions make {combinations} keys of up to {longest} bytes; at most {MAX_STATEMENT_WRITE_BYTES} bytes are allowed"
        )));
    }
    Ok(())
}
