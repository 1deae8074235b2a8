//! `count`, `min`, `max`, `sum` and `avg`: what they are, and the state of one group.
//!
//! Null is passed over. Sums of integers wrap within their type; averages of them are calculated without overflow and
//! cut off towards zero. Sums of floats are compensated as Java's streams do it, and an average whose sum overflows is
//! calculated in decimals.

use super::SYSTEM;
use super::decimal::{Decimal, Rounding};
use super::number::{NUMERIC, Number};
use super::scalar::signature;
use model::error::RequestError;
use model::types::CqlType;
use model::value;
use num_bigint::BigInt;
use std::cmp::Ordering;

/// Which aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    CountRows,
    Count,
    Min,
    Max,
    Sum,
    Avg,
}

/// An aggregate function with concrete types.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    kind: Kind,
    arguments: Vec<CqlType>,
    returns: CqlType,
}

impl Aggregate {
    pub(super) fn count_rows() -> Self {
        Self {
            kind: Kind::CountRows,
            arguments: Vec::new(),
            returns: CqlType::Bigint,
        }
    }

    /// `min`, `max`, `sum` or `avg` of values of a type.
    pub(super) fn of(kind: Kind, ctype: CqlType) -> Self {
        Self {
            kind,
            arguments: vec![ctype.clone()],
            returns: ctype,
        }
    }

    /// Every signature of the aggregate of this name, without those of any type.
    pub(super) fn candidates(name: &str) -> Vec<Self> {
        let kind = match name {
            // Counting asks nothing of the type: anything can be read as a blob.
            "count" => {
                return vec![Self {
                    kind: Kind::Count,
                    arguments: vec![CqlType::Blob],
                    returns: CqlType::Bigint,
                }];
            }
            "sum" => Kind::Sum,
            "avg" => Kind::Avg,
            _ => return Vec::new(),
        };
        NUMERIC
            .into_iter()
            .map(|ctype| Self::of(kind, ctype))
            .collect()
    }

    /// Its name without keyspace.
    pub fn short_name(&self) -> &'static str {
        match self.kind {
            Kind::CountRows | Kind::Count => "count",
            Kind::Min => "min",
            Kind::Max => "max",
            Kind::Sum => "sum",
            Kind::Avg => "avg",
        }
    }

    /// Its name with keyspace, as messages have it.
    pub fn display_name(&self) -> String {
        format!("{SYSTEM}.{}", self.short_name())
    }

    /// Types of its arguments; `count` of a value says blob for any type.
    pub fn argument_types(&self) -> &[CqlType] {
        &self.arguments
    }

    /// Type of its result.
    pub fn return_type(&self) -> &CqlType {
        &self.returns
    }

    /// The name of a result column that calls it with arguments of these names.
    pub fn column_name(&self, arguments: &[String]) -> String {
        match self.kind {
            Kind::CountRows => "count".to_owned(),
            _ => format!("{}({})", self.display_name(), arguments.join(", ")),
        }
    }

    /// `system.name : (types) -> type`
    pub fn signature(&self) -> String {
        signature(self.short_name(), &self.arguments, &self.returns)
    }
}

/// The state of an aggregate over one group of rows.
#[derive(Debug, Clone)]
pub struct Accumulator {
    kind: Kind,
    ctype: CqlType,
    count: i64,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Only the count is needed.
    None,
    /// The least or greatest value so far.
    Extreme(Option<Vec<u8>>),
    /// A sum of integers of up to 64 bits.
    Long(i128),
    Varint(BigInt),
    Decimal(Decimal),
    Double(CompensatedSum),
}

/// A sum of doubles and what rounding has lost of it (Kahan; Java's `DoubleSummaryStatistics`).
#[derive(Debug, Clone, Default)]
struct CompensatedSum {
    sum: f64,
    compensation: f64,
    simple: f64,
    /// The exact sum, once the sum of finite numbers has become infinite.
    exact: Option<Decimal>,
}

impl CompensatedSum {
    fn add(&mut self, number: f64) {
        if let Some(exact) = &self.exact {
            self.exact = Decimal::from_double(number).and_then(|number| exact.add(&number).ok());
        } else if number.is_finite() && self.sum.is_finite() && !(self.sum + number).is_finite() {
            let (before, number) = (
                Decimal::from_double(self.total()),
                Decimal::from_double(number),
            );
            self.exact = before
                .zip(number)
                .and_then(|(before, number)| before.add(&number).ok());
        }
        let corrected = number - self.compensation;
        let sum = self.sum + corrected;
        self.compensation = (sum - self.sum) - corrected;
        self.sum = sum;
        self.simple += number;
    }

    fn total(&self) -> f64 {
        let total = self.sum + self.compensation;
        if total.is_nan() && self.simple.is_infinite() {
            self.simple
        } else {
            total
        }
    }

    fn average(&self, count: i64) -> f64 {
        match &self.exact {
            Some(exact) => exact
                .divide(&Decimal::integer(BigInt::from(count)))
                .map_or(f64::NAN, |mean| mean.to_double()),
            None => self.total() / count as f64,
        }
    }
}

impl Accumulator {
    /// The state before the first row.
    pub fn new(aggregate: &Aggregate) -> Self {
        let ctype = aggregate
            .arguments
            .first()
            .cloned()
            .unwrap_or(CqlType::Blob);
        let state = match (aggregate.kind, &ctype) {
            (Kind::CountRows | Kind::Count, _) => State::None,
            (Kind::Min | Kind::Max, _) => State::Extreme(None),
            (_, CqlType::Varint) => State::Varint(BigInt::ZERO),
            (_, CqlType::Decimal) => State::Decimal(Decimal::integer(BigInt::ZERO)),
            (_, CqlType::Float | CqlType::Double) => State::Double(CompensatedSum::default()),
            _ => State::Long(0),
        };
        Self {
            kind: aggregate.kind,
            ctype,
            count: 0,
            state,
        }
    }

    /// Adds a row: the arguments of the call, none for `count(*)`.
    pub fn add(&mut self, arguments: &[Option<&[u8]>]) -> Result<(), RequestError> {
        if self.kind == Kind::CountRows {
            self.count += 1;
            return Ok(());
        }
        let Some(wire) = arguments.first().copied().flatten() else {
            return Ok(());
        };
        if let State::None = self.state {
            self.count += 1;
            return Ok(());
        }
        if let State::Extreme(extreme) = &mut self.state {
            let wanted = if self.kind == Kind::Min {
                Ordering::Less
            } else {
                Ordering::Greater
            };
            let is_better = extreme
                .as_deref()
                .is_none_or(|best| value::compare(&self.ctype, wire, best) == wanted);
            if is_better {
                *extreme = Some(wire.to_vec());
            }
            return Ok(());
        }
        let Some(number) = Number::decode(&self.ctype, wire) else {
            return Ok(());
        };
        self.count += 1;
        self.add_number(&number).map_err(RequestError::Invalid)
    }

    fn add_number(&mut self, number: &Number) -> Result<(), String> {
        match &mut self.state {
            State::Long(sum) => *sum += i128::from(number.to_long()?),
            State::Varint(sum) => *sum += number.to_varint()?,
            State::Double(sum) => sum.add(number.to_double()),
            State::Decimal(state) if self.kind == Kind::Sum => {
                *state = state.add(&number.to_decimal()?)?
            }
            // The mean so far moves towards each number, rounded to the scale of the difference.
            State::Decimal(mean) => {
                let difference = number.to_decimal()?.subtract(mean)?;
                let count = Decimal::integer(BigInt::from(self.count));
                let scale = i64::from(difference.scale);
                *mean =
                    mean.add(&difference.divide_to_scale(&count, scale, Rounding::HalfEven)?)?;
            }
            State::None | State::Extreme(_) => {}
        }
        Ok(())
    }

    /// The result over the rows added so far.
    pub fn result(&self) -> Result<Option<Vec<u8>>, RequestError> {
        let is_average = self.kind == Kind::Avg;
        let divisor = self.count.max(1);
        let number = match &self.state {
            State::None => Number::Bigint(self.count),
            State::Extreme(extreme) => return Ok(extreme.clone()),
            State::Long(sum) => {
                let number = if is_average {
                    sum / i128::from(divisor)
                } else {
                    *sum
                };
                return self.narrowed(Number::Bigint(number as i64));
            }
            State::Varint(sum) => Number::Varint(if is_average {
                sum / divisor
            } else {
                sum.clone()
            }),
            State::Decimal(state) => Number::Decimal(state.clone()),
            State::Double(sum) => {
                let number = if is_average {
                    sum.average(divisor)
                } else {
                    sum.total()
                };
                return self.narrowed(Number::Double(number));
            }
        };
        Ok(Some(number.encode()))
    }

    /// A number in the type of the result.
    fn narrowed(&self, number: Number) -> Result<Option<Vec<u8>>, RequestError> {
        let narrowed = number.convert(&self.ctype).map_err(RequestError::Invalid)?;
        Ok(Some(narrowed.encode()))
    }
}
