//! Durations as CQL writes them: with units (`1y2mo3w4d5h6m7s8ms9us10ns`), ISO 8601 with designators, weeks, or the
//! alternative `P0001-02-03T04:05:06` (CQL definition, durations section).
//!
//! Units come from the largest to the smallest, each once. Months, days and nanoseconds are counted apart, each within its limit.

use super::temporal::number;
use model::error::RequestError;

/// A unit: how it is written, its name in messages, and what one is in months, days or nanoseconds. In their order.
type Unit = (&'static [&'static str], &'static str, Part, i64);

const UNITS: [Unit; 10] = [
    (&["y"], "years", Part::Months, 12),
    (&["mo"], "months", Part::Months, 1),
    (&["w"], "weeks", Part::Days, 7),
    (&["d"], "days", Part::Days, 1),
    (&["h"], "hours", Part::Nanos, 3_600_000_000_000),
    (&["m"], "minutes", Part::Nanos, 60_000_000_000),
    (&["s"], "seconds", Part::Nanos, 1_000_000_000),
    (&["ms"], "milliseconds", Part::Nanos, 1_000_000),
    (&["us", "µs"], "microseconds", Part::Nanos, 1_000),
    (&["ns"], "nanoseconds", Part::Nanos, 1),
];

/// What of a duration a unit counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Months,
    Days,
    Nanos,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Months => "months",
            Self::Days => "days",
            Self::Nanos => "nanoseconds",
        }
    }

    /// The most there may be of it.
    fn limit(self) -> i64 {
        match self {
            Self::Months | Self::Days => i64::from(i32::MAX),
            Self::Nanos => i64::MAX,
        }
    }
}

/// Why a text is no duration.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// It is not written as one.
    Text,
    /// A unit stands twice.
    Repeated(&'static str),
    /// A unit stands before a larger one.
    Order(&'static str, &'static str),
    /// There is too much of something.
    Much(Part),
}

impl Fault {
    fn told(&self, text: &str) -> RequestError {
        RequestError::invalid(match self {
            Self::Text => format!("Unable to convert '{text}' to a duration"),
            Self::Repeated(unit) => {
                format!("Invalid duration. The {unit} are specified multiple times")
            }
            Self::Order(unit, larger) => {
                format!("Invalid duration. The {unit} should be after {larger}")
            }
            Self::Much(part) => format!(
                "Invalid duration. The total number of {} must be less or equal to {}",
                part.name(),
                part.limit()
            ),
        })
    }
}

/// Months, days and nanoseconds, without sign.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Parts {
    months: i64,
    days: i64,
    nanos: i64,
}

impl Parts {
    fn add(&mut self, part: Part, amount: i64, each: i64) -> Result<(), Fault> {
        let total = match part {
            Part::Months => &mut self.months,
            Part::Days => &mut self.days,
            Part::Nanos => &mut self.nanos,
        };
        *total = amount
            .checked_mul(each)
            .and_then(|more| total.checked_add(more))
            .filter(|sum| *sum <= part.limit())
            .ok_or(Fault::Much(part))?;
        Ok(())
    }
}

/// Months, days and nanoseconds of a duration constant.
pub fn parse_duration(text: &str) -> Result<(i32, i32, i64), RequestError> {
    let (sign, body) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let parts = match body.strip_prefix(['P', 'p']) {
        Some(iso) if iso.contains('-') => alternative(iso),
        Some(iso) => designators(iso),
        None => units(body),
    };
    let parts = parts.map_err(|fault| fault.told(text))?;
    let short = |part: i64| i32::try_from(part).expect("within its limit");
    Ok((
        sign * short(parts.months),
        sign * short(parts.days),
        i64::from(sign) * parts.nanos,
    ))
}

fn units(text: &str) -> Result<Parts, Fault> {
    let mut rest = text;
    let mut total = Parts::default();
    let mut before: Option<usize> = None;
    if text.is_empty() {
        return Err(Fault::Text);
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .ok_or(Fault::Text)?;
        let amount = number(&rest[..digits], 1, 19).ok_or(Fault::Text)?;
        rest = &rest[digits..];
        let end = rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let written = rest[..end].to_lowercase();
        rest = &rest[end..];
        let rank = UNITS
            .iter()
            .position(|(spellings, ..)| spellings.contains(&written.as_str()))
            .ok_or(Fault::Text)?;
        let (_, name, part, each) = UNITS[rank];
        match before {
            Some(last) if last == rank => return Err(Fault::Repeated(name)),
            Some(last) if last > rank => return Err(Fault::Order(UNITS[last].1, name)),
            _ => before = Some(rank),
        }
        total.add(part, amount, each)?;
    }
    Ok(total)
}

/// ISO 8601: `1Y2M3DT4H5M6S` after the `P`.
fn designators(text: &str) -> Result<Parts, Fault> {
    let (date, time) = text
        .split_once(['T', 't'])
        .map_or((text, None), |(date, time)| (date, Some(time)));
    let mut translated = date.to_lowercase().replace('m', "mo");
    match time {
        Some("") => return Err(Fault::Text),
        Some(time) => translated.push_str(&time.to_lowercase()),
        None if date.is_empty() => return Ok(Parts::default()),
        None => {}
    }
    // What is out of order is not of the form at all.
    units(&translated).map_err(|fault| match fault {
        Fault::Much(part) => Fault::Much(part),
        Fault::Text | Fault::Repeated(_) | Fault::Order(..) => Fault::Text,
    })
}

/// The alternative form of ISO 8601: `0001-02-03T04:05:06` after the `P`.
fn alternative(text: &str) -> Result<Parts, Fault> {
    let read = || {
        let (date, time) = text.split_once(['T', 't'])?;
        let mut parts = date.splitn(3, '-');
        let mut next = |digits| number(parts.next()?, digits, digits);
        let (years, months, days) = (next(4)?, next(2)?, next(2)?);
        let mut parts = time.splitn(3, ':');
        let mut next = || number(parts.next()?, 2, 2);
        let (hours, minutes, seconds) = (next()?, next()?, next()?);
        Some(Parts {
            months: years * 12 + months,
            days,
            nanos: ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000,
        })
    };
    read().ok_or(Fault::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_every_form() {
        let expected = Ok((14, 3, 14_706_000_000_000));
        for text in ["1y2mo3d4h5m6s", "P1Y2M3DT4H5M6S", "P0001-02-03T04:05:06"] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        assert_eq!(parse_duration("-2w"), Ok((0, -14, 0)));
        assert_eq!(parse_duration("P2W"), Ok((0, 14, 0)));
        assert_eq!(parse_duration("1us2ns"), Ok((0, 0, 1002)));
        let longest = format!("{}ns", i64::MAX);
        assert_eq!(parse_duration(&longest), Ok((0, 0, i64::MAX)));
        for text in ["", "1", "1x", "P1M1Y", "PT", "9223372036854775808ns"] {
            let told = Fault::Text.told(text);
            assert_eq!(parse_duration(text), Err(told), "{text}");
        }
    }

    /// The words are Cassandra's, but for the limit of nanoseconds, which it takes for that of months.
    #[test]
    fn what_is_wrong_with_the_units_is_said() {
        for (text, told) in [
            ("1h1d", "The hours should be after days"),
            ("1y1d1mo", "The days should be after months"),
            ("1µs1us", "The microseconds are specified multiple times"),
            (
                "-2147483648mo",
                "The total number of months must be less or equal to 2147483647",
            ),
            ("2147483647d1w", "The days should be after weeks"),
            (
                "PT99999999999H",
                "The total number of nanoseconds must be less or equal to 9223372036854775807",
            ),
        ] {
            let error = RequestError::invalid(format!("Invalid duration. {told}"));
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }
}
