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
