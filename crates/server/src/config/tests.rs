//! Whole configurations: Cassandra's own files, every source and its rank, and what is told about what is wrong.

use super::*;
use std::net::Ipv4Addr;
use std::time::Duration;

fn temporary(name: &str, text: &str) -> PathBuf {
    let directory =
        std::env::temp_dir().join(format!("helenus-config-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("cassandra.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

fn from_text(name: &str, text: &str) -> Result<Settings, String> {
    let path = temporary(name, text);
    let loaded = load(&Sources {
        file: Some(path.clone()),
        ..Sources::default()
    });
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    loaded.map_err(|error| error.to_string())
}

#[test]
fn without_anything_there_are_defaults() {
    let settings = load(&Sources {
        profile: Profile::Dev,
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(settings.cluster_name, "Helenus Dev");
    assert_eq!(
        (settings.dc.as_str(), settings.rack.as_str()),
        ("datacenter1", "rack1")
    );
    assert_eq!(settings.data_directory, PathBuf::from("helenus-data"));
    assert_eq!(settings.native.address, Ipv4Addr::LOCALHOST);
    assert_eq!(
        (settings.native.port, settings.native.shard_aware_port),
        (9042, Some(19042))
    );
    assert_eq!(settings.admin, Some("127.0.0.1:7199".parse().unwrap()));
    assert_eq!(settings.commitlog_sync, CommitlogSync::Group);
    assert_eq!(settings.authentication, Authentication::AllowAll);
    assert_eq!(settings.timeouts.read, Duration::from_secs(5));
    assert!(settings.shards >= 1 && settings.warnings.is_empty());
    assert!(settings.view.len() > 380);
    let server = load(&Sources::default()).unwrap();
    assert_eq!(server.cluster_name, "Test Cluster");
}

/// The settings that Cassandra 5.0 and 4.1 ship uncommented, in their values.
const SHIPPED_5_0: &str = include_str!("testdata/cassandra-5.0.yaml");
const SHIPPED_4_1: &str = include_str!("testdata/cassandra-4.1.yaml");
const OLD_3_11: &str = include_str!("testdata/cassandra-3.11.yaml");

#[test]
fn the_files_cassandra_ships_are_read() {
    for (name, text) in [
        ("5.0", SHIPPED_5_0),
        ("4.1", SHIPPED_4_1),
        ("3.11", OLD_3_11),
    ] {
        let settings = from_text(name, text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(settings.cluster_name, "Test Cluster", "{name}");
        assert_eq!(settings.seeds.len(), 1, "{name}");
        assert_eq!(
            settings.commitlog_sync,
            CommitlogSync::Periodic(Duration::from_secs(10)),
            "{name}"
        );
        assert_eq!(settings.native.address, Ipv4Addr::LOCALHOST, "{name}");
        assert_eq!(settings.timeouts.write, Duration::from_secs(2), "{name}");
    }
}

#[test]
fn later_sources_win() {
    let path = temporary(
        "rank",
        "cluster_name: file\nnum_tokens: 4\nrpc_address: 127.0.0.2\n",
    );
    let settings = load(&Sources {
        file: Some(path.clone()),
        environment: vec![
            ("CASSANDRA_CLUSTER_NAME".into(), "variable".into()),
            ("CASSANDRA_NUM_TOKENS".into(), "5".into()),
            ("CASSANDRA_SEEDS".into(), "10.0.0.1".into()),
        ],
        overrides: vec![
            "num_tokens=6".into(),
            "native_transport_max_frame_size_in_mb=32".into(),
        ],
        data_directory: Some("elsewhere".into()),
        seeds: Some("10.0.0.2, 10.0.0.3".into()),
        memory: Some("256M".into()),
        ..Sources::default()
    })
    .unwrap();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert_eq!(settings.cluster_name, "variable");
    assert_eq!(settings.ring.num_tokens, 6);
    assert_eq!(settings.native.address, Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(settings.native.max_frame_bytes, 32 << 20);
    assert_eq!(settings.data_directory, PathBuf::from("elsewhere"));
    assert_eq!(settings.seeds, ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(settings.memory_bytes, 256 << 20);
}

#[test]
fn rack_and_data_centre_come_from_the_properties() {
    let path = temporary("rackdc", "endpoint_snitch: GossipingPropertyFileSnitch\n");
    std::fs::write(
        path.with_file_name("cassandra-rackdc.properties"),
        "dc=dc7\nrack=r2\n",
    )
    .unwrap();
    let settings = load(&Sources {
        file: Some(path.clone()),
        overrides: vec!["helenus_rack=r3".into()],
        ..Sources::default()
    })
    .unwrap();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert_eq!(
        (settings.dc.as_str(), settings.rack.as_str()),
        ("dc7", "r3")
    );
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn everything_wrong_is_told_at_once() {
    let error = from_text(
        "wrong",
        "cluster_nam: x\nnum_tokens: many\nread_request_timeout: 5000\npartitioner: RandomPartitioner\n\
         client_encryption_options:\n  enabled: true\nallow_insecure_udfs: true\nrpc_interface: eth0\n\
         authorizer: CassandraAuthorizer\nhelenus_admin_address: 0.0.0.0:7199\ndata_file_directories: [a, b]\n",
    )
    .unwrap_err();
    let expected = [
        "line 1: unknown key `cluster_nam`; did you mean `cluster_name`?",
        "line 2: num_tokens: `many` is not a whole number",
        "line 3: read_request_timeout: `5000` is not a duration",
        "line 4: partitioner: only Murmur3Partitioner is known, not `RandomPartitioner`",
        "line 5: client_encryption_options: keystore is not given",
        "line 7: allow_insecure_udfs: ",
        "line 8: rpc_interface: give the address itself",
        "line 9: authorizer: not supported yet",
        "line 10: helenus_admin_address: ",
        "line 11: data_file_directories: ",
    ];
    for line in expected {
        assert!(error.contains(line), "{line}\nin {error}");
    }
    assert_eq!(error.lines().count(), expected.len() + 1, "{error}");
}

#[test]
fn what_is_switched_off_is_no_reason_to_refuse() {
    let settings = from_text(
        "off",
        "client_encryption_options:\n  enabled: false\n  keystore: conf/.keystore\n\
         server_encryption_options:\n  internode_encryption: none\n\
         audit_logging_options:\n  enabled: false\nauthorizer: AllowAllAuthorizer\ncdc_enabled: false\n\
         column_index_size: 4KiB\n",
    )
    .unwrap();
    assert_eq!(
        settings.warnings,
        ["nothing acts on these settings yet: column_index_size"]
    );
}

#[test]
fn nested_settings_can_be_overridden() {
    let load = |overrides: &[&str]| {
        load(&Sources {
            overrides: overrides.iter().map(|text| (*text).to_owned()).collect(),
            ..Sources::default()
        })
        .map_err(|error| error.to_string())
    };
    let error = load(&["client_encryption_options.enabled=true"]).unwrap_err();
    assert!(
        error.contains("command line: client_encryption_options: keystore is not given"),
        "{error}"
    );
    let settings = load(&[
        "seed_provider.class_name=SimpleSeedProvider",
        "seed_provider.parameters.seeds=1.2.3.4",
    ]);
    assert_eq!(settings.unwrap().seeds, ["1.2.3.4"]);
    assert!(
        load(&["nonsense"])
            .unwrap_err()
            .contains("--set nonsense: expected key=value")
    );
    assert!(
        load(&["helenus_memory=1M"])
            .unwrap_err()
            .contains("at least 64MiB")
    );
}

#[test]
fn the_wire_between_nodes_is_configured_as_cassandras() {
    let internode = from_text("wire-defaults", "listen_address: 10.0.0.1\n")
        .unwrap()
        .internode;
    let address = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();
    assert_eq!(internode.listen, [address("10.0.0.1:7000")]);
    assert_eq!(internode.announced, address("10.0.0.1:7000"));
    assert_eq!(internode.connect_timeout, Duration::from_secs(2));
    assert_eq!(internode.user_timeout, Some(Duration::from_secs(30)));
    assert_eq!(internode.queue_bytes, 4 << 20);
    assert_eq!(internode.encryption, None);

    let internode = from_text(
        "wire",
        "listen_address: 10.0.0.1\nbroadcast_address: 10.0.0.9\nlisten_on_broadcast_address: true\nstorage_port: 7007\n\
         internode_tcp_user_timeout: 0s\ninternode_compression: all\ninternode_send_buff_size_in_bytes: 65536\n\
         internode_max_message_size: 1MiB\nserver_encryption_options:\n  internode_encryption: dc\n  keystore: k.pem\n  \
         truststore: t.pem\n  legacy_ssl_storage_port_enabled: true\n",
    )
    .unwrap()
    .internode;
    let listen = [address("10.0.0.1:7007"), address("10.0.0.9:7007")];
    assert_eq!(internode.listen, listen);
    assert_eq!(internode.announced, address("10.0.0.9:7007"));
    assert_eq!(internode.listen_encrypted, Some(address("10.0.0.1:7001")));
    assert_eq!(
        (internode.user_timeout, internode.send_buffer_bytes),
        (None, Some(65536))
    );
    assert_eq!(internode.max_message_bytes, 1 << 20);
    assert_eq!(internode.compression, CompressionScope::All);
    let scope = internode.encryption.map(|encryption| encryption.scope);
    assert_eq!(scope, Some(EncryptionScope::Datacenters));

    let error = from_text(
        "wire-wrong",
        "internode_max_message_size: 1GiB\ninternode_compression: some\nserver_encryption_options:\n  internode_encryption: all\n",
    )
    .unwrap_err();
    for line in [
        "internode_max_message_size: must be above 0 and at most",
        "internode_compression: `some` is not none, dc or all",
        "server_encryption_options: keystore is not given",
    ] {
        assert!(error.contains(line), "{line}\nin {error}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let settings = from_text(
        "secret",
        "client_encryption_options:\n  enabled: false\n  keystore_password: hunter2\n",
    )
    .unwrap();
    assert!(
        settings
            .view
            .iter()
            .filter_map(|(_, value)| value.as_deref())
            .all(|value| !value.contains("hunter2"))
    );
}

/// Cassandra refuses a file with an old and a new spelling of one setting, too.
#[test]
fn one_setting_under_two_names_is_refused() {
    let text = "read_request_timeout: 5s\nread_request_timeout_in_ms: 100\n";
    let told = from_text("twice", text).unwrap_err();
    assert!(
        told.contains("line 2: `read_request_timeout_in_ms`: `read_request_timeout` is given"),
        "{told}"
    );
    let overridden = load(&Sources {
        file: None,
        overrides: vec![
            "read_request_timeout=1s".to_owned(),
            "read_request_timeout_in_ms=100".to_owned(),
        ],
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(overridden.timeouts.read, Duration::from_millis(100));
}

#[test]
fn what_is_unset_has_no_value() {
    let settings = load(&Sources::default()).unwrap();
    let value = |name: &str| {
        let found = settings.view.iter().find(|(key, _)| *key == name);
        found.expect("a key of the table").1.as_deref()
    };
    assert_eq!(value("auto_snapshot_ttl"), None);
    assert_eq!(value("endpoint_snitch"), Some("SimpleSnitch"));
    let partitioner = value("partitioner").expect("there is one");
    assert!(partitioner.ends_with(".Murmur3Partitioner"));
}

/// Rewrites the page when `UPDATE_EXPECT` is set, as the other generated files.
#[test]
fn the_documentation_is_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = markdown();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md is out of date: run this test with UPDATE_EXPECT=1"
    );
}

/// A small generator, so that a failure can be had again: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

/// Values that no key, or hardly one, takes.
const ODD_VALUES: &[&str] = &[
    "",
    "-1",
    "99999999999999999999",
    "0",
    "1.5",
    "10MiB",
    "-5s",
    "500000000000000d",
    "1h1h",
    "true",
    "[",
    "[1, {a: b}]",
    "{",
    "&x",
    "*x",
    "!!int x",
    "'",
    "\"\\x\"",
    "127.0.0.1:-1",
    "::1",
    "null",
    "~",
    "ü",
    "|",
    "- - -",
];

/// Cassandra's own file with its lines cut, swapped, doubled and given other values: settings or sentences, never a panic.
#[test]
fn any_damaged_file_is_read_or_refused() {
    let own = include_str!("testdata/cassandra-5.0.yaml");
    let lines: Vec<&str> = own.lines().filter(|line| !line.trim().is_empty()).collect();
    let (mut read, mut refused) = (0, 0);
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let mut text: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        for _ in 0..=dice.below(3) {
            let at = dice.below(text.len());
            match dice.below(5) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, text[dice.below(text.len())].clone()),
                2 => {
                    let end = dice.below(text[at].chars().count() + 1);
                    text[at] = text[at].chars().take(end).collect();
                }
                _ => {
                    let key = text[at].split(':').next().unwrap_or_default().to_owned();
                    text[at] = format!("{key}: {}", ODD_VALUES[dice.below(ODD_VALUES.len())]);
                }
            }
        }
        let mut configured = Configured::default();
        match tree::parse(&text.join("\n")) {
            Ok(entries) => {
                for (name, node) in &entries {
                    configured.set(name, node, Origin::CommandLine);
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        judge_states(&mut configured);
        let _ = Settings::build(&mut configured, Profile::Dev, &snitch::Files::default());
        if configured.errors.is_empty() {
            read += 1;
        } else {
            refused += 1;
            let told = ConfigErrors(configured.errors).to_string();
            assert!(!told.trim().is_empty());
        }
    }
    // Both happen often, or the damage is not what it should be.
    assert!(read > 8 && refused > 8, "{read} read, {refused} refused");
}
