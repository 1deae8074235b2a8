//! Durations, sizes and rates as Cassandra writes them: a whole number and a unit.

use std::time::Duration;

const DURATIONS: [(&str, u64); 8] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Splits `12MiB` into its number and its unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse().ok()?;
    Some((number, &text[digits..]))
}

fn scale(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = split(text.trim())?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// `10s`, `500ms`, `3h`, …; a bare `0` is zero in any unit.
pub fn duration(text: &str) -> Option<Duration> {
    if text.trim() == "0" {
        return Some(Duration::ZERO);
    }
    scale(text, &DURATIONS).map(Duration::from_nanos)
}

/// Bytes of `16MiB`, `1024KiB`, …; a bare `0` is zero in any unit.
pub fn size(text: &str) -> Option<u64> {
    if text.trim() == "0" {
        Some(0)
    } else {
        scale(text, &SIZES)
    }
}

/// Bytes a second of `64MiB/s`, ….
pub fn rate(text: &str) -> Option<u64> {
    if text.trim() == "0" {
        Some(0)
    } else {
        scale(text.trim().strip_suffix("/s")?, &SIZES)
    }
}

/// Bytes of a size as people type it for `--memory`: `2G`, `512M`, `2GiB`, `1500MB`, `1073741824`. All units are
/// powers of 1024.
pub fn loose_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text.trim())?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_with_units() {
        assert_eq!(duration("10s"), Some(Duration::from_secs(10)));
        assert_eq!(duration(" 500ms "), Some(Duration::from_millis(500)));
        assert_eq!(duration("3h"), Some(Duration::from_hours(3)));
        assert_eq!(duration("2m"), Some(Duration::from_mins(2)));
        assert_eq!(duration("7µs"), Some(Duration::from_micros(7)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        for wrong in [
            "",
            "s",
            "10",
            "1.5s",
            "-1s",
            "10 s",
            "5 parsecs",
            "99999999999999d",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        assert_eq!(size("16MiB"), Some(16 << 20));
        assert_eq!(size("5KiB"), Some(5 << 10));
        assert_eq!(size("1MB"), None);
        assert_eq!(rate("64MiB/s"), Some(64 << 20));
        assert_eq!(rate("64MiB"), None);
        assert_eq!(loose_size("2G"), Some(2 << 30));
        assert_eq!(loose_size("512mb"), Some(512 << 20));
        assert_eq!(loose_size("1024"), Some(1024));
        assert_eq!(loose_size("-1G"), None);
    }
}
