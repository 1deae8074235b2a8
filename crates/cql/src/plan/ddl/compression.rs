//! The `compression` option.

use super::number;
use model::error::RequestError;
use std::collections::BTreeMap;

const PACKAGE: &str = "org.apache.cassandra.io.compress.";
const CHUNK_LENGTH: &str = "chunk_length_in_kb";
const DEFAULT_CHUNK_LENGTH_KIB: i32 = 16;

/// Reads the option. The result is as [`model::schema::TableOptions`] keeps it: empty for no compression, otherwise
/// the class without its package, the chunk length and the class's own options.
pub(super) fn read(
    mut map: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, RequestError> {
    let config = |message: &str| Err(RequestError::Config(message.into()));
    let enabled = map
        .remove("enabled")
        .map(|enabled| enabled.eq_ignore_ascii_case("true"));
    let wants = enabled.unwrap_or(!map.is_empty());
    if wants && !map.contains_key("class") {
        return config("Missing sub-option 'class' for the 'compression' option.");
    }
    if !wants {
        return if map.is_empty() {
            Ok(BTreeMap::new())
        } else {
            config("If the 'enabled' option is set to false no other options must be specified")
        };
    }
    let class = map.remove("class").unwrap_or_default();
    if class.is_empty() {
        return config(
            "The 'class' option must not be empty. To disable compression use 'enabled' : false",
        );
    }
    let chunk_length = chunk_length(map.remove(CHUNK_LENGTH))?;
    let ratio = map.remove("min_compress_ratio");
    let ratio_value = match &ratio {
        None => 0.0,
        Some(text) => number::double(text)
            .ok_or_else(|| RequestError::Config(format!("For input string: \"{text}\"")))?,
    };
    let class = check_class(&class, &map)?;
    if chunk_length <= 0 {
        return config("Invalid negative or null chunk_length_in_kb");
    }
    if chunk_length & (chunk_length - 1) != 0 {
        return config("chunk_length_in_kb must be a power of 2");
    }
    if ratio_value < 0.0 {
        return config("Invalid negative min_compress_ratio");
    }
    if ratio_value > 0.0 && ratio_value < 1.0 {
        return config("min_compress_ratio can either be 0 or greater than or equal to 1");
    }
    map.insert("class".into(), class);
    map.insert(CHUNK_LENGTH.into(), chunk_length.to_string());
    if ratio_value >= 1.0 {
        map.insert("min_compress_ratio".into(), number::java(ratio_value));
    }
    Ok(map)
}

fn chunk_length(text: Option<String>) -> Result<i32, RequestError> {
    let Some(text) = text else {
        return Ok(DEFAULT_CHUNK_LENGTH_KIB);
    };
    let kib = number::int(&text)
        .ok_or_else(|| RequestError::Config("Invalid value for chunk_length_in_kb".into()))?;
    if kib > i32::MAX / 1024 {
        return Err(RequestError::Config(format!(
            "Value of chunk_length_in_kb is too large ({kib})"
        )));
    }
    Ok(kib)
}

/// The class without its package, when there is one of that name that understands the options.
fn check_class(class: &str, options: &BTreeMap<String, String>) -> Result<String, RequestError> {
    let full = if class.contains('.') {
        class.to_owned()
    } else {
        format!("{PACKAGE}{class}")
    };
    let name = full.strip_prefix(PACKAGE).unwrap_or_default();
    let known: &[&str] = match name {
        "LZ4Compressor" => {
            check_lz4(options)?;
            &["lz4_compressor_type", "lz4_high_compressor_level"]
        }
        "ZstdCompressor" => {
            check_zstd(options)?;
            &["compression_level"]
        }
        "SnappyCompressor" | "DeflateCompressor" | "NoopCompressor" => &[],
        _ => {
            return Err(RequestError::Config(format!(
                "Could not create Compression for type {full}"
            )));
        }
    };
    match options
        .keys()
        .find(|option| !known.contains(&option.as_str()))
    {
        Some(option) => Err(RequestError::Config(format!(
            "Unknown compression options {option}"
        ))),
        None => Ok(name.to_owned()),
    }
}

fn check_lz4(options: &BTreeMap<String, String>) -> Result<(), RequestError> {
    if let Some(kind) = options.get("lz4_compressor_type")
        && !matches!(kind.as_str(), "fast" | "high")
    {
        return Err(RequestError::Config(format!(
            "Invalid compressor type '{kind}' specified for LZ4 parameter 'lz4_compressor_type'. Valid options are \
             [high, fast]."
        )));
    }
    if let Some(level) = options.get("lz4_high_compressor_level")
        && !number::int(level).is_some_and(|level| (1..=17).contains(&level))
    {
        return Err(RequestError::Config(format!(
            "Invalid value [{level}] for parameter 'lz4_high_compressor_level'. Value must be between 1 and 17."
        )));
    }
    Ok(())
}

fn check_zstd(options: &BTreeMap<String, String>) -> Result<(), RequestError> {
    let failed = |problem: String| {
        Err(RequestError::Config(format!(
            "ZstdCompressor.create() threw an error: {problem}"
        )))
    };
    let Some(text) = options.get("compression_level") else {
        return Ok(());
    };
    match number::int(text) {
        None => failed(format!(
            "java.lang.NumberFormatException For input string: \"{text}\""
        )),
        Some(level) if !(-131_072..=22).contains(&level) => failed(format!(
            "java.lang.IllegalArgumentException compression_level={level} is invalid"
        )),
        Some(_) => Ok(()),
    }
}
