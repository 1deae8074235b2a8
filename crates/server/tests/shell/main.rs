//! The shell from outside: real sockets, real files, and in the middle a state machine that answers without knowing CQL.

mod client;
mod echo;
mod peers;
mod tls;

use client::Client;
use cql::frame::compression::Compression;
use cql::frame::{Opcode, ProtocolVersion};
use echo::Echo;
use server::config::{Sources, load};
use server::process::{Addresses, Factory, Serving, StartError, run};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A process in a thread of this one.
struct Process {
    serving: Option<Serving>,
    thread: Option<JoinHandle<Result<(), StartError>>>,
    directory: PathBuf,
}

impl Process {
    fn start(name: &str, overrides: &[&str]) -> Self {
        Self::start_with(name, overrides, |_| Echo)
    }

    fn start_with<F: Factory>(
        name: &str,
        overrides: &[&str],
        factory: impl FnOnce(&Addresses) -> F + Send + 'static,
    ) -> Self {
        let directory =
            std::env::temp_dir().join(format!("helenus-shell-{}-{name}", std::process::id()));
        let mut all: Vec<String> = [
            "native_transport_port=0",
            "storage_port=0",
            "helenus_shard_aware_port=1",
            "helenus_admin_address=127.0.0.1:0",
        ]
        .into_iter()
        .chain(["helenus_shards=2", "helenus_memory=256M"])
        .chain(overrides.iter().copied())
        .map(str::to_owned)
        .collect();
        all.push(format!("helenus_shard_aware_port={}", free_port()));
        let sources = Sources {
            overrides: all,
            data_directory: Some(directory.clone()),
            ..Sources::default()
        };
        let settings = load(&sources).unwrap();
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            run(&settings, factory, |serving| sender.send(serving).unwrap())
        });
        let serving = receiver
            .recv_timeout(Duration::from_secs(10))
            .expect("the process serves");
        Self {
            serving: Some(serving),
            thread: Some(thread),
            directory,
        }
    }

    fn serving(&self) -> &Serving {
        self.serving.as_ref().unwrap()
    }

    fn connect(&self, version: ProtocolVersion, compression: Option<Compression>) -> Client {
        let mut client = Client::connect(self.serving().addresses.native);
        client.startup(version, compression);
        client
    }

    fn http(&self, method: &str, path: &str) -> String {
        self.http_with("Host: localhost", method, path)
    }

    fn http_with(&self, headers: &str, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.serving().addresses.admin.unwrap()).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop.send(()).unwrap();
            self.thread.take().unwrap().join().unwrap().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[test]
fn every_version_and_compression_is_served() {
    let process = Process::start("versions", &[]);
    for (version, compression) in [
        (ProtocolVersion::V3, None),
        (ProtocolVersion::V4, None),
        (ProtocolVersion::V4, Some(Compression::Lz4)),
        (ProtocolVersion::V4, Some(Compression::Snappy)),
        (ProtocolVersion::V5, None),
        (ProtocolVersion::V5, Some(Compression::Lz4)),
    ] {
        let mut client = process.connect(version, compression);
        // At once, by way of the other shard, by way of the disk, and longer than a segment.
        for text in ["now", "hop", "disk", "work", "big 400000"] {
            let answer = client.query(1, text);
            assert_eq!(
                answer.opcode,
                Opcode::Result,
                "{version} {compression:?} {text}"
            );
            assert_eq!(answer.stream, 1);
            if text.starts_with("big") {
                assert_eq!(answer.body.len(), 400_000);
            }
        }
    }
}

#[test]
fn many_requests_on_one_connection_are_all_answered() {
    let process = Process::start("many", &[]);
    for (version, compression) in [
        (ProtocolVersion::V4, None),
        (ProtocolVersion::V5, Some(Compression::Lz4)),
    ] {
        let mut client = process.connect(version, compression);
        let texts = ["now", "hop", "disk", "big 2000"];
        for stream in 0..3000 {
            client.append_query(stream, texts[stream as usize % texts.len()]);
        }
        client.send();
        let streams: BTreeSet<i16> = (0..3000).map(|_| client.receive().stream).collect();
        assert_eq!(streams.len(), 3000);
    }
}

#[test]
fn a_broken_frame_costs_its_connection_only() {
    let process = Process::start("broken", &[]);
    let mut healthy = process.connect(ProtocolVersion::V4, None);
    for garbage in [
        &b"\x04\0\0\x01\x55\0\0\0\0"[..],
        b"\x04\0\0\x01\x07\x7f\xff\xff\xff",
        b"\x84\0\0\x01\x07\0\0\0\0",
    ] {
        let mut client = process.connect(ProtocolVersion::V4, None);
        client.send_raw(garbage);
        let answer = client.receive();
        assert_eq!(
            (answer.opcode, answer.error_code()),
            (Opcode::Error, 0x000A)
        );
        assert!(client.is_closed_by_peer());
    }
    let mut client = process.connect(ProtocolVersion::V5, None);
    client.send_raw(&[0xff; 64]);
    assert_eq!(client.receive().error_code(), 0x000A);
    assert!(client.is_closed_by_peer());
    assert_eq!(healthy.query(5, "now").opcode, Opcode::Result);
}

#[test]
fn versions_are_negotiated_as_drivers_expect() {
    let process = Process::start("negotiation", &[]);
    let mut client = Client::connect(process.serving().addresses.native);
    client.send_raw(&[66, 0, 0, 1, 1, 0, 0, 0, 0]);
    let answer = client.receive();
    assert_eq!(
        (answer.version, answer.stream, answer.error_code()),
        (0x85, 0, 0x000A)
    );
    // The same connection may go on with a version that is spoken.
    client.startup(ProtocolVersion::V4, None);
    assert_eq!(client.query(2, "now").opcode, Opcode::Result);
}

#[test]
fn connections_above_the_limit_are_told() {
    let process = Process::start("limit", &["native_transport_max_concurrent_connections=2"]);
    let mut first = process.connect(ProtocolVersion::V4, None);
    let second = process.connect(ProtocolVersion::V5, None);
    let mut third = Client::connect(process.serving().addresses.native);
    third.send_startup(ProtocolVersion::V4, None);
    assert_eq!(third.receive().error_code(), 0x1001);
    assert!(third.is_closed_by_peer());
    assert_eq!(first.query(1, "now").opcode, Opcode::Result);
    drop(second);
    // The place is free once the server has seen the end.
    for _ in 0..200 {
        let mut next = Client::connect(process.serving().addresses.native);
        next.send_startup(ProtocolVersion::V4, None);
        if next.receive().opcode == Opcode::Ready {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the place was not given back");
}

#[test]
fn too_many_bytes_in_flight_are_overload() {
    let process = Process::start(
        "bytes",
        &["native_transport_max_request_data_in_flight=100KiB"],
    );
    let mut client = process.connect(ProtocolVersion::V4, None);
    let long = format!("never {}", "x".repeat(60_000));
    client.append_query(1, &long);
    client.append_query(2, &long);
    client.append_query(3, "now");
    client.send();
    let answer = client.receive();
    assert_eq!((answer.stream, answer.error_code()), (2, 0x1001));
    assert_eq!(client.receive().stream, 3);
}

#[test]
fn more_requests_a_second_than_allowed_are_refused_or_wait() {
    const ASKED: i16 = 30;
    let process = Process::start(
        "rate",
        &[
            "native_transport_rate_limiting_enabled=true",
            "native_transport_max_requests_per_second=20",
        ],
    );
    let ask = |client: &mut Client| {
        (1..=ASKED).for_each(|stream| client.append_query(stream, "now"));
        client.send();
        let answers = (1..=ASKED).map(|_| client.receive());
        answers
            .filter(|answer| answer.opcode == Opcode::Result)
            .count()
    };
    let mut impatient = Client::connect(process.serving().addresses.native);
    impatient.throws = true;
    impatient.startup(ProtocolVersion::V5, None);
    let served = ask(&mut impatient);
    assert!((20..ASKED as usize).contains(&served), "{served} served");
    let mut patient = process.connect(ProtocolVersion::V5, None);
    let began = Instant::now();
    assert_eq!(ask(&mut patient), ASKED as usize);
    // Thirty take a second and a half; those of the second before, saved up or not, are used already.
    assert!(began.elapsed() > Duration::from_secs(1));
}

#[test]
fn requests_that_are_not_whole_count_too() {
    let process = Process::start(
        "partial",
        &[
            "native_transport_max_request_data_in_flight=150KiB",
            "helenus_shards=1",
        ],
    );
    let text = format!("now {}", "x".repeat(130_000 - 4 - 7));
    let mut whole = vec![4, 0, 0, 9, Opcode::Query as u8];
    whole.extend(130_000u32.to_be_bytes());
    whole.extend((text.len() as u32).to_be_bytes());
    whole.extend(text.as_bytes());
    whole.extend([0, 1, 0]);
    let (half, rest) = whole.split_at(80_000);
    let mut first = process.connect(ProtocolVersion::V4, None);
    first.send_raw(half);
    // Once a few others were answered, it has been read.
    let mut other = process.connect(ProtocolVersion::V4, None);
    for stream in 0..20 {
        assert_eq!(other.query(stream, "now").stream, stream);
    }
    other.send_raw(half);
    assert_eq!(other.receive().error_code(), 0x1001);
    assert!(other.is_closed_by_peer());
    first.send_raw(rest);
    assert_eq!(first.receive().stream, 9);
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let process = Process::start("slow", &["helenus_shards=1"]);
    let mut slow = process.connect(ProtocolVersion::V4, None);
    for stream in 0..200 {
        slow.append_query(stream, "big 1000000");
    }
    slow.send();
    let mut other = process.connect(ProtocolVersion::V5, None);
    for stream in 0..50 {
        assert_eq!(other.query(stream, "hop").stream, stream);
    }
    let streams: BTreeSet<i16> = (0..200).map(|_| slow.receive().stream).collect();
    assert_eq!(streams.len(), 200, "and it gets everything once it reads");
}

#[test]
fn the_source_port_chooses_the_shard() {
    let process = Process::start("aware", &["helenus_shards=3"]);
    let address = process.serving().addresses.shard_aware.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..12 {
        let mut client = Client::connect(address);
        let chosen = client.local_port() % 3;
        let options = client.supported();
        assert_eq!(options["SCYLLA_SHARD"], chosen.to_string());
        assert_eq!(options["CQL_VERSION"], "3.4.7");
        seen.insert(chosen);
    }
    // On the ordinary port the least loaded shard is next.
    let shards: Vec<String> = {
        let mut clients: Vec<Client> = (0..3)
            .map(|_| Client::connect(process.serving().addresses.native))
            .collect();
        clients
            .iter_mut()
            .map(|client| client.supported()["SCYLLA_SHARD"].clone())
            .collect()
    };
    assert_eq!(shards.len(), 3);
    assert!(!seen.is_empty());
}

#[test]
fn only_version_5_where_older_ones_are_forbidden() {
    let process = Process::start("older", &["native_transport_allow_older_protocols=false"]);
    let mut client = Client::connect(process.serving().addresses.native);
    client.send_startup(ProtocolVersion::V4, None);
    assert_eq!(client.receive().error_code(), 0x000A);
    let mut client = process.connect(ProtocolVersion::V5, None);
    assert_eq!(client.query(1, "now").opcode, Opcode::Result);
}

#[test]
fn silent_connections_are_closed_where_that_is_configured() {
    let process = Process::start("idle", &["native_transport_idle_timeout=300ms"]);
    let mut client = process.connect(ProtocolVersion::V4, None);
    assert!(client.is_closed_by_peer());
}

#[test]
fn the_admin_api_shows_and_drains() {
    let mut process = Process::start("admin", &[]);
    let mut client = process.connect(ProtocolVersion::V4, None);
    client.query(1, "now");
    let metrics = process.http("GET", "/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(
        metrics.contains("cassandra_client_connected_native_clients 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("cassandra_client_requests_total{shard=\"0\"}"),
        "{metrics}"
    );
    assert!(
        metrics.contains("cassandra_client_request_read_total{shard=\"1\"} 7"),
        "{metrics}"
    );
    assert!(metrics.contains("helenus_echoes_total"), "{metrics}");
    assert!(process.http("GET", "/health").contains("serving"));
    let document = process.http("GET", "/openapi.json");
    assert!(document.contains("\"/api/v1/flush\""), "{document}");
    assert!(
        process
            .http("GET", "/api/v1/settings")
            .contains("\"num_tokens\":\"16\"")
    );
    let shards = process.http("GET", "/api/v1/shards");
    assert!(
        shards.contains("echo") && shards.contains("client 127.0.0.1"),
        "{shards}"
    );
    assert!(
        process
            .http("GET", "/api/v1/nothing")
            .starts_with("HTTP/1.1 404")
    );
    assert!(process.http("POST", "/api/v1/flush").contains("done"));
    let refused = process.http("POST", "/api/v1/compact?keyspace=none&table=t");
    assert!(
        refused.starts_with("HTTP/1.1 400") && refused.contains("no such keyspace"),
        "{refused}"
    );
    for headers in [
        "Host: evil.example",
        "Host: localhost\r\nOrigin: http://evil.example",
    ] {
        let refused = process.http_with(headers, "POST", "/api/v1/drain");
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
        let metrics = process.http_with(headers, "GET", "/metrics");
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    }
    assert!(process.http("GET", "/health").contains("serving"));
    assert!(process.http("POST", "/api/v1/drain").contains("drained"));
    assert!(process.http("GET", "/health").starts_with("HTTP/1.1 503"));
    assert!(client.is_closed_by_peer());
    process.stop();
}

#[test]
fn what_is_in_flight_is_answered_before_the_end() {
    let mut process = Process::start("drain", &[]);
    let mut client = process.connect(ProtocolVersion::V4, None);
    for stream in 0..500 {
        client.append_query(stream, "disk");
    }
    client.send();
    assert!(client.receive().stream >= 0, "it is under way");
    let directory = process.directory.clone();
    process.stop();
    let mut answered = 1;
    while let Some(answer) = client.try_receive() {
        let overloaded = answer.opcode == Opcode::Error && answer.error_code() == 0x1001;
        assert!(answer.opcode == Opcode::Result || overloaded);
        answered += 1;
    }
    assert_eq!(answered, 500);
    server::lock::DirectoryLock::take(&directory).expect("the directory is free again");
}
