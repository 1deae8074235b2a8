//! Days, months and durations in the proleptic Gregorian calendar.

/// Milliseconds of a day.
pub const MILLIS_PER_DAY: i64 = 86_400_000;

/// Nanoseconds of a day.
pub const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// Days from 1970-01-01 to a date (Howard Hinnant, `days_from_civil`).
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The year, month and day so many days from 1970-01-01 (Howard Hinnant, `civil_from_days`).
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

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Months since year 0 of a moment in milliseconds.
pub fn months_of(millis: i64) -> i64 {
    let (year, month, _) = civil_from_days(millis.div_euclid(MILLIS_PER_DAY));
    year * 12 + i64::from(month) - 1
}

/// A moment in milliseconds moved by whole months; the 31st becomes the last day of a shorter month.
pub fn add_months(millis: i64, months: i64) -> i64 {
    let days = millis.div_euclid(MILLIS_PER_DAY);
    let (year, month, day) = civil_from_days(days);
    let total = year * 12 + i64::from(month) - 1 + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
    let day = day.min(days_in_month(year, month));
    days_from_civil(year, month, day)
        .wrapping_mul(MILLIS_PER_DAY)
        .wrapping_add(millis.rem_euclid(MILLIS_PER_DAY))
}

/// Months, days and nanoseconds, all of one sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duration {
    /// Months.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Nanoseconds.
    pub nanos: i64,
}

impl Duration {
    /// From the bytes of a value.
    pub fn decode(wire: &[u8]) -> Option<Self> {
        let (months, days, nanos) = model::value::duration_parts(wire)?;
        Some(Self {
            months,
            days,
            nanos,
        })
    }

    /// The same length backwards.
    pub fn negated(self) -> Self {
        Self {
            months: self.months.wrapping_neg(),
            days: self.days.wrapping_neg(),
            nanos: self.nanos.wrapping_neg(),
        }
    }

    /// Whether it goes backwards.
    pub fn is_negative(self) -> bool {
        self.months < 0 || self.days < 0 || self.nanos < 0
    }

    /// Days and nanoseconds in milliseconds, the months left out.
    pub fn day_and_time_millis(self) -> i64 {
        i64::from(self.days) * MILLIS_PER_DAY + self.nanos / 1_000_000
    }

    /// A moment in milliseconds moved by this.
    pub fn added_to(self, millis: i64) -> i64 {
        let millis = if self.months == 0 {
            millis
        } else {
            add_months(millis, i64::from(self.months))
        };
        millis.wrapping_add(self.day_and_time_millis())
    }

    /// Whether it is whole milliseconds.
    pub fn has_millisecond_precision(self) -> bool {
        self.nanos % 1_000_000 == 0
    }

    /// Whether it is whole days.
    pub fn has_day_precision(self) -> bool {
        self.nanos == 0
    }
}

impl std::fmt::Display for Duration {
    /// `1y2mo3d4h5m6s7ms8us9ns`
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_negative() {
            formatter.write_str("-")?;
        }
        let (months, days) = (self.months.unsigned_abs(), self.days.unsigned_abs());
        let mut nanos = self.nanos.unsigned_abs();
        for (count, unit) in [(months / 12, "y"), (months % 12, "mo"), (days, "d")] {
            if count > 0 {
                write!(formatter, "{count}{unit}")?;
            }
        }
        for (size, unit) in [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
            (1, "ns"),
        ] {
            let count = nanos / size;
            nanos %= size;
            if count > 0 {
                write!(formatter, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree() {
        for days in (-800_000..800_000).step_by(97) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn months_keep_within_the_month() {
        let moment = |year, month, day| days_from_civil(year, month, day) * MILLIS_PER_DAY + 5;
        assert_eq!(add_months(moment(2020, 1, 31), 1), moment(2020, 2, 29));
        assert_eq!(add_months(moment(2020, 2, 29), 12), moment(2021, 2, 28));
        assert_eq!(add_months(moment(2020, 3, 31), -13), moment(2019, 2, 28));
        assert_eq!(add_months(moment(1969, 12, 1), -12), moment(1968, 12, 1));
    }
}
