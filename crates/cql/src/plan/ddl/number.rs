//! Numbers as Java reads them from the values of options.

/// `Integer.parseInt`: a sign, digits, nothing else.
pub(super) fn int(text: &str) -> Option<i32> {
    text.parse().ok()
}

/// `Long.parseLong`.
pub(super) fn long(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// `Double.parseDouble`: spaces around it and a type suffix are allowed.
pub(super) fn double(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.trim_start_matches(['+', '-']);
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" if text.starts_with('-') => return Some(f64::NEG_INFINITY),
        "Infinity" => return Some(f64::INFINITY),
        _ => {}
    }
    // Rust alone would take these words in any case of letters.
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    text.strip_suffix(['f', 'F', 'd', 'D'])
        .unwrap_or(text)
        .parse()
        .ok()
}

/// A double as Java prints it: at least one digit after the point, an exponent outside 10⁻³ … 10⁷.
pub(super) fn java(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        let plain = format!("{value}");
        return if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        };
    }
    let scientific = format!("{value:E}");
    match scientific.split_once('E') {
        Some((mantissa, _)) if mantissa.contains('.') => scientific,
        Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
        None => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_read_and_printed_as_java_does() {
        for (text, printed) in [
            ("0", "0.0"),
            (" 0.1 ", "0.1"),
            ("0.1f", "0.1"),
            ("1e-5", "1.0E-5"),
            ("0.0000671", "6.71E-5"),
            ("-1", "-1.0"),
            ("12345678", "1.2345678E7"),
            ("NaN", "NaN"),
            ("-Infinity", "-Infinity"),
            ("5.", "5.0"),
            (".5", "0.5"),
        ] {
            assert_eq!(double(text).map(java).as_deref(), Some(printed), "{text}");
        }
        for text in ["", "x", "nan", "inf", "infinity", "1 2", "--1", "1ff"] {
            assert_eq!(double(text), None, "{text}");
        }
    }
}
