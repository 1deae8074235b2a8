//! Dates and times as CQL writes them.
//!
//! Calendar arithmetic is Howard Hinnant's public-domain `days_from_civil`; the accepted forms are those of the CQL
//! definition (timestamps, dates and times sections).

use model::error::RequestError;

const MILLIS_PER_DAY: i64 = 86_400_000;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year =
        i64::from((153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date so many days from 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The greatest year, either side of year zero, that Java's calendar has.
const LAST_YEAR: i64 = 999_999_999;
const NANOS_PER_DAY: i64 = 86_400 * NANOS_PER_SECOND;

/// Reads the year at the start of a date and gives what follows it: four digits, more only after a plus sign, at least
/// four after a minus sign, which year zero has not.
fn year(text: &str) -> Option<(i64, &str)> {
    let (sign, digits) = match text.as_bytes().first()? {
        sign @ (b'+' | b'-') => (Some(*sign), &text[1..]),
        _ => (None, text),
    };
    let end = digits.find('-')?;
    let (shortest, longest) = match sign {
        None => (4, 4),
        Some(b'+') => (5, 10),
        Some(_) => (4, 10),
    };
    let magnitude = number(&digits[..end], shortest, longest)?;
    let signed = match sign {
        Some(b'-') if magnitude == 0 => return None,
        Some(b'-') => -magnitude,
        _ => magnitude,
    };
    (magnitude <= LAST_YEAR).then_some((signed, &digits[end + 1..]))
}

/// How many days a month has, or `None` for no month.
fn month_length(year: i64, month: u32) -> Option<u32> {
    Some(match month {
        2 if year.rem_euclid(4) == 0
            && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) =>
        {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    })
}

/// The number that so many digits are, if they are as many as allowed and it is in range.
pub(super) fn number(text: &str, shortest: usize, longest: usize) -> Option<i64> {
    let fits = (shortest..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// Reads the digits at the start of `rest` and steps over them.
fn leading_number(rest: &mut &str) -> Option<i64> {
    let end = rest
        .find(|byte: char| !byte.is_ascii_digit())
        .unwrap_or(rest.len());
    let value = number(&rest[..end], 1, 18)?;
    *rest = &rest[end..];
    Some(value)
}

/// Whether a text is digits with at most a minus sign in front: a raw number, were it ever so large.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Milliseconds since the epoch of a timestamp constant: an integer of milliseconds, or a date with an optional time and
/// zone.
///
/// Zones are offsets from UTC and the names of UTC itself: the rules of the world's other zones are not known here. `now`
/// is not known here either, which has no clock.
pub fn parse_timestamp(text: &str) -> Result<i64, RequestError> {
    if is_integer(text) {
        // Minus zero is zero.
        let zero = text
            .strip_prefix('-')
            .filter(|rest| rest.bytes().all(|digit| digit == b'0'));
        return zero.unwrap_or(text).parse().map_err(|_| {
            RequestError::invalid(format!("Unable to make long (for date) from: '{text}'"))
        });
    }
    timestamp(text)
        .ok_or_else(|| RequestError::invalid(format!("Unable to parse a date/time from '{text}'")))
}

/// A date alone has two digits of month and day. With a time, any number of digits will do for all but the year.
/// A day past the end of its month is the month's last, if a month can have so many.
fn timestamp(text: &str) -> Option<i64> {
    let (year, after_year) = year(text)?;
    let mut rest = after_year;
    let month = u32::try_from(leading_number(&mut rest)?).ok()?;
    rest = rest.strip_prefix('-')?;
    let day = u32::try_from(leading_number(&mut rest)?).ok()?;
    let two_digits =
        after_year.len() - rest.len() == "mm-dd".len() && after_year.as_bytes()[2] == b'-';
    let last = month_length(year, month)?;
    if !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day.min(last));
    let clock = rest
        .strip_prefix(['T', ' '])
        .filter(|after| after.starts_with(|first: char| first.is_ascii_digit()));
    let nanos = match clock {
        Some(after) => {
            rest = after;
            clock_nanos(&mut rest)?
        }
        None if two_digits => 0,
        None => return None,
    };
    let zone = if clock.is_none() && rest == "z" {
        "Z"
    } else {
        rest
    };
    days.checked_mul(MILLIS_PER_DAY)?
        .checked_add(nanos / 1_000_000)?
        .checked_sub(zone_millis(zone)?)
}

/// Nanoseconds of the `h:m[:s[.fraction]]` at the start of `rest`; 24:00 is the end of the day.
fn clock_nanos(rest: &mut &str) -> Option<i64> {
    let hours = leading_number(rest)?;
    *rest = rest.strip_prefix(':')?;
    let minutes = leading_number(rest)?;
    let (mut seconds, mut nanos) = (0, 0);
    if let Some(after) = rest.strip_prefix(':') {
        *rest = after;
        seconds = leading_number(rest)?;
        if let Some(after) = rest.strip_prefix('.') {
            let end = after
                .find(|byte: char| !byte.is_ascii_digit())
                .unwrap_or(after.len());
            nanos = fraction_nanos(&after[..end])?;
            *rest = &after[end..];
        }
    }
    if minutes > 59 || seconds > 59 || hours > 24 {
        return None;
    }
    let total = ((hours * 60 + minutes) * 60 + seconds) * NANOS_PER_SECOND + nanos;
    (total <= NANOS_PER_DAY).then_some(total)
}

/// Nanoseconds of the digits after a decimal point: at most nine, or none.
fn fraction_nanos(digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return Some(0);
    }
    Some(number(digits, 1, 9)? * 10i64.pow(9 - digits.len() as u32))
}

/// Offset of a zone from UTC: nothing means UTC, else `Z`, `±hh`, `±hhmm` or `±hh:mm`, or after a blank these,
/// `±hh:mm:ss`, or a name of UTC, which such an offset may follow.
fn zone_millis(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z") {
        return Some(0);
    }
    let Some(named) = text.strip_prefix(' ') else {
        return offset_seconds(text, false).map(|seconds| seconds * 1000);
    };
    if UTC_NAMES.contains(&named) {
        return Some(0);
    }
    let offset = ["UTC", "GMT", "UT"]
        .iter()
        .find_map(|name| named.strip_prefix(name));
    match offset {
        // After a name the offset has its colon.
        Some(offset) if offset.len() >= "+hh:mm".len() && offset.as_bytes()[3] != b':' => None,
        Some(offset) if offset.len() < "+hh:mm".len() => None,
        Some(offset) => offset_seconds(offset, true),
        None => offset_seconds(named, true),
    }
    .map(|seconds| seconds * 1000)
}

/// What the time zone database calls UTC.
const UTC_NAMES: [&str; 11] = [
    "Z",
    "UTC",
    "GMT",
    "UT",
    "UCT",
    "GMT0",
    "Zulu",
    "Universal",
    "Greenwich",
    "Etc/UTC",
    "Etc/GMT",
];

/// Seconds of `±hh`, `±hhmm`, `±hh:mm` or, if they may be there, `±hh:mm:ss`; eighteen hours at most.
fn offset_seconds(text: &str, with_seconds: bool) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text.get(1..)?;
    let parts: Vec<&str> = match digits.len() {
        4 if !digits.contains(':') => vec![digits.get(..2)?, digits.get(2..)?],
        _ => digits.split(':').collect(),
    };
    if parts.len() > if with_seconds { 3 } else { 2 } {
        return None;
    }
    let mut total = 0;
    for (part, unit) in parts.iter().zip([3600, 60, 1]) {
        let value = number(part, 2, 2)?;
        if unit != 3600 && value > 59 {
            return None;
        }
        total += value * unit;
    }
    (total <= 18 * 3600).then_some(sign * total)
}

/// A date constant: `yyyy-mm-dd`, or the raw unsigned day number with 2³¹ at the epoch.
pub fn parse_date(text: &str) -> Result<u32, RequestError> {
    if is_integer(text) {
        // Minus zero is zero.
        let zero = text
            .strip_prefix('-')
            .filter(|rest| rest.bytes().all(|digit| digit == b'0'));
        return zero.unwrap_or(text).parse().map_err(|_| {
            RequestError::invalid(format!(
                "Unable to make unsigned int (for date) from: '{text}'"
            ))
        });
    }
    let days = date(text).ok_or_else(|| {
        RequestError::invalid(format!(
            "Unable to coerce '{text}' to a formatted date (long)"
        ))
    })?;
    u32::try_from(days + (1 << 31)).map_err(|_| {
        RequestError::invalid(if days < 0 {
            format!("Input date {text} is less than min supported date -5877641-06-23T00:00Z")
        } else {
            format!("Input date {text} is greater than max supported date +5881580-07-11T00:00Z")
        })
    })
}

/// Days from the epoch to `yyyy-mm-dd`, if their milliseconds can be counted.
fn date(text: &str) -> Option<i64> {
    let (year, rest) = year(text)?;
    let (month, day) = rest.split_once('-')?;
    let month = number(month, 2, 2)? as u32;
    let day = number(day, 2, 2)? as u32;
    if !(1..=month_length(year, month)?).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    days.checked_mul(MILLIS_PER_DAY).map(|_| days)
}

/// Nanoseconds since midnight of a time constant: `hh:mm:ss[.fraction]` or the raw number.
pub fn parse_time(text: &str) -> Result<i64, RequestError> {
    if is_integer(text) {
        return text
            .parse()
            .ok()
            .filter(|raw| (0..NANOS_PER_DAY).contains(raw))
            .ok_or_else(|| {
                RequestError::invalid(format!("Unable to make long (for time) from: '{text}'"))
            });
    }
    time_of_day(text.trim()).ok_or_else(|| {
        RequestError::invalid(format!(
            "(TimeType) Unable to coerce '{text}' to a formatted time (long)"
        ))
    })
}

/// Nanoseconds of `hh:mm:ss[.fraction]`; the parts are numbers as Java's `Long.parseLong` reads them, of any length and
/// with a sign.
fn time_of_day(text: &str) -> Option<i64> {
    let [hours, minutes, seconds] = text.split(':').collect::<Vec<_>>().try_into().ok()?;
    let (seconds, nanos) = match seconds.split_once('.') {
        Some((_, "")) => return None,
        Some((seconds, fraction)) => (seconds, fraction_nanos(fraction)?),
        None => (seconds, 0),
    };
    let below = |text: &str, limit: i64| {
        text.parse::<i64>()
            .ok()
            .filter(|value| (0..limit).contains(value))
    };
    let (hours, minutes, seconds) = (below(hours, 24)?, below(minutes, 60)?, below(seconds, 60)?);
    Some(((hours * 60 + minutes) * 60 + seconds) * NANOS_PER_SECOND + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_in_every_form() {
        for (text, millis) in [
            ("1299038700000", 1_299_038_700_000),
            ("2024", 2024),
            ("-5", -5),
            ("2011-02-03", 1_296_691_200_000),
            ("2011-02-03 04:05+0000", 1_296_705_900_000),
            ("2011-02-03T04:05:00.000+0000", 1_296_705_900_000),
            ("2011-02-03T04:05:00.5Z", 1_296_705_900_500),
            ("2011-02-03 04:05:00-01:30", 1_296_711_300_000),
            ("2011-02-03+01", 1_296_687_600_000),
            ("1969-12-31", -86_400_000),
            ("2023-02-31", 1_677_542_400_000),
            ("2024-01-15 24:00", 1_705_363_200_000),
            ("2024-01-15 1:3:4", 1_705_280_584_000),
            ("2024-1-15 10:30", 1_705_314_600_000),
            ("2024-01-15 010:30", 1_705_314_600_000),
            ("2024-01-15 10:30:45.+02", 1_705_307_445_000),
            ("2024-01-15 10:30 UTC", 1_705_314_600_000),
            ("2024-01-15 UTC+02:00", 1_705_269_600_000),
            ("2024-01-15 10:30 GMT+02:00:30", 1_705_307_370_000),
            ("2024-01-15 +0200", 1_705_269_600_000),
            ("2024-01-15z", 1_705_276_800_000),
            ("2024-01-15 10:30:45+1800", 1_705_249_845_000),
            ("1969-12-31 23:59:59.9999", -1),
            ("-0001-01-01", -62_198_755_200_000),
            ("0000-01-01", -62_167_219_200_000),
            ("+10000-01-01", 253_402_300_800_000),
            ("+292278994-01-01", 9_223_372_017_129_600_000),
        ] {
            assert_eq!(parse_timestamp(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for text in [
            "x",
            "",
            " 5",
            "+5",
            "2011-02-32",
            "2011-02-00",
            "2011-02-03 25:00",
            "2011-02-03 24:01",
            "2011-02-03 04:05 PDX",
            "2011-02-03T",
            "2011-02-03t04:05",
            "2024-1-5",
            "2024-001-01",
            "24-01-15",
            "10000-01-01",
            "+2024-01-01",
            "-0000-01-01",
            "2024-13-01",
            "2024-01",
            "2024-01-15 10:30:45 ",
            "2024-01-15 10:30:45z",
            "2024-01-15 z",
            "2024-01-15UTC",
            "2024-01-15 UTC+2",
            "2024-01-15 10:30 UTC+0200",
            "2024-01-15+2",
            "2024-01-15 10:30:45+1801",
            "2024-01-15 10:30:45+0260",
            "2024-01-15 10:30:45+02:00:30",
            "2024-01-15 10:30.5",
            "2024-01-15 10:30:45.1234567890",
            "+292278995-01-01",
            "9223372036854775808",
        ] {
            assert!(parse_timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_of_every_year() {
        assert_eq!(parse_date("1970-01-01"), Ok(1 << 31));
        assert_eq!(parse_date("2011-02-03"), Ok((1 << 31) + 15_008));
        assert_eq!(parse_date("-5877641-06-23"), Ok(0));
        assert_eq!(parse_date("+5881580-07-11"), Ok(u32::MAX));
        assert_eq!(parse_date("4294967295"), Ok(u32::MAX));
        for text in [
            "2011-13-03",
            "2023-02-29",
            "10000-01-01",
            "5881580-07-11",
            "+5881580-07-12",
            "-5877641-06-22",
            "2024-1-5",
            "2024-01-15 10:00",
            "+2024-01-01",
            "-0000-01-01",
            "4294967296",
            "-1",
            "+1",
            "",
        ] {
            assert!(parse_date(text).is_err(), "{text}");
        }
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn times_as_java_reads_their_parts() {
        for (text, nanos) in [
            ("08:12:54.123456789", 29_574_123_456_789),
            ("1:2:3", 3_723_000_000_000),
            (" 10:30:45 ", 37_845_000_000_000),
            ("010:+30:45", 37_845_000_000_000),
            ("24", 24),
        ] {
            assert_eq!(parse_time(text), Ok(nanos), "{text}");
        }
        for text in [
            "24:00:00",
            "-1",
            "+1",
            "86400000000000",
            "10:30",
            "10:30:45.",
            "10:30:45.-1",
            "10:30:60",
            "::",
            "1:2:3.4:5",
            "10:30:45.1234567890",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
