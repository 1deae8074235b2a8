//! `speculative_retry` and `additional_write_policy`.

use model::error::RequestError;
use model::schema::SpeculativeRetry;

/// Reads a policy: `NEVER`, `ALWAYS`, `99p`, `50ms`, `MIN(99p,50ms)`, in any case of letters.
pub(super) fn read(text: &str) -> Result<SpeculativeRetry, RequestError> {
    let upper = text.to_uppercase();
    match upper.as_str() {
        "NEVER" | "NONE" => return Ok(SpeculativeRetry::Never),
        "ALWAYS" => return Ok(SpeculativeRetry::Always),
        _ => {}
    }
    // Both options name the first one in their message.
    let invalid = |detail: &str| {
        RequestError::Config(format!(
            "Invalid value {text} for option 'speculative_retry'{detail}"
        ))
    };
    match simple(&upper) {
        Some(Simple::Percentile(percentile)) if percentile > 0.0 && percentile < 100.0 => {
            return Ok(SpeculativeRetry::Percentile(percentile));
        }
        Some(Simple::Percentile(_)) => {
            return Err(RequestError::Config(format!(
                "Invalid value {text} for PERCENTILE option 'speculative_retry': must be between (0.0 and 100.0)"
            )));
        }
        Some(Simple::Millis(millis)) => return Ok(SpeculativeRetry::FixedMillis(millis)),
        None => {}
    }
    let (make, arguments): (fn(f64, f64) -> SpeculativeRetry, _) =
        if let Some(arguments) = upper.strip_prefix("MIN(") {
            (SpeculativeRetry::Min, arguments)
        } else if let Some(arguments) = upper.strip_prefix("MAX(") {
            (SpeculativeRetry::Max, arguments)
        } else {
            return Err(invalid(""));
        };
    let both = arguments
        .strip_suffix(')')
        .and_then(|inside| inside.split_once(','));
    let Some((one, other)) = both else {
        return Err(invalid(""));
    };
    let same = |kind: &str| {
        invalid(&format!(
            ": MIN()/MAX() arguments should be of different types, but both are of type {kind}"
        ))
    };
    match (simple(one.trim_end()), simple(other.trim_start())) {
        (Some(Simple::Percentile(percentile)), Some(Simple::Millis(millis)))
        | (Some(Simple::Millis(millis)), Some(Simple::Percentile(percentile)))
            if percentile > 0.0 && percentile < 100.0 =>
        {
            Ok(make(percentile, millis))
        }
        (Some(Simple::Percentile(_)), Some(Simple::Percentile(_))) => Err(same("PERCENTILE")),
        (Some(Simple::Millis(_)), Some(Simple::Millis(_))) => Err(same("FIXED")),
        _ => Err(invalid("")),
    }
}

enum Simple {
    Percentile(f64),
    Millis(f64),
}

/// `99P`, `99PERCENTILE` or `50MS`.
fn simple(upper: &str) -> Option<Simple> {
    let digits = upper.find(|next: char| !(next.is_ascii_digit() || next == '.'))?;
    let (value, unit) = upper.split_at(digits);
    let value: f64 = value.parse().ok()?;
    match unit {
        "P" | "PERCENTILE" => Some(Simple::Percentile(value)),
        // Cassandra keeps whole milliseconds.
        "MS" => Some(Simple::Millis(value.trunc())),
        _ => None,
    }
}
