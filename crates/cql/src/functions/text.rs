//! Values as text, the way Java prints them: what casts to text and JSON are made of.

use super::calendar::{Duration, MILLIS_PER_DAY, civil_from_days};
use super::decimal::Decimal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A double: plain with at least one digit behind the point from 0.001 to 10,000,000, else with an exponent.
pub fn double(number: f64) -> String {
    if !number.is_finite() {
        return not_finite(number);
    }
    // Java shows at least two digits, and of all such texts the one nearest to the number.
    let two_digits = format!("{number:.1e}");
    let fits = two_digits.parse() == Ok(number);
    decimal_text(&if fits {
        two_digits
    } else {
        format!("{number:e}")
    })
}

/// A float, in the same way.
pub fn float(number: f32) -> String {
    if !number.is_finite() {
        return not_finite(f64::from(number));
    }
    let two_digits = format!("{number:.1e}");
    let fits = two_digits.parse() == Ok(number);
    decimal_text(&if fits {
        two_digits
    } else {
        format!("{number:e}")
    })
}

fn not_finite(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number > 0.0 {
        "Infinity".to_owned()
    } else {
        "-Infinity".to_owned()
    }
}

/// Java's form of a number in Rust's: `-1.25e-7`.
fn decimal_text(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|&digit| digit != '.').collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        significant => significant,
    };
    if digits == "0" {
        return format!("{sign}0.0");
    }
    if !(-3..7).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        return format!("{sign}{first}.{rest}E{exponent}");
    }
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole_digits = exponent as usize + 1;
    if digits.len() <= whole_digits {
        return format!("{sign}{digits:0<whole_digits$}.0");
    }
    let (whole, fraction) = digits.split_at(whole_digits);
    format!("{sign}{whole}.{fraction}")
}

/// A decimal from the bytes of a value.
pub fn decimal(wire: &[u8]) -> Option<String> {
    Decimal::decode(wire).map(|number| number.to_string())
}

/// A year as ISO 8601 writes it: four digits, and a sign when there are more or it is before year 0.
fn iso_year(year: i64) -> String {
    match year {
        0..=9999 => format!("{year:04}"),
        10_000.. => format!("+{year}"),
        _ => format!("-{:04}", -year),
    }
}

/// A date of days since the epoch: `2020-02-29`.
pub fn date(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    format!("{}-{month:02}-{day:02}", iso_year(year))
}

/// A moment in milliseconds with this between date and time: `2020-02-29T12:34:56.789Z`. Years before the first are
/// counted backwards without a sign, as Java's year of an era.
pub fn timestamp(millis: i64, separator: char) -> String {
    let (year, month, day) = civil_from_days(millis.div_euclid(MILLIS_PER_DAY));
    let year = if year <= 0 { 1 - year } else { year };
    let time = millis.rem_euclid(MILLIS_PER_DAY);
    let (hours, minutes) = (time / 3_600_000, time / 60_000 % 60);
    let (seconds, millis) = (time / 1000 % 60, time % 1000);
    let year = iso_year(year);
    format!(
        "{year}-{month:02}-{day:02}{separator}{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z"
    )
}

/// A time of day in nanoseconds: `12:34:56.000000789`.
pub fn time(nanos: i64) -> String {
    let seconds = nanos / 1_000_000_000;
    format!(
        "{:02}:{:02}:{:02}.{:09}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        nanos % 1_000_000_000
    )
}

/// A duration from the bytes of a value: `1y2mo3d4h`.
pub fn duration(wire: &[u8]) -> Option<String> {
    Duration::decode(wire).map(|duration| duration.to_string())
}

/// An address of 4 or 16 bytes, IPv6 without compression of zeros.
pub fn inet(wire: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(wire) {
        return Some(Ipv4Addr::from(bytes).to_string());
    }
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(wire).ok()?);
    match IpAddr::from(address).to_canonical() {
        IpAddr::V4(mapped) => Some(mapped.to_string()),
        IpAddr::V6(_) => {
            let groups: Vec<String> = address
                .segments()
                .iter()
                .map(|group| format!("{group:x}"))
                .collect();
            Some(groups.join(":"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_as_java_prints_them() {
        for (number, printed) in [
            (100.0, "100.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (1e-3, "0.001"),
            (1e-5, "1.0E-5"),
            (1.2345e-7, "1.2345E-7"),
            (123_456_789.125, "1.23456789125E8"),
            (-0.0, "-0.0"),
            (4.9e-324, "4.9E-324"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(number), printed);
        }
        assert_eq!(float(0.1), "0.1");
        assert_eq!(float(16_777_216.0), "1.6777216E7");
    }
}
