//! `abs`, `exp`, `log`, `log10` and `round` of every numeric type.
//!
//! Integers go by way of doubles and back as Java casts them; decimals and varints are calculated to 32 digits.

use super::CallContext;
use super::decimal::{Decimal, Rounding, power_of_ten, precision};
use super::number::{NUMERIC, Number};
use super::scalar::{Body, Scalar};
use model::error::RequestError;
use model::types::CqlType;
use num_bigint::{BigInt, Sign};

type Outcome = Result<Option<Vec<u8>>, RequestError>;

/// Digits of a result that is a decimal.
const DIGITS: i64 = 32;

/// Digits behind the point in between.
const WORKING: u32 = 60;

/// The greatest exponent that `exp` takes of decimals; the result has about 4,300 digits before the point.
const MAX_EXPONENT: i64 = 10_000;

/// The five functions for each numeric type.
pub(super) fn candidates(name: &str) -> Vec<Scalar> {
    let body: Body = match name {
        "abs" => |scalar, arguments, _| apply(scalar, arguments, |number| Ok(absolute(number))),
        "exp" => {
            |scalar, arguments, context| through_double(scalar, arguments, context, f64::exp, exp)
        }
        "log" => {
            |scalar, arguments, context| through_double(scalar, arguments, context, f64::ln, ln)
        }
        "log10" => |scalar, arguments, context| {
            through_double(scalar, arguments, context, log10_of_double, log10)
        },
        "round" => |scalar, arguments, _| apply(scalar, arguments, round),
        _ => return Vec::new(),
    };
    let scalar = |ctype: CqlType| Scalar::new(name.to_owned(), vec![ctype.clone()], ctype, body);
    NUMERIC.into_iter().map(scalar).collect()
}

fn apply(
    scalar: &Scalar,
    arguments: &[Option<&[u8]>],
    function: impl Fn(Number) -> Result<Number, String>,
) -> Outcome {
    let Some(number) = arguments[0].and_then(|wire| Number::decode(&scalar.arguments[0], wire))
    else {
        return Ok(None);
    };
    function(number)
        .map(|result| Some(result.encode()))
        .map_err(RequestError::Server)
}

fn through_double(
    scalar: &Scalar,
    arguments: &[Option<&[u8]>],
    _: &CallContext,
    of_double: impl Fn(f64) -> f64,
    of_decimal: impl Fn(&Decimal) -> Result<Decimal, String>,
) -> Outcome {
    apply(scalar, arguments, |number| match number {
        Number::Decimal(decimal) => of_decimal(&decimal).map(Number::Decimal),
        Number::Varint(integer) => of_decimal(&Decimal::integer(integer))?
            .to_integer()
            .map(Number::Varint),
        other => Number::Double(of_double(other.to_double())).convert(&scalar.returns),
    })
}

fn absolute(number: Number) -> Number {
    match number {
        Number::Tinyint(number) => Number::Tinyint(number.wrapping_abs()),
        Number::Smallint(number) => Number::Smallint(number.wrapping_abs()),
        Number::Int(number) => Number::Int(number.wrapping_abs()),
        Number::Bigint(number) => Number::Bigint(number.wrapping_abs()),
        Number::Varint(number) => Number::Varint(BigInt::from(number.magnitude().clone())),
        Number::Float(number) => Number::Float(number.abs()),
        Number::Double(number) => Number::Double(number.abs()),
        Number::Decimal(number) => Number::Decimal(if number.unscaled.sign() == Sign::Minus {
            number.negated()
        } else {
            number
        }),
    }
}

/// To the nearest integer: up from the middle for doubles, which are clamped to a long, away from zero for decimals.
fn round(number: Number) -> Result<Number, String> {
    Ok(match number {
        Number::Float(number) => Number::Float((f64::from(number) + 0.5).floor() as i32 as f32),
        Number::Double(number) => {
            // Adding a half to the largest number below it would give one.
            let rounded = if number == 0.499_999_999_999_999_94 {
                0.0
            } else {
                (number + 0.5).floor()
            };
            Number::Double(if number.abs() < 4_503_599_627_370_496.0 {
                rounded
            } else {
                number
            } as i64 as f64)
        }
        Number::Decimal(number) => Number::Decimal(number.with_scale(0, Rounding::HalfUp)?),
        integer => integer,
    })
}

/// A fixed-point number of [`WORKING`] digits behind the point.
fn fixed(number: &Decimal) -> Result<BigInt, String> {
    Ok(number
        .with_scale(WORKING as i32, Rounding::HalfUp)?
        .unscaled)
}

fn one() -> BigInt {
    power_of_ten(WORKING)
}

/// A fixed-point result times a power of ten, rounded to the digits of a result.
fn rounded(fixed: BigInt, exponent: i64) -> Result<Decimal, String> {
    Decimal::new(fixed, i64::from(WORKING) - exponent)?.rounded(DIGITS, Rounding::HalfUp)
}

/// `ln((1 + z) / (1 - z)) = 2 × (z + z³/3 + z⁵/5 + …)` for a fixed-point `z` well below one.
fn twice_atanh(z: &BigInt) -> BigInt {
    let one = one();
    let square = z * z / &one;
    let (mut power, mut sum, mut divisor) = (z.clone(), BigInt::ZERO, 1);
    while power.sign() != Sign::NoSign {
        sum += &power / divisor;
        power = power * &square / &one;
        divisor += 2;
    }
    sum * 2
}

/// Natural logarithm of ten, fixed-point: `3 ln 2 + ln(10/8)`.
fn ln_ten() -> BigInt {
    let one = one();
    twice_atanh(&(&one / 3)) * 3 + twice_atanh(&(&one / 9))
}

/// The natural logarithm, fixed-point.
fn ln_fixed(number: &Decimal) -> Result<BigInt, String> {
    if number.unscaled.sign() != Sign::Plus {
        return Err("java.lang.ArithmeticException: Natural log of number zero or less".to_owned());
    }
    // number = mantissa × 10^exponent with the mantissa in [1, 10), brought near one by halving.
    let digits = precision(&number.unscaled);
    let exponent = digits - 1 - i64::from(number.scale);
    let one = one();
    let mantissa = Decimal::new(number.unscaled.clone(), digits - 1)?;
    let (mut mantissa, mut halvings) = (fixed(&mantissa)?, 0);
    while mantissa > &one * 3 / 2 {
        mantissa /= 2;
        halvings += 1;
    }
    let z = (&mantissa - &one) * &one / (&mantissa + &one);
    let ln_two = twice_atanh(&(&one / 3));
    Ok(twice_atanh(&z) + ln_two * halvings + ln_ten() * exponent)
}

fn is_one(number: &Decimal) -> bool {
    number
        .stripped()
        .is_ok_and(|stripped| stripped == Decimal::integer(BigInt::from(1)))
}

fn ln(number: &Decimal) -> Result<Decimal, String> {
    if is_one(number) {
        return Ok(Decimal::integer(BigInt::ZERO));
    }
    rounded(ln_fixed(number)?, 0)
}

/// The quotient of two natural logarithms of 34 digits. Of some powers of ten it is exact, and then comes without the
/// zeros of an inexact one.
/// The logarithm; of a negative number the same NaN as [`f64::ln`] gives, on every platform.
fn log10_of_double(number: f64) -> f64 {
    if number < 0.0 {
        -f64::NAN
    } else {
        number.log10()
    }
}

fn log10(number: &Decimal) -> Result<Decimal, String> {
    const LOGARITHM_SCALE: i64 = 33;
    if let Ok(stripped) = number.stripped()
        && stripped.unscaled == BigInt::from(1)
    {
        let (mut exponent, mut zeros) = (-i64::from(stripped.scale), 0);
        if exponent == 0 {
            return Decimal::new(BigInt::ZERO, -LOGARITHM_SCALE);
        }
        while exponent % 10 == 0 {
            exponent /= 10;
            zeros += 1;
        }
        if matches!(exponent.abs(), 1 | 2 | 5) {
            return Decimal::new(BigInt::from(exponent), -zeros);
        }
    }
    rounded(ln_fixed(number)? * one() / ln_ten(), 0)
}

fn exp(number: &Decimal) -> Result<Decimal, String> {
    if number.unscaled.sign() == Sign::NoSign {
        return Ok(Decimal::integer(BigInt::from(1)));
    }
    let whole = number
        .to_integer()
        .ok()
        .and_then(|whole| i64::try_from(whole).ok());
    if whole.is_none_or(|whole| whole.abs() > MAX_EXPONENT) {
        return Err("java.lang.ArithmeticException: Overflow".to_owned());
    }
    // e^x = 10^k × e^r with r = x - k ln 10 below ln 10; then e^r = (e^(r/256))^256.
    let (one, ln_ten) = (one(), ln_ten());
    let x = fixed(number)?;
    let floor =
        (&x - if x.sign() == Sign::Minus {
            &ln_ten - 1
        } else {
            BigInt::ZERO
        }) / &ln_ten;
    let remainder = (&x - &floor * &ln_ten) / 256;
    let (mut term, mut sum, mut count) = (one.clone(), BigInt::ZERO, 1);
    while term.sign() != Sign::NoSign {
        sum += &term;
        term = term * &remainder / &one / count;
        count += 1;
    }
    for _ in 0..8 {
        sum = &sum * &sum / &one;
    }
    rounded(sum, i64::try_from(floor).unwrap_or(0))
}
