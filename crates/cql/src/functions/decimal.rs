//! Decimals with the scales and roundings of Java's `BigDecimal`, which are visible in results.
//!
//! A value is `unscaled × 10^-scale`. Sums and products keep at most [`PRECISION`] digits, quotients follow Cassandra's
//! rule of 32 significant digits. A value whose scale would need more than [`MAX_PADDING`] digits written out is
//! refused where they would be, so that `1e2000000000 + 1` costs nothing.

use model::value;
use num_bigint::{BigInt, Sign};
use std::fmt;

/// Digits a sum or product keeps: Cassandra's `MathContext(10000)`.
const PRECISION: i64 = 10_000;

/// Most zeros that may be written out to bring two numbers to one scale.
const MAX_PADDING: i64 = 50_000;

/// Significant digits of a quotient, and its least scale.
const QUOTIENT_DIGITS: i64 = 32;

/// The greatest scale of a quotient.
const MAX_QUOTIENT_SCALE: i64 = 1000;

/// A decimal number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    /// The digits.
    pub unscaled: BigInt,
    /// How many of them are behind the point; negative for trailing zeros left out.
    pub scale: i32,
}

/// Why an operation has no result, in Java's words.
pub type Failure = String;

fn too_large() -> Failure {
    "decimal too large".to_owned()
}

/// `10^exponent`
pub(super) fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

/// How many digits a number has; one for zero.
pub(super) fn precision(number: &BigInt) -> i64 {
    number.magnitude().to_str_radix(10).len() as i64
}

fn is_zero(number: &BigInt) -> bool {
    number.sign() == Sign::NoSign
}

/// Rounding to the nearest, and which way from the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Away from zero.
    HalfUp,
    /// To the even neighbour.
    HalfEven,
}

/// `dividend / divisor` rounded to an integer.
fn divide_rounded(dividend: &BigInt, divisor: &BigInt, rounding: Rounding) -> BigInt {
    let quotient = dividend / divisor;
    let remainder = dividend - &quotient * divisor;
    let twice = BigInt::from_biguint(Sign::Plus, remainder.magnitude() * 2u32);
    let away = match twice.magnitude().cmp(divisor.magnitude()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => rounding == Rounding::HalfUp || &quotient % 2 != BigInt::ZERO,
    };
    if !away {
        return quotient;
    }
    let negative = (dividend.sign() == Sign::Minus) != (divisor.sign() == Sign::Minus);
    if negative { quotient - 1 } else { quotient + 1 }
}

impl Decimal {
    /// `unscaled × 10^-scale`; fails if the scale does not fit.
    pub fn new(unscaled: BigInt, scale: i64) -> Result<Self, Failure> {
        let scale = i32::try_from(scale).map_err(|_| too_large())?;
        Ok(Self { unscaled, scale })
    }

    /// A whole number.
    pub fn integer(unscaled: BigInt) -> Self {
        Self { unscaled, scale: 0 }
    }

    /// From the bytes of a value; `None` for the empty one.
    pub fn decode(wire: &[u8]) -> Option<Self> {
        let (scale, unscaled) = value::decimal_parts(wire)?;
        Some(Self {
            unscaled: BigInt::from_signed_bytes_be(unscaled),
            scale,
        })
    }

    /// The bytes of a value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.scale.to_be_bytes().to_vec();
        out.extend(self.unscaled.to_signed_bytes_be());
        out
    }

    /// From a number as Java and CQL write it: digits, point, exponent.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let all_digits = digits
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
        if !all_digits || digits.len() + fraction.len() == 0 {
            return None;
        }
        let unscaled: BigInt = format!("{whole}{fraction}").parse().ok()?;
        Self::new(unscaled, fraction.len() as i64 - exponent).ok()
    }

    /// The double with the shortest text that gives it back, as Java's `BigDecimal.valueOf`.
    pub fn from_double(number: f64) -> Option<Self> {
        if number.is_finite() {
            Self::parse(&super::text::double(number))
        } else {
            None
        }
    }

    /// The same for a float.
    pub fn from_float(number: f32) -> Option<Self> {
        if number.is_finite() {
            Self::parse(&super::text::float(number))
        } else {
            None
        }
    }

    /// The nearest double.
    pub fn to_double(&self) -> f64 {
        let text = format!("{}e{}", self.unscaled, -i64::from(self.scale));
        text.parse().unwrap_or(f64::NAN)
    }

    /// The nearest float.
    pub fn to_float(&self) -> f32 {
        let text = format!("{}e{}", self.unscaled, -i64::from(self.scale));
        text.parse().unwrap_or(f32::NAN)
    }

    /// What is before the point.
    pub fn to_integer(&self) -> Result<BigInt, Failure> {
        if self.scale >= 0 {
            if i64::from(self.scale) > precision(&self.unscaled) {
                return Ok(BigInt::ZERO);
            }
            return Ok(&self.unscaled / power_of_ten(self.scale as u32));
        }
        Ok(self.padded(0)?.unscaled)
    }

    /// The same number with a greater scale.
    fn padded(&self, scale: i64) -> Result<Self, Failure> {
        let zeros = scale - i64::from(self.scale);
        debug_assert!(zeros >= 0);
        if is_zero(&self.unscaled) {
            return Self::new(BigInt::ZERO, scale);
        }
        if zeros > MAX_PADDING {
            return Err(too_large());
        }
        Self::new(&self.unscaled * power_of_ten(zeros as u32), scale)
    }

    /// Rounded to a number of digits, if it has more.
    pub fn rounded(&self, digits: i64, rounding: Rounding) -> Result<Self, Failure> {
        let mut rounded = self.clone();
        loop {
            let excess = precision(&rounded.unscaled) - digits;
            if excess <= 0 {
                return Ok(rounded);
            }
            let unscaled =
                divide_rounded(&rounded.unscaled, &power_of_ten(excess as u32), rounding);
            rounded = Self::new(unscaled, i64::from(rounded.scale) - excess)?;
        }
    }

    /// Rounded to a scale.
    pub fn with_scale(&self, scale: i32, rounding: Rounding) -> Result<Self, Failure> {
        let fewer = i64::from(self.scale) - i64::from(scale);
        if fewer <= 0 {
            return self.padded(i64::from(scale));
        }
        if fewer > precision(&self.unscaled) {
            return Ok(Self {
                unscaled: BigInt::ZERO,
                scale,
            });
        }
        Ok(Self {
            unscaled: divide_rounded(&self.unscaled, &power_of_ten(fewer as u32), rounding),
            scale,
        })
    }

    /// The same number without zeros at its end; zero has scale 0.
    pub fn stripped(&self) -> Result<Self, Failure> {
        if is_zero(&self.unscaled) {
            return Ok(Self::integer(BigInt::ZERO));
        }
        let digits = self.unscaled.to_string();
        let kept = digits.trim_end_matches('0');
        let zeros = digits.len() - kept.len();
        Self::new(
            kept.parse().map_err(|_| too_large())?,
            i64::from(self.scale) - zeros as i64,
        )
    }

    /// `self + other`
    pub fn add(&self, other: &Self) -> Result<Self, Failure> {
        let (left, right) = aligned(self, other)?;
        let scale = i64::from(left.scale.max(right.scale));
        let sum = left.padded(scale)?.unscaled + right.padded(scale)?.unscaled;
        Self::new(sum, scale)?.rounded(PRECISION, Rounding::HalfUp)
    }

    /// `-self`
    pub fn negated(&self) -> Self {
        Self {
            unscaled: -&self.unscaled,
            scale: self.scale,
        }
    }

    /// `self - other`
    pub fn subtract(&self, other: &Self) -> Result<Self, Failure> {
        self.add(&other.negated())
    }

    /// `self × other`
    pub fn multiply(&self, other: &Self) -> Result<Self, Failure> {
        let product = &self.unscaled * &other.unscaled;
        Self::new(product, i64::from(self.scale) + i64::from(other.scale))?
            .rounded(PRECISION, Rounding::HalfUp)
    }

    /// `self / other` by Cassandra's rule: at least 32 digits, zeros at the end taken away.
    pub fn divide(&self, other: &Self) -> Result<Self, Failure> {
        if is_zero(&other.unscaled) {
            return Err("BigInteger divide by zero".to_owned());
        }
        let before_point = |number: &Self| precision(&number.unscaled) - i64::from(number.scale);
        let first_digit = before_point(self) - before_point(other);
        let scale = (QUOTIENT_DIGITS - first_digit)
            .max(i64::from(self.scale))
            .max(i64::from(other.scale))
            .clamp(QUOTIENT_DIGITS, MAX_QUOTIENT_SCALE);
        self.divide_to_scale(other, scale, Rounding::HalfUp)?
            .stripped()
    }

    /// `self / other` rounded to a scale; the divisor is not zero.
    pub fn divide_to_scale(
        &self,
        other: &Self,
        scale: i64,
        rounding: Rounding,
    ) -> Result<Self, Failure> {
        // self / other = (a / b) × 10^(other.scale - self.scale), and the result has `scale` digits behind the point.
        let shift = scale + i64::from(other.scale) - i64::from(self.scale);
        if shift.abs() > MAX_PADDING {
            return Err(too_large());
        }
        let (mut dividend, mut divisor) = (self.unscaled.clone(), other.unscaled.clone());
        if shift >= 0 {
            dividend *= power_of_ten(shift as u32);
        } else {
            divisor *= power_of_ten(-shift as u32);
        }
        Self::new(divide_rounded(&dividend, &divisor, rounding), scale)
    }

    /// `self % other`, with the sign of `self`.
    pub fn remainder(&self, other: &Self) -> Result<Self, Failure> {
        if is_zero(&other.unscaled) {
            return Err("Division by zero".to_owned());
        }
        let shift = i64::from(other.scale) - i64::from(self.scale);
        if shift.abs() > MAX_PADDING {
            return Err(too_large());
        }
        let (mut dividend, mut divisor) = (self.unscaled.clone(), other.unscaled.clone());
        if shift >= 0 {
            dividend *= power_of_ten(shift as u32);
        } else {
            divisor *= power_of_ten(-shift as u32);
        }
        let quotient = Self::integral_quotient(&dividend / &divisor, -shift)?;
        let whole = Self::new(
            &quotient.unscaled * &other.unscaled,
            i64::from(quotient.scale) + i64::from(other.scale),
        )?;
        let scale = i64::from(self.scale.max(whole.scale));
        Self::new(
            self.padded(scale)?.unscaled - whole.padded(scale)?.unscaled,
            scale,
        )
    }

    /// A whole quotient with the scale Java prefers, or the nearest it allows.
    fn integral_quotient(quotient: BigInt, preferred: i64) -> Result<Self, Failure> {
        let whole = Self::integer(quotient);
        if preferred >= 0 || is_zero(&whole.unscaled) {
            return Ok(Self {
                unscaled: whole.padded(preferred.max(0))?.unscaled,
                scale: preferred as i32,
            });
        }
        let stripped = whole.stripped()?;
        let scale = i64::from(stripped.scale).max(preferred);
        stripped.padded(scale)
    }
}

/// The operands of a sum. Where one is so small that it cannot reach the digits kept, a stand-in that only rounds the
/// same way takes its place.
fn aligned(left: &Decimal, right: &Decimal) -> Result<(Decimal, Decimal), Failure> {
    if left.scale == right.scale || is_zero(&left.unscaled) || is_zero(&right.unscaled) {
        return Ok((left.clone(), right.clone()));
    }
    let (big, small) = if left.scale < right.scale {
        (left, right)
    } else {
        (right, left)
    };
    let big_scale = i64::from(big.scale);
    let result_scale = big_scale - precision(&big.unscaled) + PRECISION;
    let highest_small = i64::from(small.scale) - precision(&small.unscaled) + 1;
    if highest_small > big_scale + 2 && highest_small > result_scale + 2 {
        let sign = if small.unscaled.sign() == Sign::Minus {
            -1
        } else {
            1
        };
        let stand_in = Decimal::new(BigInt::from(sign), big_scale.max(result_scale) + 3)?;
        return Ok((big.clone(), stand_in));
    }
    Ok((left.clone(), right.clone()))
}

impl fmt::Display for Decimal {
    /// As Java's `toString`: plain, unless the exponent is positive or the number below 0.000001.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unscaled.sign() == Sign::Minus {
            formatter.write_str("-")?;
        }
        let digits = self.unscaled.magnitude().to_str_radix(10);
        let scale = i64::from(self.scale);
        let exponent = digits.len() as i64 - 1 - scale;
        if scale == 0 {
            return formatter.write_str(&digits);
        }
        if scale > 0 && exponent >= -6 {
            let behind = scale as usize;
            if digits.len() > behind {
                let (whole, fraction) = digits.split_at(digits.len() - behind);
                return write!(formatter, "{whole}.{fraction}");
            }
            return write!(formatter, "0.{digits:0>behind$}");
        }
        let (first, rest) = digits.split_at(1);
        formatter.write_str(first)?;
        if !rest.is_empty() {
            write!(formatter, ".{rest}")?;
        }
        if exponent == 0 {
            Ok(())
        } else {
            write!(formatter, "E{exponent:+}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    #[test]
    fn prints_what_java_prints() {
        for (text, printed) in [
            ("1e10", "1E+10"),
            ("1e-10", "1E-10"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1E-7"),
            ("-12.50", "-12.50"),
            ("1.5e3", "1.5E+3"),
            ("100", "100"),
            ("0.00", "0.00"),
            ("-0.05", "-0.05"),
        ] {
            assert_eq!(decimal(text).to_string(), printed);
        }
    }

    #[test]
    fn huge_exponents_cost_nothing() {
        let huge = decimal("1e2000000000");
        let sum = huge.add(&decimal("1")).expect("a rounded sum");
        assert_eq!(precision(&sum.unscaled), PRECISION);
        assert!(huge.divide(&decimal("3")).is_err());
        assert!(huge.remainder(&decimal("3")).is_err());
        assert!(huge.to_integer().is_err());
        assert!(huge.multiply(&huge).is_err());
        assert_eq!(decimal("1e-2000000000").to_integer(), Ok(BigInt::ZERO));
    }
}
