//! Several processes as one cluster, as clients see it: who is a member, what is replicated, what happens while one is away.

use crate::checks::{Check, ensure};
use crate::process::{Helenus, ProcessError, Start};
use crate::wire::connection::Connection;
use crate::wire::request::{Parameters, Request, consistency};
use crate::wire::response::Answer;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

/// Nodes of the cluster.
const NODES: u8 = 3;
/// The data centre of each.
const PLACES: [&str; NODES as usize] = ["datacenter1"; NODES as usize];
/// Rows that are written at each stage.
const ROWS: u32 = 100;
/// How long something that comes by itself may take on a loaded machine.
const SOON: Duration = Duration::from_secs(30);
const PROTOCOL: u8 = 5;
const KEYSPACE: &str = "CREATE KEYSPACE IF NOT EXISTS checks WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}";
const TABLE: &str = "CREATE TABLE IF NOT EXISTS checks.rows (id int PRIMARY KEY, value text)";

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Addresses of the loopback network that no other process uses.
fn host(number: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high >> 2, low, number)
}

/// How a node is started; the first two are seeds.
fn node(start: &Start, number: u8, datacenter: &str) -> Start {
    let name = format!("{}-{number}", start.data.display());
    let seeds = format!("seed_provider.parameters.seeds={},{}", host(1), host(2));
    let settings = [
        format!("listen_address={}", host(number)),
        "storage_port=7000".to_owned(),
        "seed_provider=SimpleSeedProvider".to_owned(),
        seeds,
        format!("helenus_dc={datacenter}"),
        // Whoever has several talks to whoever has one.
        format!("helenus_shards={}", 1 + number % 2),
        "helenus_memory=256MiB".to_owned(),
    ];
    Start {
        host: host(number),
        port: None,
        data: name.into(),
        settings: settings
            .into_iter()
            .chain(start.settings.iter().cloned())
            .collect(),
        binary: start.binary.clone(),
        wrapper: start.wrapper.clone(),
    }
}

/// A running cluster; a node that was killed is missing.
pub(crate) struct Cluster {
    start: Start,
    places: Vec<&'static str>,
    nodes: Vec<Option<Helenus>>,
}

impl Cluster {
    /// A node in each of these data centres, all at once, with empty data directories.
    pub(crate) fn form(start: &Start, places: &[&'static str]) -> Result<Self, String> {
        let starting: Vec<_> = (1..)
            .zip(places)
            .map(|(number, place)| {
                let start = node(start, number, place);
                thread::spawn(move || Helenus::start(&start))
            })
            .collect();
        let started: Result<Vec<Helenus>, ProcessError> = starting
            .into_iter()
            .map(|thread| thread.join().expect("a start does not panic"))
            .collect();
        Ok(Self {
            start: start.clone(),
            places: places.to_vec(),
            nodes: started.map_err(text)?.into_iter().map(Some).collect(),
        })
    }

    /// Every node knows all others.
    pub(crate) fn know_each_other(&self) -> Result<(), String> {
        for number in 1..=self.places.len() as u8 {
            soon(|| {
                let mut connection = self.connect(number)?;
                let peers = count(&mut connection, "SELECT peer FROM system.peers", "ONE")?;
                let all = peers + 1 == self.places.len();
                ensure(all, || format!("node {number} knows {peers} others"))
            })?;
        }
        Ok(())
    }

    pub(crate) fn connect(&self, number: u8) -> Result<Connection, String> {
        let node = self.nodes[usize::from(number) - 1].as_ref();
        let address = node.ok_or("the node was killed")?.address;
        Connection::open(address, PROTOCOL, None).map_err(text)
    }

    pub(crate) fn kill(&mut self, number: u8) {
        if let Some(node) = self.nodes[usize::from(number) - 1].take() {
            node.kill();
        }
    }

    pub(crate) fn restart(&mut self, number: u8) -> Result<(), String> {
        self.start_with(number, None)
    }

    /// A node that was killed starts with another disk, and is told that it replaces the one it was.
    fn replace(&mut self, number: u8) -> Result<(), String> {
        let place = usize::from(number) - 1;
        let data = node(&self.start, number, self.places[place]).data;
        std::fs::remove_dir_all(data).map_err(text)?;
        let replaces = format!("helenus_replace_address_first_boot={}", host(number));
        self.start_with(number, Some(replaces))
    }

    fn start_with(&mut self, number: u8, setting: Option<String>) -> Result<(), String> {
        let place = usize::from(number) - 1;
        let mut start = node(&self.start, number, self.places[place]);
        start.settings.extend(setting);
        let helenus = Helenus::start(&start).map_err(text)?;
        self.nodes[place] = Some(helenus);
        Ok(())
    }

    pub(crate) fn stop(self) -> Result<(), String> {
        self.nodes
            .into_iter()
            .flatten()
            .try_for_each(|node| node.stop().map_err(text))
    }
}

/// Asks at a level; an error of the server is an error.
pub(crate) fn ask(
    connection: &mut Connection,
    statement: &str,
    level: &str,
) -> Result<Answer, String> {
    let parameters = Parameters {
        consistency: consistency(level).expect("a level"),
        ..Parameters::default()
    };
    let request = Request::Query(statement.to_owned(), parameters);
    match connection.request(&request).map_err(text)?.answer {
        Answer::Error(error) => Err(format!("{statement} at {level}: {error:?}")),
        answer => Ok(answer),
    }
}

pub(crate) fn count(
    connection: &mut Connection,
    statement: &str,
    level: &str,
) -> Result<usize, String> {
    match ask(connection, statement, level)? {
        Answer::Rows(rows) => Ok(rows.rows.len()),
        other => Err(format!("{statement}: {other:?}")),
    }
}

pub(crate) fn insert(
    connection: &mut Connection,
    ids: std::ops::Range<u32>,
    level: &str,
) -> Result<(), String> {
    for id in ids {
        let statement = format!("INSERT INTO checks.rows (id, value) VALUES ({id}, 'value {id}')");
        ask(connection, &statement, level)?;
    }
    Ok(())
}

/// Every row of a range of ids is read, one by one.
pub(crate) fn verify(
    connection: &mut Connection,
    ids: std::ops::Range<u32>,
    level: &str,
) -> Result<(), String> {
    for id in ids {
        let statement = format!("SELECT value FROM checks.rows WHERE id = {id}");
        let found = count(connection, &statement, level)?;
        ensure(found == 1, || format!("row {id} is missing at {level}"))?;
    }
    Ok(())
}

/// Tries until it holds.
pub(crate) fn soon(mut check: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let began = Instant::now();
    loop {
        match check() {
            Ok(()) => return Ok(()),
            Err(reason) if began.elapsed() > SOON => return Err(reason),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Three processes that are started at once; one is killed and comes back.
pub fn checks(start: &Start) -> Vec<Check> {
    let mut formed = None;
    let mut checks = vec![Check::run(
        "three processes started at once are one cluster",
        || {
            let cluster = formed.insert(Cluster::form(start, &PLACES)?);
            cluster.know_each_other()
        },
    )];
    let Some(mut cluster) = formed else {
        return checks;
    };
    checks.push(Check::run("what one node is told every node has", || {
        replicated(&cluster)
    }));
    checks.push(Check::run(
        "a killed node is missed by nobody who asks for a quorum",
        || {
            cluster.kill(3);
            without_one(&cluster)
        },
    ));
    checks.push(Check::run("a node that returns has what it missed", || {
        cluster.restart(3)?;
        returned(&cluster)
    }));
    checks.push(Check::run(
        "a node whose disk is lost takes its own place",
        || {
            cluster.kill(3);
            cluster.replace(3)?;
            returned(&cluster)?;
            let mut connection = cluster.connect(3)?;
            verify(&mut connection, 0..ROWS, "ALL")
        },
    ));
    checks.push(Check::run("the nodes end", || cluster.stop()));
    checks
}

fn replicated(cluster: &Cluster) -> Result<(), String> {
    let mut connections = Vec::new();
    for number in 1..=NODES {
        connections.push(cluster.connect(number)?);
    }
    ask(&mut connections[1], KEYSPACE, "ONE")?;
    ask(&mut connections[2], TABLE, "ONE")?;
    for (index, connection) in connections.iter_mut().enumerate() {
        let first = index as u32 * ROWS;
        insert(connection, first..first + ROWS, "QUORUM")?;
    }
    for connection in &mut connections {
        for level in ["ONE", "QUORUM", "ALL"] {
            verify(connection, 0..u32::from(NODES) * ROWS, level)?;
        }
    }
    let all = usize::from(NODES) * ROWS as usize;
    for connection in &mut connections {
        let found = count(connection, "SELECT id FROM checks.rows", "QUORUM")?;
        ensure(found == all, || format!("{found} rows of {all}"))?;
    }
    Ok(())
}

fn without_one(cluster: &Cluster) -> Result<(), String> {
    let (first, after) = (1_000, 1_000 + ROWS);
    for number in [1, 2] {
        let mut connection = cluster.connect(number)?;
        insert(&mut connection, first..after, "QUORUM")?;
        verify(&mut connection, 0..ROWS, "QUORUM")?;
        verify(&mut connection, first..after, "QUORUM")?;
    }
    let mut connection = cluster.connect(1)?;
    soon(|| {
        let statement = "INSERT INTO checks.rows (id, value) VALUES (0, 'value 0')";
        match ask(&mut connection, statement, "ALL") {
            Err(reason) if reason.contains("Unavailable") || reason.contains("4096") => Ok(()),
            other => Err(format!("ALL without a node: {other:?}")),
        }
    })
}

fn returned(cluster: &Cluster) -> Result<(), String> {
    let mut connection = cluster.connect(3)?;
    soon(|| verify(&mut connection, 0..ROWS, "ALL"))?;
    verify(&mut connection, 1_000..1_000 + ROWS, "QUORUM")?;
    soon(|| verify(&mut connection, 1_000..1_000 + ROWS, "ONE"))
}
