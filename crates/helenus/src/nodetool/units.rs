//! Numbers as Cassandra's tools write them.

const UNITS: [(f64, &str); 4] = [
    (1_099_511_627_776.0, "TiB"),
    (1_073_741_824.0, "GiB"),
    (1_048_576.0, "MiB"),
    (1_024.0, "KiB"),
];

/// A number of bytes with a unit: `1.5 KiB`, `17 bytes`.
pub fn size(bytes: u64) -> String {
    let value = bytes as f64;
    match UNITS.iter().find(|(unit, _)| value >= *unit) {
        Some((unit, name)) => format!("{} {name}", shortest(value / unit, 2)),
        None => format!("{bytes} bytes"),
    }
}

/// A number with at most so many digits after the point, without zeros at its end.
pub fn shortest(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Bytes as given, or with a unit if people read them.
pub fn bytes(bytes: u64, human: bool) -> String {
    if human {
        size(bytes)
    } else {
        bytes.to_string()
    }
}

/// A number as Java prints a double: at least one digit after the point.
pub fn java(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let text = value.to_string();
    if text.contains('.') {
        text
    } else {
        format!("{text}.0")
    }
}

/// A moment as Java's `Instant` prints it.
pub fn moment(millis: i64) -> String {
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    // Days to a date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_are_written_as_java_does() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1024), "1 KiB");
        assert_eq!(size(77_025), "75.22 KiB");
        assert_eq!(size(3 << 39), "1.5 TiB");
        assert_eq!(java(0.0), "0.0");
        assert_eq!(java(0.25), "0.25");
        assert_eq!(java(f64::NAN), "NaN");
        assert_eq!(shortest(100.0, 2), "100");
    }
}
