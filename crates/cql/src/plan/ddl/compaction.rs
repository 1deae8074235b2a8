//! The `compaction` option: the strategies and what each understands.

use super::number;
use model::error::RequestError;
use std::collections::BTreeMap;

type Options = BTreeMap<String, String>;

const PACKAGE: &str = "org.apache.cassandra.db.compaction.";
const SIZE_TIERED: &str = "SizeTieredCompactionStrategy";
const LEVELED: &str = "LeveledCompactionStrategy";
const TIME_WINDOW: &str = "TimeWindowCompactionStrategy";
const UNIFIED: &str = "UnifiedCompactionStrategy";

/// What every strategy understands.
const COMMON: &[&str] = &[
    "class",
    "enabled",
    "log_all",
    "only_purge_repaired_tombstones",
    "provide_overlapping_tombstones",
    "tombstone_compaction_interval",
    "tombstone_threshold",
    "unchecked_tombstone_compaction",
];
/// What all but [`UNIFIED`] understand beyond that.
const TIERED: &[&str] = &[
    "bucket_high",
    "bucket_low",
    "max_threshold",
    "min_sstable_size",
    "min_threshold",
];

fn config(message: String) -> RequestError {
    RequestError::Config(message)
}

/// Reads the option: the class without its package and what was given, with the thresholds that were not.
pub(super) fn read(mut options: Options) -> Result<Options, RequestError> {
    let Some(class) = options.remove("class") else {
        return Err(config(
            "Missing sub-option 'class' for the 'compaction' option".into(),
        ));
    };
    let full = if class.contains('.') {
        class
    } else {
        format!("{PACKAGE}{class}")
    };
    let Some(name @ (SIZE_TIERED | LEVELED | TIME_WINDOW | UNIFIED)) = full.strip_prefix(PACKAGE)
    else {
        return Err(config(format!(
            "Unable to find compaction strategy class '{full}'"
        )));
    };
    if let Some(scope) = options.get("provide_overlapping_tombstones") {
        let scope = scope.to_uppercase();
        if !matches!(scope.as_str(), "NONE" | "ROW" | "CELL") {
            return Err(config(format!(
                "Invalid value {scope} for 'provide_overlapping_tombstones' compaction sub-option - must be one of \
                 the following [NONE, ROW, CELL]."
            )));
        }
    }
    if name != UNIFIED {
        for (threshold, default) in [("min_threshold", "4"), ("max_threshold", "32")] {
            options
                .entry(threshold.into())
                .or_insert_with(|| default.into());
        }
    }
    options.insert("class".into(), name.to_owned());
    Ok(options)
}

/// The false-positive chance of bloom filters where a table says none.
pub(super) fn default_fp_chance(options: &Options) -> f64 {
    if options.get("class").is_some_and(|class| class == LEVELED) {
        0.1
    } else {
        0.01
    }
}

/// Checks options that [`read`] made.
pub(super) fn check(options: &Options) -> Result<(), RequestError> {
    let class = options.get("class").map_or("", String::as_str);
    let checks = Checks(options);
    checks.common()?;
    let (own, tiered): (&[&str], &[&str]) = match class {
        LEVELED => {
            checks.leveled()?;
            (
                &[
                    "fanout_size",
                    "single_sstable_uplevel",
                    "sstable_size_in_mb",
                ],
                TIERED,
            )
        }
        TIME_WINDOW => {
            checks.time_window()?;
            (TIME_WINDOW_OPTIONS, TIERED)
        }
        UNIFIED => {
            checks.unified()?;
            (UNIFIED_OPTIONS, &[])
        }
        _ => (&[], TIERED),
    };
    if !tiered.is_empty() {
        checks.size_tiered()?;
    }
    let unknown: Vec<&str> = options
        .keys()
        .map(String::as_str)
        .filter(|option| {
            !(COMMON.contains(option) || tiered.contains(option) || own.contains(option))
        })
        .collect();
    if !unknown.is_empty() {
        return Err(config(format!(
            "Properties specified [{}] are not understood by {class}",
            unknown.join(", ")
        )));
    }
    if tiered.is_empty() {
        Ok(())
    } else {
        checks.thresholds()
    }
}

const TIME_WINDOW_OPTIONS: &[&str] = &[
    "compaction_window_size",
    "compaction_window_unit",
    "expired_sstable_check_frequency_seconds",
    "timestamp_resolution",
    "unsafe_aggressive_sstable_expiration",
];
const UNIFIED_OPTIONS: &[&str] = &[
    "base_shard_count",
    "expired_sstable_check_frequency_seconds",
    "flush_size_override",
    "max_sstables_to_compact",
    "min_sstable_size",
    "overlap_inclusion_method",
    "scaling_parameters",
    "sstable_growth",
    "target_sstable_size",
    "unsafe_aggressive_sstable_expiration",
];

/// The options of one strategy, and the checks on them.
struct Checks<'a>(&'a Options);

impl<'a> Checks<'a> {
    fn get(&self, option: &str) -> Option<&'a str> {
        self.0.get(option).map(String::as_str)
    }

    /// An integer; the message says `int` whatever it is, unless `kind` says otherwise.
    fn integer(&self, option: &str, kind: &str) -> Result<Option<i64>, RequestError> {
        let Some(text) = self.get(option) else {
            return Ok(None);
        };
        number::long(text).map(Some).ok_or_else(|| {
            config(format!(
                "{text} is not a parsable {kind} (base10) for {option}"
            ))
        })
    }

    /// A 32-bit integer.
    fn int(&self, option: &str) -> Result<Option<i32>, RequestError> {
        let Some(text) = self.get(option) else {
            return Ok(None);
        };
        number::int(text).map(Some).ok_or_else(|| {
            config(format!(
                "{text} is not a parsable int (base10) for {option}"
            ))
        })
    }

    fn is_boolean(&self, option: &str) -> bool {
        self.get(option).is_none_or(|text| {
            text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
        })
    }

    fn common(&self) -> Result<(), RequestError> {
        if let Some(text) = self.get("tombstone_threshold") {
            let threshold = number::double(text).ok_or_else(|| {
                config(format!(
                    "{text} is not a parsable int (base10) for tombstone_threshold"
                ))
            })?;
            if threshold < 0.0 {
                return Err(config(format!(
                    "tombstone_threshold must be greater than 0, but was {threshold:.6}"
                )));
            }
        }
        if let Some(interval) = self.integer("tombstone_compaction_interval", "int")?
            && interval < 0
        {
            return Err(config(format!(
                "tombstone_compaction_interval must be greater than 0, but was {interval}"
            )));
        }
        let unchecked = "unchecked_tombstone_compaction";
        if let Some(text) = self.get(unchecked).filter(|_| !self.is_boolean(unchecked)) {
            return Err(config(format!(
                "'{unchecked}' should be either 'true' or 'false', not '{text}'"
            )));
        }
        if let Some(text) = self.get("log_all").filter(|_| !self.is_boolean("log_all")) {
            return Err(config(format!(
                "'log_all' should either be 'true' or 'false', not {text}"
            )));
        }
        if let Some(text) = self.get("enabled").filter(|_| !self.is_boolean("enabled")) {
            return Err(config(format!(
                "enabled should either be 'true' or 'false', not {text}"
            )));
        }
        Ok(())
    }

    fn size_tiered(&self) -> Result<(), RequestError> {
        if let Some(size) = self.integer("min_sstable_size", "int")?
            && size < 0
        {
            return Err(config(format!(
                "min_sstable_size must be non negative: {size}"
            )));
        }
        let bucket = |option: &str, default: f64| match self.get(option) {
            None => Ok(default),
            Some(text) => number::double(text)
                .ok_or_else(|| config(format!("{text} is not a parsable float for {option}"))),
        };
        let low = bucket("bucket_low", 0.5)?;
        let high = bucket("bucket_high", 1.5)?;
        if high <= low {
            return Err(config(format!(
                "bucket_high value ({}) is less than or equal to the bucket_low value ({})",
                number::java(high),
                number::java(low)
            )));
        }
        Ok(())
    }

    /// The thresholds, which all strategies keep that fall back to size tiers.
    fn thresholds(&self) -> Result<(), RequestError> {
        let threshold = |option: &str| {
            let text = self.get(option).unwrap_or_default();
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i32>().ok().filter(|_| digits).ok_or_else(|| {
                config(format!(
                    "Invalid value {text} for '{option}' compaction sub-option - must be an integer"
                ))
            })
        };
        let (min, max) = (threshold("min_threshold")?, threshold("max_threshold")?);
        if min == 0 || max == 0 {
            return Err(config(
                "Disabling compaction by setting compaction thresholds to 0 has been removed, set the compaction \
                 option 'enabled' to false instead."
                    .into(),
            ));
        }
        if min < 2 {
            return Err(config(format!(
                "Min compaction threshold cannot be less than 2 (got {min})"
            )));
        }
        if min > max {
            return Err(config(format!(
                "Min compaction threshold (got {min}) cannot be greater than max compaction threshold (got {max})"
            )));
        }
        Ok(())
    }

    fn leveled(&self) -> Result<(), RequestError> {
        let positive = |option: &str, value: i32| {
            if value < 1 {
                Err(config(format!(
                    "{option} must be larger than 0, but was {value}"
                )))
            } else {
                Ok(())
            }
        };
        if let Some(size) = self.int("sstable_size_in_mb")? {
            positive("sstable_size_in_mb", size)?;
        }
        // Cassandra's message shows the size instead of the fan-out it cannot read.
        if let Some(text) = self.get("fanout_size") {
            let size = self.get("sstable_size_in_mb").unwrap_or("1");
            let fanout = number::int(text).ok_or_else(|| {
                config(format!(
                    "{size} is not a parsable int (base10) for fanout_size"
                ))
            })?;
            positive("fanout_size", fanout)?;
        }
        Ok(())
    }

    fn time_window(&self) -> Result<(), RequestError> {
        let one_of = |option: &str, allowed: &[&str]| match self.get(option) {
            Some(text) if !allowed.contains(&text) => {
                Err(config(format!("{text} is not valid for {option}")))
            }
            _ => Ok(()),
        };
        one_of(
            "timestamp_resolution",
            &["SECONDS", "MILLISECONDS", "MICROSECONDS", "NANOSECONDS"],
        )?;
        one_of("compaction_window_unit", &["MINUTES", "HOURS", "DAYS"])?;
        if let Some(size) = self.int("compaction_window_size")?
            && size < 1
        {
            return Err(config(format!(
                "{size} must be greater than 1 for compaction_window_size"
            )));
        }
        let frequency = "expired_sstable_check_frequency_seconds";
        if let Some(seconds) = self.integer(frequency, "int")?
            && seconds < 0
        {
            return Err(config(format!(
                "{frequency} must not be negative, but was {seconds}"
            )));
        }
        let unsafe_expiration = "unsafe_aggressive_sstable_expiration";
        match self.get(unsafe_expiration) {
            Some(text) if !self.is_boolean(unsafe_expiration) => Err(config(format!(
                "{unsafe_expiration} is not 'true' or 'false' ({text})"
            ))),
            Some(text) if text.eq_ignore_ascii_case("true") => Err(config(format!(
                "{unsafe_expiration} is requested but not allowed, restart cassandra with \
                 -Dcassandra.allow_unsafe_aggressive_sstable_expiration=true to allow it"
            ))),
            _ => Ok(()),
        }
    }

    fn unified(&self) -> Result<(), RequestError> {
        for parameter in self
            .get("scaling_parameters")
            .iter()
            .flat_map(|text| scaling_parameters(text))
        {
            check_scaling_parameter(parameter)?;
        }
        let positive = |option: &str, value: Option<i64>| match value {
            Some(value) if value <= 0 => Err(config(format!(
                "Invalid configuration, {option} should be positive: {value}"
            ))),
            _ => Ok(()),
        };
        positive(
            "base_shard_count",
            self.int("base_shard_count")?.map(i64::from),
        )?;
        let target = self
            .size_of_one_mib("target_sstable_size")?
            .unwrap_or(DEFAULT_TARGET_SIZE);
        self.size_of_one_mib("flush_size_override")?;
        self.int("max_sstables_to_compact")?;
        let frequency = "expired_sstable_check_frequency_seconds";
        positive(frequency, self.integer(frequency, "long")?)?;
        let unsafe_expiration = "unsafe_aggressive_sstable_expiration";
        if let Some(text) = self
            .get(unsafe_expiration)
            .filter(|_| !self.is_boolean(unsafe_expiration))
        {
            return Err(config(format!(
                "{unsafe_expiration} should either be 'true' or 'false', not {text}"
            )));
        }
        if let Some(method) = self.get("overlap_inclusion_method")
            && !matches!(
                method.to_uppercase().as_str(),
                "NONE" | "SINGLE" | "TRANSITIVE"
            )
        {
            return Err(config(format!(
                "Invalid overlap inclusion method {method}. The valid options are [NONE, SINGLE, TRANSITIVE]."
            )));
        }
        self.min_sstable_size(target)?;
        self.sstable_growth()
    }

    fn size_of_one_mib(&self, option: &str) -> Result<Option<f64>, RequestError> {
        let Some(text) = self.get(option) else {
            return Ok(None);
        };
        let size = bytes(text).map_err(|problem| {
            config(format!(
                "{option} {text} is not a valid size in bytes: {problem}"
            ))
        })?;
        if size < MIB {
            return Err(config(format!(
                "{option} {text} is not acceptable, size must be at least 1.000MiB"
            )));
        }
        Ok(Some(size))
    }

    fn min_sstable_size(&self, target: f64) -> Result<(), RequestError> {
        let Some(text) = self.get("min_sstable_size") else {
            return Ok(());
        };
        let size = bytes(text).map_err(|_| {
            config(format!(
                "{text} is not a valid size in bytes for min_sstable_size"
            ))
        })?;
        if size < 0.0 {
            return Err(config(
                "Invalid configuration, min_sstable_size should be greater than or equal to 0 (zero)".into(),
            ));
        }
        if size >= target * std::f64::consts::FRAC_1_SQRT_2 {
            return Err(config(format!(
                "Invalid configuration, min_sstable_size ({}) should be less than 70% of the targetSSTableSize ({})",
                pretty_bytes(size),
                pretty_bytes(target)
            )));
        }
        Ok(())
    }

    fn sstable_growth(&self) -> Result<(), RequestError> {
        let Some(text) = self.get("sstable_growth") else {
            return Ok(());
        };
        let growth = match text.strip_suffix('%') {
            Some(percent) => number::double(percent).map(|percent| percent / 100.0),
            None => number::double(text),
        };
        match growth {
            None => Err(config(format!(
                "sstable_growth is not a valid number between 0 and 1: For input string: \"{text}\""
            ))),
            Some(growth) if !(0.0..=1.0).contains(&growth) => Err(config(format!(
                "sstable_growth {text} must be between 0 and 1"
            ))),
            Some(_) => Ok(()),
        }
    }
}

const MIB: f64 = 1024.0 * 1024.0;
const DEFAULT_TARGET_SIZE: f64 = 1024.0 * MIB;

/// The parameters of the levels; empty ones at the end do not count.
fn scaling_parameters(text: &str) -> Vec<&str> {
    let mut parameters: Vec<&str> = text.split(',').map(str::trim).collect();
    while parameters.len() > 1 && parameters.last() == Some(&"") {
        parameters.pop();
    }
    parameters
}

fn check_scaling_parameter(parameter: &str) -> Result<(), RequestError> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = parameter.strip_prefix(['+', '-']).unwrap_or(parameter);
    if parameter == "N" || digits(plain) {
        return Ok(());
    }
    match parameter.strip_prefix(['L', 'T']) {
        Some(fan) if digits(fan) => match fan.parse::<i32>() {
            Ok(fan) if fan >= 2 => Ok(()),
            _ => Err(config(format!(
                "Fan factor cannot be lower than 2 in {parameter}"
            ))),
        },
        _ => Err(config(format!(
            "Scaling parameter {parameter} must match N|L[0-9]+|T[0-9]+|[+-]?[0-9]+"
        ))),
    }
}

/// Reads a size such as `1GiB`, `1.5 MiB` or `100B`.
fn bytes(text: &str) -> Result<f64, String> {
    let Some(rest) = text.trim().strip_suffix('B') else {
        return Err(format!("{text} does not end in unit B"));
    };
    let digits = rest.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let scale = match &rest[digits.len()..] {
        "" => 1.0,
        "Ki" => 1024.0,
        "Mi" => MIB,
        "Gi" => 1024.0 * MIB,
        "Ti" => MIB * MIB,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        unit => {
            return Err(format!(
                "Invalid number format: unknown unit {unit}B in {text}"
            ));
        }
    };
    number::double(digits)
        .map(|count| count * scale)
        .ok_or_else(|| format!("Invalid number format: {text}"))
}

fn pretty_bytes(size: f64) -> String {
    let mut scaled = size;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1024.0 {
            return format!("{scaled:.3}{unit}");
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.3}TiB")
}
