//! How old an answer may be, as clients and operators write it.

/// Milliseconds in each unit.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// The longest that can be asked for: what is older than a day is no answer to anything.
const LONGEST_MS: u64 = 24 * 3_600_000;

/// Reads `1500ms`, `5s`, `2m` or `1h`, in milliseconds; `None` if it is nothing of the kind, nought, or longer than a day.
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, in_unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let ms = number.parse::<u64>().ok()?.checked_mul(*in_unit)?;
    (1..=LONGEST_MS).contains(&ms).then_some(ms)
}

/// What [`parse`] reads again.
pub fn show(ms: u64) -> String {
    let unit = UNITS
        .iter()
        .rev()
        .find(|(_, in_unit)| ms.is_multiple_of(*in_unit));
    let (name, in_unit) = unit.unwrap_or(&UNITS[0]);
    format!("{}{name}", ms / in_unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown() {
        for (text, ms) in [
            ("1500ms", 1_500),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse(text), Some(ms));
            assert_eq!(show(ms), text);
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "5 s",
            "5S",
            "0s",
            "25h",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
