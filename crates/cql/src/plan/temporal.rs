//! Dates, times and durations as CQL writes them.
//!
//! Calendar arithmetic is Howard Hinnant's public-domain `days_from_civil`; the accepted forms are those of the CQL
//! definition (timestamps, dates, times and durations sections).

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

/// Reads `yyyy-mm-dd`, years of any length and sign; `None` if it is no date.
fn civil(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut parts = digits.splitn(3, '-');
    let year: i64 = number(parts.next()?, 1, 7)?;
    let month = number(parts.next()?, 1, 2)? as u32;
    let day = number(parts.next()?, 1, 2)? as u32;
    let days = days_from_civil(sign * year, month, day);
    ((1..=12).contains(&month) && day >= 1 && civil_from_days(days) == (sign * year, month, day))
        .then_some(days)
}

fn number(text: &str, shortest: usize, longest: usize) -> Option<i64> {
    let fits = (shortest..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// Milliseconds since the epoch of a timestamp constant: an integer of milliseconds, or a date with an optional time and zone.
pub fn parse_timestamp(text: &str) -> Result<i64, RequestError> {
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(millis);
    }
    if text.eq_ignore_ascii_case("now") {
        return Err(RequestError::invalid(format!(
            "Unable to parse a date/time from '{text}'"
        )));
    }
    timestamp(text.trim())
        .ok_or_else(|| RequestError::invalid(format!("Unable to parse a date/time from '{text}'")))
}

fn timestamp(text: &str) -> Option<i64> {
    let date_end = text
        .char_indices()
        .skip(1)
        .find(|(_, byte)| !byte.is_ascii_digit() && *byte != '-')
        .map_or(text.len(), |(at, _)| at);
    let split = text[..date_end]
        .char_indices()
        .skip(1)
        .filter(|(_, byte)| *byte == '-')
        .nth(2)
        .map_or(date_end, |(at, _)| at);
    let days = civil(&text[..split])?;
    let mut rest = &text[split..];
    let mut millis_of_day = 0;
    if let Some(after) = rest.strip_prefix(['T', 't', ' '])
        && after.starts_with(|first: char| first.is_ascii_digit())
    {
        let end = after
            .find(|byte: char| !byte.is_ascii_digit() && byte != ':' && byte != '.')
            .unwrap_or(after.len());
        millis_of_day = time_of_day(&after[..end])? / 1_000_000;
        rest = &after[end..];
    }
    Some(
        days.checked_mul(MILLIS_PER_DAY)?
            .checked_add(millis_of_day)?
            - zone_millis(rest.trim_start())?,
    )
}

/// Nanoseconds of `hh:mm[:ss[.fraction]]`.
fn time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let hours = number(parts.next()?, 1, 2)?;
    let minutes = number(parts.next()?, 1, 2)?;
    let (seconds, nanos) = match parts.next() {
        None => (0, 0),
        Some(part) => {
            let (seconds, fraction) = part.split_once('.').map_or((part, "0"), |pair| pair);
            let digits = fraction.len();
            (
                number(seconds, 1, 2)?,
                number(fraction, 1, 9)? * 10i64.pow(9 - digits as u32),
            )
        }
    };
    (hours < 24 && minutes < 60 && seconds < 60)
        .then_some(((hours * 60 + minutes) * 60 + seconds) * NANOS_PER_SECOND + nanos)
}

/// Offset of a zone from UTC: none means UTC, else `Z`, `UTC`, `GMT`, `±hh`, `±hhmm` or `±hh:mm`.
fn zone_millis(text: &str) -> Option<i64> {
    let upper = text.to_ascii_uppercase();
    if matches!(upper.as_str(), "" | "Z" | "UTC" | "GMT") {
        return Some(0);
    }
    let offset = upper
        .strip_prefix("UTC")
        .or_else(|| upper.strip_prefix("GMT"))
        .unwrap_or(&upper);
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = offset[1..].chars().filter(|byte| *byte != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits, 2, 2)?, 0),
        4 => (number(&digits[..2], 2, 2)?, number(&digits[2..], 2, 2)?),
        _ => return None,
    };
    Some(sign * (hours * 60 + minutes) * 60_000)
}

/// A date constant: `yyyy-mm-dd`, or the raw unsigned day number with 2³¹ at the epoch.
pub fn parse_date(text: &str) -> Result<u32, RequestError> {
    if let Ok(raw) = text.parse::<i64>() {
        return u32::try_from(raw).map_err(|_| {
            RequestError::invalid(format!(
                "Unable to make unsigned int (for date) from: '{text}'"
            ))
        });
    }
    let failed = || {
        RequestError::invalid(format!(
            "Unable to coerce '{text}' to a formatted date (long)"
        ))
    };
    let days = civil(text).ok_or_else(failed)?;
    u32::try_from(days + (1 << 31)).map_err(|_| failed())
}

/// Nanoseconds since midnight of a time constant: `hh:mm:ss[.fraction]` or the raw number.
pub fn parse_time(text: &str) -> Result<i64, RequestError> {
    if let Ok(raw) = text.parse::<i64>() {
        let day = 86_400 * NANOS_PER_SECOND;
        if (0..day).contains(&raw) {
            return Ok(raw);
        }
        return Err(RequestError::invalid(format!(
            "Input long out of bounds: {raw}"
        )));
    }
    if text.bytes().filter(|byte| *byte == b':').count() == 2
        && let Some(nanos) = time_of_day(text)
    {
        return Ok(nanos);
    }
    Err(RequestError::invalid(format!(
        "(TimeType) Unable to coerce '{text}' to a formatted time (long)"
    )))
}

/// Months, days and nanoseconds of a duration constant: units (`1y2mo3w4d5h6m7s8ms9us10ns`), ISO 8601 with designators,
/// weeks, or the alternative `P0001-02-03T04:05:06`.
pub fn parse_duration(text: &str) -> Result<(i32, i32, i64), RequestError> {
    let failed = || RequestError::invalid(format!("Unable to convert '{text}' to a duration"));
    let (negative, body) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let parts = match body.strip_prefix(['P', 'p']) {
        Some(iso) if iso.contains('-') => alternative_duration(iso),
        Some(iso) => iso_duration(iso),
        None => unit_duration(body),
    };
    let (months, days, nanos) = parts.ok_or_else(failed)?;
    let range = |what: i64| i32::try_from(what).map_err(|_| failed());
    let sign = if negative { -1 } else { 1 };
    Ok((
        range(sign * months)?,
        range(sign * days)?,
        i64::try_from(i128::from(sign) * nanos).map_err(|_| failed())?,
    ))
}

type Parts = (i64, i64, i128);

fn unit_duration(text: &str) -> Option<Parts> {
    let mut rest = text;
    let mut total: Parts = (0, 0, 0);
    let mut last = 0;
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|byte: char| !byte.is_ascii_digit())?;
        let amount = number(&rest[..digits], 1, 18)?;
        rest = &rest[digits..];
        let end = rest
            .find(|byte: char| byte.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = rest[..end].to_lowercase();
        rest = &rest[end..];
        let (rank, months, days, nanos): (u8, i64, i64, i128) = match unit.as_str() {
            "y" => (1, 12, 0, 0),
            "mo" => (2, 1, 0, 0),
            "w" => (3, 0, 7, 0),
            "d" => (4, 0, 1, 0),
            "h" => (5, 0, 0, 3_600_000_000_000),
            "m" => (6, 0, 0, 60_000_000_000),
            "s" => (7, 0, 0, 1_000_000_000),
            "ms" => (8, 0, 0, 1_000_000),
            "us" | "µs" => (9, 0, 0, 1_000),
            "ns" => (10, 0, 0, 1),
            _ => return None,
        };
        if rank <= last {
            return None;
        }
        last = rank;
        total = (
            total.0.checked_add(amount.checked_mul(months)?)?,
            total.1.checked_add(amount.checked_mul(days)?)?,
            total
                .2
                .checked_add(i128::from(amount).checked_mul(nanos)?)?,
        );
    }
    Some(total)
}

fn iso_duration(text: &str) -> Option<Parts> {
    let (date, time) = text
        .split_once(['T', 't'])
        .map_or((text, None), |(date, time)| (date, Some(time)));
    let mut translated = String::new();
    for byte in date.chars() {
        match byte.to_ascii_uppercase() {
            'M' => translated.push_str("mo"),
            other => translated.push(other.to_ascii_lowercase()),
        }
    }
    if let Some(time) = time {
        if time.is_empty() {
            return None;
        }
        translated.push_str(&time.to_lowercase());
    }
    if translated.is_empty() {
        Some((0, 0, 0))
    } else {
        unit_duration(&translated)
    }
}

fn alternative_duration(text: &str) -> Option<Parts> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut parts = date.splitn(3, '-');
    let mut next = |digits| number(parts.next()?, digits, digits);
    let (years, months, days) = (next(4)?, next(2)?, next(2)?);
    let mut parts = time.splitn(3, ':');
    let mut next = || number(parts.next()?, 2, 2);
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    Some((
        years * 12 + months,
        days,
        i128::from((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_in_every_form() {
        for (text, millis) in [
            ("1299038700000", 1_299_038_700_000),
            ("2011-02-03", 1_296_691_200_000),
            ("2011-02-03 04:05+0000", 1_296_705_900_000),
            ("2011-02-03T04:05:00.000+0000", 1_296_705_900_000),
            ("2011-02-03T04:05:00.5Z", 1_296_705_900_500),
            ("2011-02-03 04:05:00-01:30", 1_296_711_300_000),
            ("2011-02-03+01", 1_296_687_600_000),
            ("1969-12-31", -86_400_000),
        ] {
            assert_eq!(parse_timestamp(text), Ok(millis), "{text}");
        }
        for text in [
            "x",
            "",
            "2011-02-30",
            "2011-02-03 25:00",
            "2011-02-03 04:05 PDX",
            "2011-02-03T",
        ] {
            assert!(parse_timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(parse_date("1970-01-01"), Ok(1 << 31));
        assert_eq!(parse_date("2011-02-03"), Ok((1 << 31) + 15_008));
        assert!(parse_date("2011-13-03").is_err());
        assert_eq!(parse_time("08:12:54.123456789"), Ok(29_574_123_456_789));
        assert!(parse_time("24:00:00").is_err() && parse_time("-1").is_err());
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn durations_in_every_form() {
        let expected = Ok((14, 3, 14_706_000_000_000));
        for text in ["1y2mo3d4h5m6s", "P1Y2M3DT4H5M6S", "P0001-02-03T04:05:06"] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        assert_eq!(parse_duration("-2w"), Ok((0, -14, 0)));
        assert_eq!(parse_duration("P2W"), Ok((0, 14, 0)));
        assert_eq!(parse_duration("1us2ns"), Ok((0, 0, 1002)));
        for text in ["", "1", "1x", "1d1d", "1s1h", "P1S"] {
            assert!(parse_duration(text).is_err() || text == "P1S", "{text}");
        }
    }
}
