//! `+ - * / %` and the minus sign: numbers with Java's promotion and overflow, texts joined, moments moved by durations.

use super::calendar::Duration;
use super::number::{NUMERIC, Number};
use super::resolve::{NEGATION, operator_symbol};
use super::scalar::Scalar;
use super::{CallContext, SYSTEM};
use model::error::RequestError;
use model::types::CqlType;

type Bytes<'a> = [Option<&'a [u8]>];

/// Every signature of an operator's function, or of the negation.
pub(super) fn candidates(name: &str) -> Vec<Scalar> {
    if name == NEGATION {
        return NUMERIC
            .into_iter()
            .map(|ctype| Scalar::new(NEGATION, vec![ctype.clone()], ctype, negate))
            .collect();
    }
    let name = name.to_owned();
    let mut candidates = Vec::with_capacity(NUMERIC.len() * NUMERIC.len() + 6);
    for left in &NUMERIC {
        for right in &NUMERIC {
            let arguments = vec![left.clone(), right.clone()];
            candidates.push(Scalar::new(
                name.clone(),
                arguments,
                promoted(left, right),
                calculate,
            ));
        }
    }
    if matches!(name.as_str(), "_add" | "_substract") {
        for moment in [CqlType::Timestamp, CqlType::Date] {
            let arguments = vec![moment.clone(), CqlType::Duration];
            candidates.push(Scalar::new(name.clone(), arguments, moment, shift));
        }
    }
    if name == "_add" {
        let texts = [CqlType::Text, CqlType::Ascii];
        for left in &texts {
            for right in &texts {
                let both_ascii = *left == CqlType::Ascii && *right == CqlType::Ascii;
                let joined = if both_ascii {
                    CqlType::Ascii
                } else {
                    CqlType::Text
                };
                candidates.push(Scalar::new(
                    name.clone(),
                    vec![left.clone(), right.clone()],
                    joined,
                    join,
                ));
            }
        }
    }
    candidates
}

/// Bytes of a type for the choice of the wider one; `varint` and `decimal` are wider than any.
fn width(ctype: &CqlType) -> usize {
    ctype.fixed_length().unwrap_or(usize::MAX)
}

/// The type of an operation on numbers of these types: as wide as the wider one, floating if either is.
fn promoted(left: &CqlType, right: &CqlType) -> CqlType {
    let is_floating =
        |ctype: &CqlType| matches!(ctype, CqlType::Float | CqlType::Double | CqlType::Decimal);
    let widest = width(left).max(width(right));
    if is_floating(left) || is_floating(right) {
        return match widest {
            4 => CqlType::Float,
            8 => CqlType::Double,
            _ => CqlType::Decimal,
        };
    }
    match widest {
        1 => CqlType::Tinyint,
        2 => CqlType::Smallint,
        4 => CqlType::Int,
        8 => CqlType::Bigint,
        _ => CqlType::Varint,
    }
}

/// Why the operation of two values failed.
fn failure(scalar: &Scalar, reason: &str) -> RequestError {
    let types: Vec<String> = scalar.arguments.iter().map(ToString::to_string).collect();
    let operator = operator_symbol(&scalar.name).unwrap_or('-');
    RequestError::FunctionFailure {
        keyspace: SYSTEM.to_owned(),
        function: scalar.name.to_string(),
        detail: format!(
            "the operation '{}' failed: {reason}",
            types.join(&format!(" {operator} "))
        ),
        arg_types: types,
    }
}

fn negate(
    scalar: &Scalar,
    arguments: &Bytes<'_>,
    _: &CallContext,
) -> Result<Option<Vec<u8>>, RequestError> {
    let Some(number) = arguments[0].and_then(|wire| Number::decode(&scalar.arguments[0], wire))
    else {
        return Ok(None);
    };
    let negated = match number {
        Number::Tinyint(number) => Number::Tinyint(number.wrapping_neg()),
        Number::Smallint(number) => Number::Smallint(number.wrapping_neg()),
        Number::Int(number) => Number::Int(number.wrapping_neg()),
        Number::Bigint(number) => Number::Bigint(number.wrapping_neg()),
        Number::Varint(number) => Number::Varint(-number),
        Number::Float(number) => Number::Float(-number),
        Number::Double(number) => Number::Double(-number),
        Number::Decimal(number) => Number::Decimal(number.negated()),
    };
    Ok(Some(negated.encode()))
}

fn calculate(
    scalar: &Scalar,
    arguments: &Bytes<'_>,
    _: &CallContext,
) -> Result<Option<Vec<u8>>, RequestError> {
    let operand = |index: usize| {
        arguments[index].and_then(|wire| Number::decode(&scalar.arguments[index], wire))
    };
    let (Some(left), Some(right)) = (operand(0), operand(1)) else {
        return Ok(None);
    };
    let operator = operator_symbol(&scalar.name).unwrap_or('+');
    let result = match &scalar.returns {
        CqlType::Decimal => decimals(operator, &left, &right),
        CqlType::Varint => varints(operator, &left, &right),
        CqlType::Float => Ok(Number::Float(floats(
            operator,
            left.to_float(),
            right.to_float(),
        ))),
        CqlType::Double => Ok(Number::Double(doubles(
            operator,
            left.to_double(),
            right.to_double(),
        ))),
        fixed => longs(operator, &left, &right, fixed),
    };
    result
        .map(|number| Some(number.encode()))
        .map_err(|reason| failure(scalar, &reason))
}

/// Integers of fixed width: calculated with 64 bits and cut to the width, which wraps as Java does.
fn longs(operator: char, left: &Number, right: &Number, ctype: &CqlType) -> Result<Number, String> {
    let (left, right) = (left.to_long()?, right.to_long()?);
    let result = match operator {
        '+' => left.wrapping_add(right),
        '-' => left.wrapping_sub(right),
        '*' => left.wrapping_mul(right),
        _ if right == 0 => return Err("/ by zero".to_owned()),
        '/' => left.wrapping_div(right),
        _ => left.wrapping_rem(right),
    };
    Number::Bigint(result).convert(ctype)
}

fn varints(operator: char, left: &Number, right: &Number) -> Result<Number, String> {
    let (left, right) = (left.to_varint()?, right.to_varint()?);
    Ok(Number::Varint(match operator {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        _ if right.sign() == num_bigint::Sign::NoSign => {
            return Err("BigInteger divide by zero".to_owned());
        }
        '/' => left / right,
        _ => left % right,
    }))
}

fn decimals(operator: char, left: &Number, right: &Number) -> Result<Number, String> {
    let (left, right) = (left.to_decimal_operand()?, right.to_decimal_operand()?);
    let result = match operator {
        '+' => left.add(&right),
        '-' => left.subtract(&right),
        '*' => left.multiply(&right),
        '/' => left.divide(&right),
        _ => left.remainder(&right),
    };
    result.map(Number::Decimal)
}

fn floats(operator: char, left: f32, right: f32) -> f32 {
    match operator {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        '/' => left / right,
        _ => left % right,
    }
}

fn doubles(operator: char, left: f64, right: f64) -> f64 {
    match operator {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        '/' => left / right,
        _ => left % right,
    }
}

fn join(
    _: &Scalar,
    arguments: &Bytes<'_>,
    _: &CallContext,
) -> Result<Option<Vec<u8>>, RequestError> {
    let parts: Vec<&[u8]> = arguments.iter().flatten().copied().collect();
    Ok(Some(parts.concat()))
}

/// A timestamp or a date moved by a duration.
fn shift(
    scalar: &Scalar,
    arguments: &Bytes<'_>,
    _: &CallContext,
) -> Result<Option<Vec<u8>>, RequestError> {
    let (Some(moment), Some(duration)) = (arguments[0], arguments[1].and_then(Duration::decode))
    else {
        return Ok(None);
    };
    let forward = if scalar.name == "_add" {
        duration
    } else {
        duration.negated()
    };
    if scalar.returns == CqlType::Timestamp {
        if !duration.has_millisecond_precision() {
            let reason = format!("The duration must have a millisecond precision. Was: {duration}");
            return Err(failure(scalar, &reason));
        }
        let Ok(millis) = moment.try_into() else {
            return Ok(None);
        };
        return Ok(Some(
            forward
                .added_to(i64::from_be_bytes(millis))
                .to_be_bytes()
                .to_vec(),
        ));
    }
    if !duration.has_day_precision() {
        let reason = format!("The duration must have a day precision. Was: {duration}");
        return Err(failure(scalar, &reason));
    }
    let Ok(days) = moment.try_into() else {
        return Ok(None);
    };
    let millis = super::time::date_millis(u32::from_be_bytes(days));
    Ok(Some(
        super::time::millis_date(forward.added_to(millis))
            .to_be_bytes()
            .to_vec(),
    ))
}
