//! A value's bytes as a CQL literal, so that a recorded result reads like CQL and differs wherever the bytes differ.
//!
//! `null` is an absent value, `empty` a value of no bytes where the type has none; bytes that are wrong for the type are
//! shown as `invalid 0x…`.

use super::bytes::Reader;
use super::number;
use super::types::Type;
use super::{WireError, WireResult};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The literal for a value of `kind`.
pub fn value(kind: &Type, bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "null".into();
    };
    let may_be_empty = matches!(kind, Type::Native("text" | "varchar" | "ascii" | "blob"));
    if bytes.is_empty() && !may_be_empty {
        return "empty".into();
    }
    checked(kind, bytes).unwrap_or_else(|_| format!("invalid {}", blob(bytes)))
}

fn checked(kind: &Type, bytes: &[u8]) -> WireResult<String> {
    let mut from = Reader::new(bytes);
    let text = match kind {
        Type::Native(name) => native(name, &mut from)?,
        Type::Custom(_) => blob(from.take(bytes.len())?),
        Type::List(element) => format!("[{}]", elements(element, &mut from)?),
        Type::Set(element) => format!("{{{}}}", elements(element, &mut from)?),
        Type::Map(key, mapped) => {
            let entries = (0..from.int()?)
                .map(|_| Ok(value(key, from.bytes()?) + ": " + &value(mapped, from.bytes()?)));
            format!(
                "{{{}}}",
                entries.collect::<WireResult<Vec<_>>>()?.join(", ")
            )
        }
        Type::Tuple(parts) => {
            let parts = parts.iter().map(|part| field(part, &mut from));
            format!("({})", parts.collect::<WireResult<Vec<_>>>()?.join(", "))
        }
        Type::User(_, _, fields) => {
            let fields = fields
                .iter()
                .map(|(name, kind)| Ok(format!("{name}: {}", field(kind, &mut from)?)));
            format!("{{{}}}", fields.collect::<WireResult<Vec<_>>>()?.join(", "))
        }
        Type::Vector(element, length) => {
            let parts = (0..*length).map(|_| {
                let length = element
                    .fixed_length()
                    .map_or_else(|| from.unsigned_vint().map(|n| n as usize), Ok)?;
                Ok(value(element, Some(from.take(length)?)))
            });
            format!("[{}]", parts.collect::<WireResult<Vec<_>>>()?.join(", "))
        }
    };
    if from.rest().is_empty() {
        Ok(text)
    } else {
        Err(WireError::Malformed("bytes left over".into()))
    }
}

fn elements(kind: &Type, from: &mut Reader<'_>) -> WireResult<String> {
    let elements = (0..from.int()?).map(|_| Ok(value(kind, from.bytes()?)));
    Ok(elements.collect::<WireResult<Vec<_>>>()?.join(", "))
}

/// A field of a tuple or user type: fields at the end may be missing altogether and are then null.
fn field(kind: &Type, from: &mut Reader<'_>) -> WireResult<String> {
    if from.rest().is_empty() {
        Ok("null".into())
    } else {
        Ok(value(kind, from.bytes()?))
    }
}

fn native(name: &str, from: &mut Reader<'_>) -> WireResult<String> {
    Ok(match name {
        "ascii" | "text" | "varchar" => string(from.take(from.rest().len())?)?,
        "blob" => blob(from.take(from.rest().len())?),
        "boolean" => match from.byte()? {
            0 => "false".into(),
            1 => "true".into(),
            other => format!("true(0x{other:02x})"),
        },
        "tinyint" => (from.byte()? as i8).to_string(),
        "smallint" => (from.short()? as i16).to_string(),
        "int" => from.int()?.to_string(),
        "bigint" | "counter" => from.long()?.to_string(),
        "varint" => number::to_decimal(from.take(from.rest().len())?),
        "decimal" => decimal(from)?,
        "float" => format!("{:?}", f32::from_bits(from.int()? as u32)),
        "double" => format!("{:?}", f64::from_bits(from.long()? as u64)),
        "uuid" | "timeuuid" => uuid(&from.uuid()?),
        "inet" => format!("'{}'", inet(from.take(from.rest().len())?)),
        "date" => date(i64::from(from.int()? as u32) - (1 << 31)),
        "time" => time(from.long()?),
        "timestamp" => timestamp(from.long()?),
        "duration" => duration(from)?,
        other => return Err(WireError::Malformed(format!("no literal for {other}"))),
    })
}

fn string(bytes: &[u8]) -> WireResult<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| WireError::Malformed("not UTF-8".into()))?;
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\t', "\\t");
    Ok(format!(
        "'{}'",
        escaped.replace('\'', "''").replace('\0', "\\0")
    ))
}

/// `0x…` in lower case.
pub fn blob(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("0x"), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// An IPv4 or IPv6 address, or the bytes if they are neither.
pub fn inet(bytes: &[u8]) -> String {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        Ipv4Addr::from(four).to_string()
    } else if let Ok(sixteen) = <[u8; 16]>::try_from(bytes) {
        Ipv6Addr::from(sixteen).to_string()
    } else {
        format!("invalid {}", blob(bytes))
    }
}

/// The 8-4-4-4-12 form.
pub fn uuid(bytes: &[u8; 16]) -> String {
    let hex = &blob(bytes)[2..];
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Plain digits with the scale visible; far scales as `unscaledE-scale`.
fn decimal(from: &mut Reader<'_>) -> WireResult<String> {
    let scale = from.int()?;
    let unscaled = number::to_decimal(from.take(from.rest().len())?);
    let Ok(places) = usize::try_from(scale) else {
        return Ok(format!("{unscaled}E{}", -i64::from(scale)));
    };
    if places == 0 {
        return Ok(unscaled);
    }
    if places > 60 {
        return Ok(format!("{unscaled}E-{places}"));
    }
    let (sign, digits) = unscaled
        .strip_prefix('-')
        .map_or(("", unscaled.as_str()), |digits| ("-", digits));
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    Ok(format!("{sign}{whole}.{fraction}"))
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        format!("'{year:04}-{month:02}-{day:02}'")
    } else {
        format!("date({days} days)")
    }
}

fn time(nanos: i64) -> String {
    let seconds = nanos.div_euclid(1_000_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "'{hours:02}:{minutes:02}:{:02}.{:09}'",
        seconds % 60,
        nanos.rem_euclid(1_000_000_000)
    )
}

fn timestamp(millis: i64) -> String {
    let (year, month, day) = civil(millis.div_euclid(86_400_000));
    if !(0..=9999).contains(&year) {
        return format!("timestamp({millis} ms)");
    }
    let of_day = millis.rem_euclid(86_400_000);
    let (hours, minutes, seconds) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!(
        "'{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{:03}Z'",
        of_day % 1000
    )
}

fn duration(from: &mut Reader<'_>) -> WireResult<String> {
    let (months, days, nanos) = (from.vint()?, from.vint()?, from.vint()?);
    let negative = months < 0 || days < 0 || nanos < 0;
    let sign = if negative { "-" } else { "" };
    Ok(format!(
        "{sign}{}mo{}d{}ns",
        months.unsigned_abs(),
        days.unsigned_abs(),
        nanos.unsigned_abs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &'static str, bytes: &[u8]) -> String {
        value(&Type::Native(name), Some(bytes))
    }

    #[test]
    fn literals_of_native_types() {
        assert_eq!(shown("int", &[0, 0, 0, 7]), "7");
        assert_eq!(shown("int", &[]), "empty");
        assert_eq!(shown("int", &[1]), "invalid 0x01");
        assert_eq!(shown("text", b"it's\n"), "'it''s\\n'");
        assert_eq!(shown("decimal", &[0, 0, 0, 2, 0x27, 0x10]), "100.00");
        assert_eq!(shown("decimal", &[0, 0, 0, 2, 0xff]), "-0.01");
        assert_eq!(shown("float", &1.1f32.to_be_bytes()), "1.1");
        assert_eq!(
            shown("timestamp", &0i64.to_be_bytes()),
            "'1970-01-01 00:00:00.000Z'"
        );
        assert_eq!(
            shown("timestamp", &(-1i64).to_be_bytes()),
            "'1969-12-31 23:59:59.999Z'"
        );
        assert_eq!(shown("date", &0x8000_0000u32.to_be_bytes()), "'1970-01-01'");
        assert_eq!(shown("time", &1i64.to_be_bytes()), "'00:00:00.000000001'");
    }

    #[test]
    fn days_and_civil_dates_agree() {
        for days in (-800_000..3_000_000).step_by(997) {
            let (year, month, day) = civil(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}
