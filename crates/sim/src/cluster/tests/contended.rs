//! Statements that wait for one another while the ring changes: what is told of each is true of the rows there are afterwards.

use super::super::Cluster;
use super::START_MS;
use crate::node::machine::Answer;
use model::error::Consistency;

/// Longest time a node may take to join, in milliseconds.
const JOIN_MS: u64 = 60_000;
/// Clients of each node that count up by conditions, and as many that count counters: they queue for long.
const CLIENTS: usize = 120;
/// Rows that they change at a time.
const KEYS: i64 = 4;

/// One that counts up a row: by a condition on what it last knew it to be, or as a counter.
struct Client {
    node: usize,
    counts: bool,
    /// Which of the rows.
    row: i64,
    /// What it asked and was not answered yet.
    asked: Option<u64>,
    known: i64,
}

/// What was told of one row.
#[derive(Debug, Default)]
struct Told {
    applied: i64,
    unknown: i64,
}

struct Contended {
    cluster: Cluster,
    clients: Vec<Client>,
    /// Of the conditional statements, and of the increments, by row.
    told: [[Told; KEYS as usize]; 2],
}

impl Contended {
    fn new(seed: u64, machines: usize, factor: u32) -> Self {
        let mut cluster = Cluster::new(seed, machines);
        cluster.start(0, 2);
        cluster.wait_until_served(START_MS).unwrap();
        cluster.pass(3_000);
        let keyspace = format!(
            "CREATE KEYSPACE ks WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
        );
        for text in [
            keyspace.as_str(),
            "CREATE TABLE ks.r (k bigint PRIMARY KEY, v bigint)",
            "CREATE TABLE ks.n (k bigint PRIMARY KEY, n counter)",
        ] {
            cluster.must(0, Consistency::One, text).unwrap();
        }
        let mut contended = Self {
            cluster,
            clients: Vec::new(),
            told: Default::default(),
        };
        for key in 0..3 * KEYS {
            let text = format!("INSERT INTO ks.r (k, v) VALUES ({key}, 0)");
            contended.cluster.must(0, Consistency::One, &text).unwrap();
        }
        contended.add_clients(0);
        contended
    }

    fn add_clients(&mut self, node: usize) {
        self.clients.extend((0..2 * CLIENTS).map(|number| Client {
            node,
            counts: number < CLIENTS,
            row: number as i64 % KEYS,
            asked: None,
            known: 0,
        }));
    }

    /// Every client that has its answer asks again.
    fn ask(&mut self, first: i64) {
        for client in &mut self.clients {
            if client.asked.is_some() {
                continue;
            }
            let (key, known, next) = (first + client.row, client.known, client.known + 1);
            let text = if client.counts {
                format!("UPDATE ks.n SET n = n + 1 WHERE k = {key}")
            } else {
                format!("UPDATE ks.r SET v = {next} WHERE k = {key} IF v = {known}")
            };
            let node = &mut self.cluster.nodes[client.node];
            client.asked = Some(node.query_at(Consistency::Quorum, 0, &text));
        }
    }

    fn take_answers(&mut self) {
        for client in &mut self.clients {
            let answers = &mut self.cluster.nodes[client.node].answers;
            let Some(answer) = client.asked.and_then(|asked| answers.remove(&asked)) else {
                continue;
            };
            client.asked = None;
            let told = &mut self.told[usize::from(client.counts)][client.row as usize];
            match answer {
                Answer::Done => told.applied += 1,
                Answer::Rows(rows) if rows[0][0] == Some(vec![1]) => {
                    told.applied += 1;
                    client.known += 1;
                }
                Answer::Rows(rows) => client.known = number(rows[0][1].as_ref()),
                Answer::Error(..) => told.unknown += 1,
                Answer::Prepared(_) => unreachable!("nothing is prepared"),
            }
        }
    }

    fn go_on(&mut self, first: i64) {
        self.ask(first);
        self.cluster.pass(2);
        self.take_answers();
    }

    /// Waits for all answers, then compares the rows with what was told of them.
    fn check(&mut self, first: i64) {
        while self.clients.iter().any(|client| client.asked.is_some()) {
            self.cluster.pass(5);
            self.take_answers();
        }
        for (row, kind) in (0..KEYS).flat_map(|row| [(row, 0), (row, 1)]) {
            let (table, column, level) = [
                ("r", "v", Consistency::Serial),
                ("n", "n", Consistency::Quorum),
            ][kind];
            let key = first + row;
            let text = format!("SELECT {column} FROM ks.{table} WHERE k = {key}");
            let answer = self.cluster.must(self.clients[0].node, level, &text);
            let Ok(Answer::Rows(rows)) = answer else {
                panic!("{text}: {answer:?}\n{}", self.cluster.describe());
            };
            let value = rows.first().map_or(0, |row| number(row[0].as_ref()));
            let told = &self.told[kind][row as usize];
            assert!(
                told.applied <= value && value <= told.applied + told.unknown,
                "{text}: {value}, told {told:?}\n{}",
                self.cluster.describe()
            );
        }
        self.told = Default::default();
        self.clients.iter_mut().for_each(|client| client.known = 0);
    }
}

fn number(cell: Option<&Vec<u8>>) -> i64 {
    let bytes = cell.expect("a value").as_slice();
    i64::from_be_bytes(bytes.try_into().expect("a bigint"))
}

#[test]
fn nothing_that_waited_is_lost_when_nodes_join() {
    for (seed, factor) in [(31, 1)] {
        let mut contended = Contended::new(seed, 3, factor);
        let mut first = 0;
        for node in 1..3 {
            contended.cluster.start(node, 1);
            let end = contended.cluster.nanos() + JOIN_MS * 1_000_000;
            while !contended.cluster.serves(node).unwrap() {
                assert!(contended.cluster.nanos() < end, "node {} joins", node + 1);
                contended.go_on(first);
            }
            for _ in 0..200 {
                contended.go_on(first);
            }
            contended.check(first);
            contended.add_clients(node);
            first += KEYS;
        }
        for _ in 0..200 {
            contended.go_on(first);
        }
        contended.check(first);
    }
}
