//! The `CASSANDRA_*` variables that the official container image reads.
//!
//! They mean what that image's entry point makes of them: an address of `auto` is the container's own, addresses that
//! are not given follow each other (listen, broadcast, broadcast for clients), seeds default to the broadcast address.
//! If none is set, nothing is assumed.

use super::machine;

/// Variables whose value goes into the key of the same name.
const DIRECT: [(&str, &str); 7] = [
    ("CASSANDRA_CLUSTER_NAME", "cluster_name"),
    ("CASSANDRA_NUM_TOKENS", "num_tokens"),
    ("CASSANDRA_ENDPOINT_SNITCH", "endpoint_snitch"),
    ("CASSANDRA_RPC_ADDRESS", "rpc_address"),
    ("CASSANDRA_START_RPC", "start_rpc"),
    ("CASSANDRA_DC", "helenus_dc"),
    ("CASSANDRA_RACK", "helenus_rack"),
];

/// What a variable sets: its name, the key, the value.
pub type Setting = (&'static str, &'static str, String);

/// The settings the environment asks for, and the seeds if it names some.
pub fn settings(variable: impl Fn(&str) -> Option<String>) -> (Vec<Setting>, Option<String>) {
    let read = |name: &str| variable(name).filter(|value| !value.is_empty());
    let mut settings: Vec<Setting> = DIRECT
        .iter()
        .filter_map(|(name, key)| Some((*name, *key, read(name)?)))
        .collect();

    let own = |value: String| match value.as_str() {
        "auto" => machine::outgoing_address().map(|address| address.to_string()),
        _ => Some(value),
    };
    let listen = read("CASSANDRA_LISTEN_ADDRESS").and_then(own);
    let broadcast = read("CASSANDRA_BROADCAST_ADDRESS")
        .and_then(own)
        .or_else(|| listen.clone());
    let broadcast_rpc = read("CASSANDRA_BROADCAST_RPC_ADDRESS")
        .and_then(own)
        .or_else(|| broadcast.clone());
    let seeds = read("CASSANDRA_SEEDS").or_else(|| broadcast.clone());
    let addresses = [
        ("CASSANDRA_LISTEN_ADDRESS", "listen_address", listen),
        (
            "CASSANDRA_BROADCAST_ADDRESS",
            "broadcast_address",
            broadcast,
        ),
        (
            "CASSANDRA_BROADCAST_RPC_ADDRESS",
            "broadcast_rpc_address",
            broadcast_rpc,
        ),
    ];
    settings.extend(
        addresses
            .into_iter()
            .filter_map(|(name, key, value)| Some((name, key, value?))),
    );
    (settings, seeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> (Vec<(&'static str, String)>, Option<String>) {
        let (settings, seeds) = settings(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        });
        (
            settings
                .into_iter()
                .map(|(_, key, value)| (key, value))
                .collect(),
            seeds,
        )
    }

    #[test]
    fn the_entry_points_variables() {
        assert_eq!(from(&[]), (Vec::new(), None));
        assert_eq!(
            from(&[
                ("CASSANDRA_CLUSTER_NAME", "C"),
                ("CASSANDRA_DC", "dc2"),
                ("CASSANDRA_SEEDS", "a,b")
            ]),
            (
                vec![("cluster_name", "C".into()), ("helenus_dc", "dc2".into())],
                Some("a,b".into())
            )
        );
        assert_eq!(
            from(&[("CASSANDRA_LISTEN_ADDRESS", "10.0.0.5")]),
            (
                vec![
                    ("listen_address", "10.0.0.5".into()),
                    ("broadcast_address", "10.0.0.5".into()),
                    ("broadcast_rpc_address", "10.0.0.5".into())
                ],
                Some("10.0.0.5".into())
            )
        );
    }
}
