//! The options of CREATE and ALTER TABLE: read in Cassandra's order, then checked as a whole.

use super::properties::Attributes;
use super::{DdlConfig, compaction, compression, number, speculative};
use model::error::RequestError;
use model::limits::MAX_TTL_SECONDS;
use model::schema::{Caching, RowsPerPartition, TableOptions};
use std::collections::BTreeMap;

const NAMES: &[&str] = &[
    "additional_write_policy",
    "allow_auto_snapshot",
    "bloom_filter_fp_chance",
    "caching",
    "cdc",
    "comment",
    "compaction",
    "compression",
    "crc_check_chance",
    "default_time_to_live",
    "extensions",
    "gc_grace_seconds",
    "id",
    "incremental_backups",
    "max_index_interval",
    "memtable",
    "memtable_flush_period_in_ms",
    "min_index_interval",
    "read_repair",
    "speculative_retry",
];

/// The smallest false-positive chance Cassandra's bloom filters reach.
const MIN_FP_CHANCE: f64 = 6.71e-5;
/// Stands for the default of the compaction strategy.
const DEFAULT_FP_CHANCE: f64 = -1.0;

/// Refuses options there are not.
pub(super) fn check_names(attributes: Attributes<'_>) -> Result<(), RequestError> {
    attributes.check_names(NAMES)
}

/// Options that were read and are not checked yet: Cassandra reads them before it looks whether the table exists, and
/// checks them after.
pub(super) struct Written {
    options: TableOptions,
    fp_chance: Option<f64>,
    crc_check_chance: Option<f64>,
    default_time_to_live: Option<i32>,
    gc_grace_seconds: Option<i32>,
    memtable_flush_period_in_ms: Option<i32>,
    min_index_interval: Option<i32>,
    max_index_interval: Option<i32>,
}

/// Reads the options of a new table.
pub(super) fn create(
    attributes: Attributes<'_>,
    config: &DdlConfig,
) -> Result<Written, RequestError> {
    let mut written = read(attributes, TableOptions::default(), config)?;
    written.fp_chance = written.fp_chance.or(Some(DEFAULT_FP_CHANCE));
    Ok(written)
}

/// Reads the options that were written in place of those of `options`.
pub(super) fn read(
    attributes: Attributes<'_>,
    mut options: TableOptions,
    config: &DdlConfig,
) -> Result<Written, RequestError> {
    fn put<T>(target: &mut T, value: Option<T>) {
        if let Some(value) = value {
            *target = value;
        }
    }
    put(
        &mut options.allow_auto_snapshot,
        attributes.boolean("allow_auto_snapshot")?,
    );
    let fp_chance = attributes.double("bloom_filter_fp_chance")?;
    put(
        &mut options.caching,
        attributes.map("caching")?.map(caching).transpose()?,
    );
    put(
        &mut options.comment,
        attributes.text("comment")?.map(str::to_owned),
    );
    let compaction = attributes
        .map("compaction")?
        .map(compaction::read)
        .transpose()?;
    put(&mut options.compaction, compaction);
    let compression = attributes
        .map("compression")?
        .map(compression::read)
        .transpose()?;
    put(&mut options.compression, compression);
    put(&mut options.memtable, memtable(attributes, config)?);
    let default_time_to_live = attributes.int("default_time_to_live")?;
    let gc_grace_seconds = attributes.int("gc_grace_seconds")?;
    put(
        &mut options.incremental_backups,
        attributes.boolean("incremental_backups")?,
    );
    let max_index_interval = attributes.int("max_index_interval")?;
    let memtable_flush_period_in_ms = attributes.int("memtable_flush_period_in_ms")?;
    let min_index_interval = attributes.int("min_index_interval")?;
    let policy = |name| attributes.text(name)?.map(speculative::read).transpose();
    put(&mut options.speculative_retry, policy("speculative_retry")?);
    put(
        &mut options.additional_write_policy,
        policy("additional_write_policy")?,
    );
    let crc_check_chance = attributes.double("crc_check_chance")?;
    put(&mut options.cdc, attributes.boolean("cdc")?);
    put(&mut options.read_repair, read_repair(attributes)?);
    Ok(Written {
        options,
        fp_chance,
        crc_check_chance,
        default_time_to_live,
        gc_grace_seconds,
        memtable_flush_period_in_ms,
        min_index_interval,
        max_index_interval,
    })
}

impl Written {
    /// The options, if all of them are in their ranges and fit together.
    pub fn check(self) -> Result<TableOptions, RequestError> {
        let mut options = self.options;
        compaction::check(&options.compaction)?;
        if let Some(chance) = self.fp_chance {
            options.bloom_filter_fp_chance = fp_chance_of(chance, &options)?;
        }
        if let Some(chance) = self.crc_check_chance {
            // Not a number passes, as in Cassandra.
            if !chance.is_nan() && !(0.0..=1.0).contains(&chance) {
                return Err(RequestError::Config(format!(
                    "crc_check_chance must be larger than or equal to 0 and smaller than or equal to 1.0 (got {})",
                    number::java(chance)
                )));
            }
            options.crc_check_chance = chance;
        }
        put_positive(
            &mut options.default_time_to_live,
            "default_time_to_live",
            self.default_time_to_live,
        )?;
        if i64::from(options.default_time_to_live) > MAX_TTL_SECONDS {
            return Err(RequestError::Config(format!(
                "default_time_to_live must be less than or equal to {MAX_TTL_SECONDS} (got {})",
                options.default_time_to_live
            )));
        }
        put_positive(
            &mut options.gc_grace_seconds,
            "gc_grace_seconds",
            self.gc_grace_seconds,
        )?;
        index_intervals(
            &mut options,
            self.min_index_interval,
            self.max_index_interval,
        )?;
        put_positive(
            &mut options.memtable_flush_period_in_ms,
            "memtable_flush_period_in_ms",
            self.memtable_flush_period_in_ms,
        )?;
        Ok(options)
    }
}

fn put_positive(target: &mut u32, name: &str, value: Option<i32>) -> Result<(), RequestError> {
    if let Some(value) = value {
        *target = u32::try_from(value).map_err(|_| {
            RequestError::Config(format!(
                "{name} must be greater than or equal to 0 (got {value})"
            ))
        })?;
    }
    Ok(())
}

fn fp_chance_of(chance: f64, options: &TableOptions) -> Result<f64, RequestError> {
    if chance == DEFAULT_FP_CHANCE {
        return Ok(compaction::default_fp_chance(&options.compaction));
    }
    if chance <= MIN_FP_CHANCE || chance > 1.0 {
        return Err(RequestError::Config(format!(
            "bloom_filter_fp_chance must be larger than {} and less than or equal to 1.0 (got {})",
            number::java(MIN_FP_CHANCE),
            number::java(chance)
        )));
    }
    Ok(chance)
}

fn index_intervals(
    options: &mut TableOptions,
    min: Option<i32>,
    max: Option<i32>,
) -> Result<(), RequestError> {
    let config = |message: String| Err(RequestError::Config(message));
    let min = min.unwrap_or(options.min_index_interval as i32);
    let max = max.unwrap_or(options.max_index_interval as i32);
    if min < 1 {
        return config(format!(
            "min_index_interval must be greater than or equal to 1 (got {min})"
        ));
    }
    if max < min {
        return config(format!(
            "max_index_interval must be greater than or equal to min_index_interval ({min}) (got {max})"
        ));
    }
    options.min_index_interval = min as u32;
    options.max_index_interval = max as u32;
    Ok(())
}

fn memtable(
    attributes: Attributes<'_>,
    config: &DdlConfig,
) -> Result<Option<String>, RequestError> {
    let Some(name) = attributes.text("memtable")? else {
        return Ok(None);
    };
    if !config
        .memtable_configurations
        .iter()
        .any(|known| known == name)
    {
        return Err(RequestError::Config(format!(
            "Memtable configuration \"{name}\" not found."
        )));
    }
    Ok(Some(name.to_owned()))
}

fn read_repair(attributes: Attributes<'_>) -> Result<Option<bool>, RequestError> {
    match attributes
        .text("read_repair")?
        .map(str::to_uppercase)
        .as_deref()
    {
        None => Ok(None),
        Some("BLOCKING") => Ok(Some(true)),
        Some("NONE") => Ok(Some(false)),
        Some(other) => Err(RequestError::Config(format!(
            "Invalid value {other} for option 'read_repair': only BLOCKING and NONE are allowed"
        ))),
    }
}

fn caching(map: BTreeMap<String, String>) -> Result<Caching, RequestError> {
    let unknown: Vec<&str> = map
        .keys()
        .map(String::as_str)
        .filter(|key| !matches!(*key, "keys" | "rows_per_partition"))
        .collect();
    if !unknown.is_empty() {
        return Err(RequestError::Config(format!(
            "Invalid caching sub-options [{}]: only 'keys' and 'rows_per_partition' are allowed",
            unknown.join(", ")
        )));
    }
    let invalid = |value: &str, option: &str, allowed: &str| {
        RequestError::Config(format!(
            "Invalid value '{value}' for caching sub-option '{option}': only 'ALL'{allowed} are allowed"
        ))
    };
    let mut caching = TableOptions::default().caching;
    if let Some(keys) = map.get("keys") {
        caching.keys = match keys.to_uppercase().as_str() {
            "ALL" => true,
            "NONE" => false,
            _ => return Err(invalid(keys, "keys", " and 'NONE'")),
        };
    }
    if let Some(rows) = map.get("rows_per_partition") {
        caching.rows = match rows.to_uppercase().as_str() {
            "ALL" => RowsPerPartition::All,
            "NONE" => RowsPerPartition::None,
            count => match count.parse::<u32>() {
                Ok(count) if i32::try_from(count).is_ok() => RowsPerPartition::Head(count),
                _ => {
                    return Err(invalid(
                        rows,
                        "rows_per_partition",
                        ", 'NONE', and integer values",
                    ));
                }
            },
        };
    }
    Ok(caching)
}
