//! Numbers of every type, and how Java converts one into another.

use super::decimal::Decimal;
use model::types::CqlType;
use num_bigint::{BigInt, Sign};

/// A number of one of the numeric types; counters are `Bigint`s.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// `tinyint`
    Tinyint(i8),
    /// `smallint`
    Smallint(i16),
    /// `int`
    Int(i32),
    /// `bigint` and `counter`
    Bigint(i64),
    /// `varint`
    Varint(BigInt),
    /// `float`
    Float(f32),
    /// `double`
    Double(f64),
    /// `decimal`
    Decimal(Decimal),
}

/// The numeric types.
pub const NUMERIC: [CqlType; 9] = [
    CqlType::Tinyint,
    CqlType::Smallint,
    CqlType::Int,
    CqlType::Bigint,
    CqlType::Counter,
    CqlType::Varint,
    CqlType::Float,
    CqlType::Double,
    CqlType::Decimal,
];

/// Whether it is one of the numeric types.
pub fn is_numeric(ctype: &CqlType) -> bool {
    NUMERIC.contains(ctype)
}

/// The low 64 bits of an integer, as Java's `longValue`.
pub fn low_bits(number: &BigInt) -> i64 {
    let low = number.magnitude().iter_u64_digits().next().unwrap_or(0) as i64;
    if number.sign() == Sign::Minus {
        low.wrapping_neg()
    } else {
        low
    }
}

impl Number {
    /// From the bytes of a value; `None` for the empty one and for types that are not numeric.
    pub fn decode(ctype: &CqlType, wire: &[u8]) -> Option<Self> {
        Some(match ctype {
            CqlType::Tinyint => Self::Tinyint(i8::from_be_bytes(wire.try_into().ok()?)),
            CqlType::Smallint => Self::Smallint(i16::from_be_bytes(wire.try_into().ok()?)),
            CqlType::Int => Self::Int(i32::from_be_bytes(wire.try_into().ok()?)),
            CqlType::Bigint | CqlType::Counter => {
                Self::Bigint(i64::from_be_bytes(wire.try_into().ok()?))
            }
            CqlType::Varint if wire.is_empty() => return None,
            CqlType::Varint => Self::Varint(BigInt::from_signed_bytes_be(wire)),
            CqlType::Float => Self::Float(f32::from_be_bytes(wire.try_into().ok()?)),
            CqlType::Double => Self::Double(f64::from_be_bytes(wire.try_into().ok()?)),
            CqlType::Decimal => Self::Decimal(Decimal::decode(wire)?),
            _ => return None,
        })
    }

    /// The bytes of a value.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Tinyint(number) => number.to_be_bytes().to_vec(),
            Self::Smallint(number) => number.to_be_bytes().to_vec(),
            Self::Int(number) => number.to_be_bytes().to_vec(),
            Self::Bigint(number) => number.to_be_bytes().to_vec(),
            Self::Varint(number) => number.to_signed_bytes_be(),
            Self::Float(number) => number.to_be_bytes().to_vec(),
            Self::Double(number) => number.to_be_bytes().to_vec(),
            Self::Decimal(number) => number.encode(),
        }
    }

    /// Java's `longValue`: fractions cut off, doubles clamped, greater integers cut to their low bits.
    pub fn to_long(&self) -> Result<i64, String> {
        Ok(match self {
            Self::Tinyint(number) => i64::from(*number),
            Self::Smallint(number) => i64::from(*number),
            Self::Int(number) => i64::from(*number),
            Self::Bigint(number) => *number,
            Self::Varint(number) => low_bits(number),
            Self::Float(number) => *number as i64,
            Self::Double(number) => *number as i64,
            Self::Decimal(number) => low_bits(&number.to_integer()?),
        })
    }

    /// Java's `intValue`.
    pub fn to_int(&self) -> Result<i32, String> {
        Ok(match self {
            Self::Float(number) => *number as i32,
            Self::Double(number) => *number as i32,
            other => other.to_long()? as i32,
        })
    }

    /// Java's `doubleValue`.
    pub fn to_double(&self) -> f64 {
        match self {
            Self::Tinyint(number) => f64::from(*number),
            Self::Smallint(number) => f64::from(*number),
            Self::Int(number) => f64::from(*number),
            Self::Bigint(number) => *number as f64,
            Self::Varint(number) => Decimal::integer(number.clone()).to_double(),
            Self::Float(number) => f64::from(*number),
            Self::Double(number) => *number,
            Self::Decimal(number) => number.to_double(),
        }
    }

    /// Java's `floatValue`.
    pub fn to_float(&self) -> f32 {
        match self {
            Self::Tinyint(number) => f32::from(*number),
            Self::Smallint(number) => f32::from(*number),
            Self::Int(number) => *number as f32,
            Self::Bigint(number) => *number as f32,
            Self::Varint(number) => Decimal::integer(number.clone()).to_float(),
            Self::Float(number) => *number,
            Self::Double(number) => *number as f32,
            Self::Decimal(number) => number.to_float(),
        }
    }

    /// As a `varint`: integers exactly, others by way of a long.
    pub fn to_varint(&self) -> Result<BigInt, String> {
        Ok(match self {
            Self::Varint(number) => number.clone(),
            Self::Decimal(number) => number.to_integer()?,
            other => BigInt::from(other.to_long()?),
        })
    }

    /// As the operand of a decimal operation: small integers by way of a double, which shows in the scale.
    pub fn to_decimal_operand(&self) -> Result<Decimal, String> {
        match self {
            Self::Decimal(number) => Ok(number.clone()),
            Self::Varint(number) => Ok(Decimal::integer(number.clone())),
            other => {
                let double = other.to_double();
                Decimal::from_double(double).ok_or_else(|| not_a_decimal(double))
            }
        }
    }

    /// As a cast makes a decimal of it.
    pub fn to_decimal(&self) -> Result<Decimal, String> {
        match self {
            Self::Decimal(number) => Ok(number.clone()),
            Self::Float(number) => {
                Decimal::from_float(*number).ok_or_else(|| not_a_decimal(f64::from(*number)))
            }
            Self::Double(number) => {
                Decimal::from_double(*number).ok_or_else(|| not_a_decimal(*number))
            }
            other => Ok(Decimal::integer(other.to_varint()?)),
        }
    }

    /// Converted to another numeric type as a cast does it.
    pub fn convert(&self, target: &CqlType) -> Result<Self, String> {
        Ok(match target {
            CqlType::Tinyint => Self::Tinyint(self.to_int()? as i8),
            CqlType::Smallint => Self::Smallint(self.to_int()? as i16),
            CqlType::Int => Self::Int(self.to_int()?),
            CqlType::Bigint | CqlType::Counter => Self::Bigint(self.to_long()?),
            CqlType::Varint => Self::Varint(self.to_varint()?),
            CqlType::Float => Self::Float(self.to_float()),
            CqlType::Double => Self::Double(self.to_double()),
            _ => Self::Decimal(self.to_decimal()?),
        })
    }
}

fn not_a_decimal(number: f64) -> String {
    if number.is_nan() {
        "A NaN cannot be converted into a decimal".to_owned()
    } else {
        "An infinite number cannot be converted into a decimal".to_owned()
    }
}
