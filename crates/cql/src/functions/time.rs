//! `now`, time UUIDs, and conversions between moments, dates and their numbers.

use super::CallContext;
use super::calendar::{Duration, MILLIS_PER_DAY, NANOS_PER_DAY, add_months, months_of};
use super::scalar::Scalar;
use model::error::RequestError;
use model::types::CqlType;

type Bytes<'a> = [Option<&'a [u8]>];
type Outcome = Result<Option<Vec<u8>>, RequestError>;

/// 100 ns intervals from 1582-10-15 to the epoch (RFC 4122).
const GREGORIAN_OFFSET: i64 = 0x01B2_1DD2_1381_4000;

/// The names of every function here, both spellings, each with its body.
pub(super) fn candidates(name: &str) -> Vec<Scalar> {
    use CqlType::*;
    let one = |arguments: Vec<CqlType>, returns: CqlType, body| {
        vec![Scalar::new(name.to_owned(), arguments, returns, body)]
    };
    let now = |returns: CqlType, body| {
        vec![Scalar::new(name.to_owned(), Vec::new(), returns, body).not_deterministic()]
    };
    let from = |sources: &[CqlType], returns: &CqlType, body: super::scalar::Body| {
        let scalar = |source: &CqlType| {
            Scalar::new(name.to_owned(), vec![source.clone()], returns.clone(), body)
        };
        sources.iter().map(scalar).collect()
    };
    match name {
        "now" | "current_timeuuid" | "currenttimeuuid" => now(Timeuuid, now_timeuuid),
        "current_timestamp" | "currenttimestamp" => now(Timestamp, current_timestamp),
        "current_date" | "currentdate" => now(Date, current_date),
        "current_time" | "currenttime" => now(Time, current_time),
        "uuid" => now(Uuid, random_uuid),
        "min_timeuuid" | "mintimeuuid" => one(vec![Timestamp], Timeuuid, min_timeuuid),
        "max_timeuuid" | "maxtimeuuid" => one(vec![Timestamp], Timeuuid, max_timeuuid),
        "to_date" | "todate" => from(&[Timestamp, Timeuuid], &Date, to_date),
        "to_timestamp" | "totimestamp" => from(&[Timeuuid, Date], &Timestamp, to_timestamp),
        "to_unix_timestamp" | "tounixtimestamp" => {
            from(&[Timestamp, Timeuuid, Date], &Bigint, to_timestamp)
        }
        "floor" => floor_candidates(),
        _ => Vec::new(),
    }
}

fn floor_candidates() -> Vec<Scalar> {
    use CqlType::*;
    let mut candidates = Vec::new();
    for (moment, returns) in [(Timestamp, Timestamp), (Timeuuid, Timestamp), (Date, Date)] {
        let two = vec![moment.clone(), CqlType::Duration];
        let three = vec![moment, CqlType::Duration, returns.clone()];
        candidates.push(Scalar::new("floor", two, returns.clone(), floor));
        candidates.push(Scalar::new("floor", three, returns, floor));
    }
    candidates.push(Scalar::new(
        "floor",
        vec![Time, CqlType::Duration],
        Time,
        floor_time,
    ));
    candidates
}

/// Milliseconds of a date's midnight.
pub(super) fn date_millis(days: u32) -> i64 {
    (i64::from(days) - (1 << 31)) * MILLIS_PER_DAY
}

/// The date of a moment in milliseconds. Before the epoch days are cut off towards it, as Cassandra does.
pub(super) fn millis_date(millis: i64) -> u32 {
    (millis.div_euclid(1000) / (MILLIS_PER_DAY / 1000) + (1 << 31)) as u32
}

/// The bytes of a time UUID of so many 100 ns intervals since 1582, and its other eight bytes.
fn timeuuid(intervals: i64, low: u64) -> Vec<u8> {
    let time = intervals as u64;
    let high = (time << 32) | ((time >> 16) & 0xFFFF_0000) | 0x1000 | ((time >> 48) & 0x0FFF);
    [high.to_be_bytes(), low.to_be_bytes()].concat()
}

/// 100 ns intervals since 1582 of the bytes of a time UUID.
fn intervals(wire: &[u8]) -> Option<i64> {
    let high = u64::from_be_bytes(wire.get(..8)?.try_into().ok()?);
    Some(((high & 0x0FFF) << 48 | (high & 0xFFFF_0000) << 16 | high >> 32) as i64)
}

/// The moment of a time UUID, ms since the epoch.
fn timeuuid_millis(wire: &[u8]) -> Option<i64> {
    Some(intervals(wire)?.wrapping_sub(GREGORIAN_OFFSET) / 10_000)
}

fn millis_intervals(millis: i64) -> i64 {
    millis.wrapping_mul(10_000).wrapping_add(GREGORIAN_OFFSET)
}

/// The moment an argument means, ms since the epoch; `None` for null and empty values.
fn millis(ctype: &CqlType, wire: Option<&[u8]>) -> Option<i64> {
    let wire = wire?;
    match ctype {
        CqlType::Timeuuid => timeuuid_millis(wire),
        CqlType::Date => Some(date_millis(u32::from_be_bytes(wire.try_into().ok()?))),
        _ => Some(i64::from_be_bytes(wire.try_into().ok()?)),
    }
}

fn now_timeuuid(scalar: &Scalar, _: &Bytes<'_>, context: &CallContext) -> Outcome {
    // The calls of one execution are in order; node and clock sequence are random, with the variant bits and the
    // multicast bit that marks a node without hardware address (RFC 4122, section 4.5).
    let (random, within) = context.draw(scalar.site);
    let low = (random as u64 >> 2) | 0x8000_0100_0000_0000;
    let intervals = context
        .now_micros
        .wrapping_mul(10)
        .wrapping_add(within)
        .wrapping_add(GREGORIAN_OFFSET);
    Ok(Some(timeuuid(intervals, low)))
}

fn random_uuid(scalar: &Scalar, _: &Bytes<'_>, context: &CallContext) -> Outcome {
    let bytes = context.draw(scalar.site).0.to_be_bytes();
    Ok(Some(
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .as_bytes()
            .to_vec(),
    ))
}

fn current_timestamp(_: &Scalar, _: &Bytes<'_>, context: &CallContext) -> Outcome {
    Ok(Some(
        context.now_micros.div_euclid(1000).to_be_bytes().to_vec(),
    ))
}

fn current_date(_: &Scalar, _: &Bytes<'_>, context: &CallContext) -> Outcome {
    Ok(Some(
        millis_date(context.now_micros.div_euclid(1000))
            .to_be_bytes()
            .to_vec(),
    ))
}

fn current_time(_: &Scalar, _: &Bytes<'_>, context: &CallContext) -> Outcome {
    let millis_of_day = context
        .now_micros
        .div_euclid(1000)
        .rem_euclid(MILLIS_PER_DAY);
    Ok(Some((millis_of_day * 1_000_000).to_be_bytes().to_vec()))
}

fn min_timeuuid(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    let millis = millis(&scalar.arguments[0], arguments[0]);
    Ok(millis.map(|millis| timeuuid(millis_intervals(millis), 0x8080_8080_8080_8080)))
}

fn max_timeuuid(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    // The last interval of the millisecond.
    let last = |millis: i64| millis_intervals(millis.wrapping_add(1)).wrapping_sub(1);
    let millis = millis(&scalar.arguments[0], arguments[0]);
    Ok(millis.map(|millis| timeuuid(last(millis), 0x7F7F_7F7F_7F7F_7F7F)))
}

/// A date of a moment; also what a cast does.
pub(super) fn to_date(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    let millis = millis(&scalar.arguments[0], arguments[0]);
    Ok(millis.map(|millis| millis_date(millis).to_be_bytes().to_vec()))
}

/// The milliseconds of a moment, as a timestamp or a number; also what a cast does.
pub(super) fn to_timestamp(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    Ok(millis(&scalar.arguments[0], arguments[0]).map(|millis| millis.to_be_bytes().to_vec()))
}

fn invalid(message: impl Into<String>) -> RequestError {
    RequestError::Invalid(message.into())
}

/// `floor(moment, duration [, start])` of timestamps, time UUIDs and dates.
fn floor(scalar: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    let moment = millis(&scalar.arguments[0], arguments[0]);
    let (Some(moment), Some(duration)) = (moment, arguments[1].and_then(Duration::decode)) else {
        return Ok(None);
    };
    let is_date = scalar.returns == CqlType::Date;
    let start = match arguments.get(2) {
        Some(start) => match millis(&scalar.arguments[2], *start) {
            Some(start) => start,
            None => return Ok(None),
        },
        None => 0,
    };
    if is_date && !duration.has_day_precision() {
        return Err(invalid(format!(
            "The floor on date values cannot be computed for the {duration} duration as precision is below 1 day"
        )));
    }
    if !is_date && !duration.has_millisecond_precision() {
        return Err(invalid(format!(
            "The floor cannot be computed for the {duration} duration as precision is below 1 millisecond"
        )));
    }
    let floor = floor_millis(moment, duration, start)?;
    Ok(Some(if is_date {
        millis_date(floor).to_be_bytes().to_vec()
    } else {
        floor.to_be_bytes().to_vec()
    }))
}

/// The last of `start`, `start + duration`, `start + 2 × duration`, … that is not after `moment`.
fn floor_millis(moment: i64, duration: Duration, start: i64) -> Result<i64, RequestError> {
    if duration.is_negative() {
        return Err(invalid(
            "Negative durations are not supported by the floor function",
        ));
    }
    if start > moment {
        return Err(invalid(
            "The floor function starting time is greater than the provided time",
        ));
    }
    let step = duration.day_and_time_millis();
    if duration.months == 0 {
        let past = moment.wrapping_sub(start);
        return Ok(if step == 0 {
            moment
        } else {
            moment - past.rem_euclid(step)
        });
    }
    let months = i64::from(duration.months);
    let at = |count: i64| {
        let days_and_time = i128::from(count) * i128::from(step);
        i128::from(add_months(start, count * months)) + days_and_time
    };
    // The months alone give the most steps there can be; steps only grow, so the count is found by halving.
    let (mut low, mut high) = (0, (months_of(moment) - months_of(start)) / months);
    if duration.days == 0 && duration.nanos == 0 {
        low = high;
    }
    while low < high {
        let middle = low + (high - low + 1) / 2;
        if at(middle) <= i128::from(moment) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(at(low) as i64)
}

fn floor_time(_: &Scalar, arguments: &Bytes<'_>, _: &CallContext) -> Outcome {
    let (Some(time), Some(duration)) = (arguments[0], arguments[1].and_then(Duration::decode))
    else {
        return Ok(None);
    };
    let Ok(time) = time.try_into() else {
        return Ok(None);
    };
    let time = i64::from_be_bytes(time);
    if duration.is_negative() {
        return Err(invalid(
            "Negative durations are not supported by the floor function",
        ));
    }
    if duration.months != 0 || duration.days != 0 || duration.nanos > NANOS_PER_DAY {
        return Err(invalid(
            "For time values, the floor can only be computed for durations smaller that a day",
        ));
    }
    let floor = if duration.nanos == 0 {
        time
    } else {
        time - time % duration.nanos
    };
    Ok(Some(floor.to_be_bytes().to_vec()))
}
