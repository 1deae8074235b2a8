//! What is shown of a configuration: every key with its value, and what nothing acts on.

use super::access::text;
use super::settings::Settings;
use super::value::Value;
use super::{Configured, ignored, keys};

/// The only one there is.
const PARTITIONER: &str = "org.apache.cassandra.dht.Murmur3Partitioner";
const DEFAULT_SNITCH: &str = "SimpleSnitch";

/// Every key of today's with its value, if it has one; where a default depends on the machine, the value that was found.
pub(super) fn view(
    configured: &Configured,
    settings: &Settings,
) -> Vec<(&'static str, Option<String>)> {
    let found = [
        ("broadcast_address", settings.broadcast_address.to_string()),
        (
            "broadcast_rpc_address",
            settings.native.broadcast_address.to_string(),
        ),
        ("cluster_name", settings.cluster_name.clone()),
        (
            "data_file_directories",
            format!("[{}]", settings.data_directory.display()),
        ),
        ("endpoint_snitch", settings.snitch.clone()),
        ("helenus_dc", settings.dc.clone()),
        ("helenus_io_threads", settings.io_threads.to_string()),
        ("helenus_memory", format!("{}B", settings.memory_bytes)),
        ("helenus_rack", settings.rack.clone()),
        ("helenus_shards", settings.shards.to_string()),
        ("listen_address", settings.listen_address.to_string()),
        ("partitioner", PARTITIONER.to_owned()),
        (
            "prepared_statements_cache_size",
            format!("{}B", settings.prepared_bytes),
        ),
        ("rpc_address", settings.native.address.to_string()),
    ];
    let value = |name: &str| {
        if let Some((_, value)) = found.iter().find(|(key, _)| *key == name) {
            return Some(value.clone());
        }
        match configured.get(name) {
            // A password is nobody's to read.
            Some(Value::Tree(_)) if name.contains("encryption") => Some("******".to_owned()),
            Some(value) => Some(value.to_string()),
            None => None,
        }
    };
    let mut view: Vec<_> = keys::SECTIONS
        .iter()
        .filter(|(title, _)| *title != "Gone from Cassandra")
        .flat_map(|(_, keys)| keys.iter())
        .map(|key| (key.name, value(key.name)))
        .collect();
    view.sort_unstable_by_key(|(name, _)| *name);
    view
}

/// The class without its package.
pub(super) fn snitch(configured: &Configured) -> String {
    let written = text(configured, "endpoint_snitch").unwrap_or_else(|| DEFAULT_SNITCH.to_owned());
    written.rsplit('.').next().unwrap_or_default().to_owned()
}

/// What the operator should know.
pub(super) fn warnings(configured: &Configured) -> Vec<String> {
    let mut warnings = Vec::new();
    let ignored = ignored(configured);
    if !ignored.is_empty() {
        warnings.push(format!(
            "nothing acts on these settings yet: {}",
            ignored.join(", ")
        ));
    }
    warnings
}
