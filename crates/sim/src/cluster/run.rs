//! The seeded run: clients of one workload, faults, and the questions afterwards.

use super::converge::{self, Load};
use super::faults::Faults;
use super::meddling::Meddler;
use super::ring_change::RingChange;
use super::workload::{self, Check, Ended, Rows, Workload};
use super::{Cluster, asking::Ticket};
use crate::node::machine::{Answer, Asking};
use crate::planted::Planted;
use crate::random::Rng;
use crate::storage::Failure;
use model::error::Consistency;
use std::collections::BTreeMap;

/// The workloads: names of [`workload::of`].
pub const KINDS: [&str; 9] = [
    "registers",
    "tombstones",
    "collections",
    "paging",
    "counters",
    "batches",
    "bank",
    "conditional",
    "schema",
];
/// Those that are no load: people change schemas now and then.
pub const QUIET_KINDS: [&str; 1] = ["schema"];
/// Longest time a start, or what comes before the faults, may take, in milliseconds.
const START_MS: u64 = 60_000;
/// How long clients ask before the first fault, in milliseconds: nothing may fail yet.
const CALM_MS: u64 = 1_000;
/// How long members may take to hear of each other, in milliseconds.
const HEAR_MS: u64 = 3_000;
/// A request that a running node has not answered after so long, in milliseconds, never will be: a schema change may wait a minute
/// for its turn, and then one for its decision.
const ANSWER_MS: u64 = 130_000;
/// How long a question may fail after the faults, in milliseconds.
const QUESTION_MS: u64 = 60_000;
/// How far apart a run looks at its clients, in nanoseconds.
const LOOK_NANOS: u64 = 5_000_000;
/// How long replicas may take to be proved equal before a change of the ring, and it to end after the faults, in milliseconds.
const CHANGE_MS: u64 = 120_000;
/// How often it is looked at, in milliseconds.
const LOOK_MS: u64 = 500;
/// In how many runs of a hundred somebody changes the schema meanwhile.
const MEDDLED_PERCENT: u64 = 30;
/// In how many a node joins, leaves, or is replaced.
const RING_PERCENT: u64 = 25;
/// What requests may end with in any trouble: unavailable, overloaded, timeouts, failures, a conditional write of open fate.
const OPEN: [i32; 8] = [
    0x1000, 0x1001, 0x1002, 0x1100, 0x1200, 0x1300, 0x1500, 0x1700,
];
/// What a node says whose tokens others have taken over, until its process ends.
const HAS_LEFT: &str = "This node has left the cluster";
/// What a node says whose small memtables are full, also in calm.
const NO_ROOM: &str = "the memtables hold";
/// Errors that leave a counter's increment open, and that a driver must not try again.
const WRITE_TIMEOUT: i32 = 0x1100;

/// What a run is to do.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which workload, one of [`KINDS`].
    pub kind: &'static str,
    /// How long faults happen, in seconds of virtual time.
    pub seconds: u64,
    /// Mean time between two faults, in milliseconds.
    pub every_ms: u64,
    /// Nodes; by the seed if there are none.
    pub nodes: usize,
    /// Clients that ask.
    pub clients: usize,
    /// Whether the schema may change meanwhile.
    pub changes: bool,
    /// In how many runs of a hundred the ring changes.
    pub ring_percent: u64,
    /// A defect that has to be seen.
    pub planted: Planted,
}

impl Options {
    /// A short run of a workload in much trouble.
    pub fn short(kind: &'static str) -> Self {
        Self {
            kind,
            seconds: 15,
            every_ms: 1_500,
            nodes: 0,
            clients: 8,
            changes: true,
            ring_percent: RING_PERCENT,
            planted: Planted::Nothing,
        }
    }

    /// The case that is measured: five nodes, at least a hundred requests a second, a fault every 30 s.
    pub fn standard(kind: &'static str) -> Self {
        Self {
            kind,
            seconds: 120,
            every_ms: 30_000,
            nodes: 5,
            clients: 10,
            changes: false,
            ring_percent: 0,
            planted: Planted::Nothing,
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Digest of everything that happened.
    pub history: u64,
    /// Requests that were carried out.
    pub done: u64,
    /// Requests of which nobody knows what came of them.
    pub open: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Virtual time in milliseconds.
    pub millis: u64,
}

/// A client, one request at a time.
#[derive(Debug)]
struct Client {
    next_at: u64,
    waits: Option<Waiting>,
}

/// What a client waits for.
#[derive(Debug)]
struct Waiting {
    number: u64,
    ticket: Ticket,
    asking: Asking,
    since: u64,
    retried: bool,
}

struct Run {
    rng: Rng,
    cluster: Cluster,
    workload: Box<dyn Workload>,
    clients: Vec<Client>,
    options: Options,
    number: u64,
    /// No fault has happened yet.
    calm: bool,
    /// Who changes the schema meanwhile, if anybody does.
    meddler: Option<Meddler>,
    summary: Summary,
}

/// Runs one seed.
pub fn run(seed: u64, options: Options) -> Result<Summary, Failure> {
    let failed = |what: String, told: &[String], described: &str| Failure {
        seed,
        what: format!(
            "{}: {what}\nhappened:\n{}\n{described}",
            options.kind,
            told.join("\n")
        ),
    };
    let mut run = Run::new(seed, options).map_err(|what| failed(what, &[], ""))?;
    let rng = run.rng.fork();
    let mut faults = Faults::new(rng, options.every_ms, u64::MAX / 2);
    let done = run.all(&mut faults);
    run.summary.history = run.cluster.history();
    run.summary.millis = run.cluster.nanos() / 1_000_000;
    run.summary.faults = faults.count;
    done.map_err(|what| failed(what, &faults.told, &run.cluster.describe()))?;
    Ok(run.summary)
}

impl Run {
    fn new(seed: u64, options: Options) -> Result<Self, String> {
        let mut rng = Rng::new(seed);
        let nodes = match options.nodes {
            0 => *rng.pick(&[3, 3, 3, 4, 5]),
            nodes => nodes,
        };
        let tokens = *rng.pick(&[1, 4, 16]);
        let mut cluster = Cluster::founded(rng.below(u64::MAX), nodes, tokens, 1)?;
        if rng.chance(options.ring_percent) {
            cluster.add_spare(&mut rng);
        }
        for node in &mut cluster.nodes {
            node.disk.planted = options.planted;
            node.shrink(64 << 10, 128 << 10);
            node.config.metadata_log.bytes = *rng.pick(&[32 << 10, 256 << 10]);
        }
        cluster.network.planted = options.planted;
        let client = |_| Client {
            next_at: 0,
            waits: None,
        };
        let workload = workload::of(options.kind).ok_or("there is no such workload")?;
        let meddled = options.changes && rng.chance(MEDDLED_PERCENT);
        let meddler = meddled.then(|| Meddler::of(&workload.prepare()));
        Ok(Self {
            rng,
            cluster,
            workload,
            meddler,
            clients: (0..options.clients).map(client).collect(),
            options,
            number: 1,
            calm: true,
            summary: Summary::default(),
        })
    }

    fn all(&mut self, faults: &mut Faults) -> Check {
        for node in self.cluster.members() {
            self.cluster.start(node, 1 + self.rng.below(2) as u16);
        }
        self.cluster.wait_until_served(START_MS)?;
        self.cluster.pass(HEAR_MS);
        self.prepare()?;
        self.ask_for(CALM_MS, faults)?;
        self.calm = false;
        let rng = self.rng.fork();
        *faults = Faults::new(rng, self.options.every_ms, self.cluster.nanos());
        self.ask_for(self.options.seconds * 1_000, faults)?;
        faults.end_all(&mut self.cluster);
        if !self.cluster.out.is_empty() && !faults.reshards {
            self.change_ring(faults)?;
        }
        self.finish()?;
        let mended = self.cluster.nanos();
        self.cluster.wait_until_served(START_MS)?;
        self.cluster.pass(HEAR_MS + self.workload.settle_ms());
        // Before anything is read of all replicas, which would bring them what they lack.
        if !faults.reshards {
            converge::check(&mut self.cluster, &self.workload.compared(), mended)?;
        }
        self.question()
    }

    /// Changes the ring while faults happen, once all replicas are equal.
    fn change_ring(&mut self, faults: &mut Faults) -> Check {
        let end = self.cluster.nanos() + CHANGE_MS * 1_000_000;
        self.ask_for(HEAR_MS, faults)?;
        let mended = self.cluster.nanos();
        while let Some(open) = converge::unproved(&mut self.cluster, mended, Load::GoesOn)? {
            if self.cluster.nanos() > end {
                return Err(format!("replicas are not proved equal under load: {open}"));
            }
            self.ask_for(LOOK_MS, faults)?;
        }
        let mut rng = self.rng.fork();
        let mut change = RingChange::begin(&mut self.cluster, &mut rng);
        for node in 0..self.cluster.nodes.len() {
            if self.cluster.nodes[node].shard_count() == 0 {
                self.lost(node)?;
            }
        }
        faults.tell(&self.cluster, &change.describe());
        self.ask_for(HEAR_MS, faults)?;
        faults.resume(&self.cluster);
        let calm = self.cluster.nanos() + self.options.seconds * 1_000_000_000;
        let end = calm + CHANGE_MS * 1_000_000;
        let mut is_calm = false;
        loop {
            self.ask_for(LOOK_MS, faults)?;
            if !is_calm && self.cluster.nanos() >= calm {
                is_calm = true;
                faults.end_all(&mut self.cluster);
            }
            let before = self.cluster.out.clone();
            if change.go_on(&mut self.cluster, &mut rng)? {
                for node in self
                    .cluster
                    .out
                    .difference(&before)
                    .copied()
                    .collect::<Vec<_>>()
                {
                    self.lost(node)?;
                }
                faults.tell(&self.cluster, "the change of the ring is done");
                break;
            }
            if self.cluster.nanos() > end {
                return Err(format!("it never ends that {}", change.describe()));
            }
        }
        faults.end_all(&mut self.cluster);
        Ok(())
    }

    /// Makes the keyspace and what the workload wants, and waits until all nodes know it.
    fn prepare(&mut self) -> Check {
        let keyspace =
            "CREATE KEYSPACE ks WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}";
        let statements = [keyspace.to_owned()]
            .into_iter()
            .chain(self.workload.prepare());
        for text in statements {
            self.cluster.must(0, Consistency::Quorum, &text)?;
        }
        let end = self.cluster.nanos() + START_MS * 1_000_000;
        let version = "SELECT schema_version FROM system.local";
        loop {
            let mut versions = Vec::new();
            for node in self.cluster.members() {
                versions.push(self.cluster.must(node, Consistency::One, version)?);
            }
            if versions.windows(2).all(|pair| pair[0] == pair[1]) {
                return Ok(());
            }
            if self.cluster.nanos() > end {
                return Err("the nodes do not agree on a schema".to_owned());
            }
            self.cluster.pass(100);
        }
    }

    /// Has clients ask for so long, while faults happen.
    fn ask_for(&mut self, millis: u64, faults: &mut Faults) -> Check {
        let end = self.cluster.nanos() + millis * 1_000_000;
        while self.cluster.nanos() < end {
            self.collect()?;
            self.ask()?;
            self.meddle()?;
            let look = self.cluster.nanos() + LOOK_NANOS;
            self.cluster.run_to(look.min(faults.next_at()).min(end));
            if self.cluster.nanos() >= faults.next_at() {
                self.collect()?;
                for node in faults.happen(&mut self.cluster) {
                    self.lost(node)?;
                }
            }
        }
        Ok(())
    }

    /// Waits for what is under way.
    fn finish(&mut self) -> Check {
        let is_quiet = |meddler: &Meddler| meddler.is_quiet();
        while self.clients.iter().any(|client| client.waits.is_some())
            || !self.meddler.as_ref().is_none_or(is_quiet)
        {
            self.cluster.run_to(self.cluster.nanos() + LOOK_NANOS);
            self.collect()?;
        }
        Ok(())
    }

    /// Somebody changes the schema, in trouble as in calm.
    fn meddle(&mut self) -> Check {
        if self.calm || self.meddler.is_none() {
            return Ok(());
        }
        let node = self.node()?;
        if let Some(meddler) = &mut self.meddler {
            meddler.ask(node, &mut self.cluster, &mut self.rng);
        }
        Ok(())
    }

    /// A node that takes a request now.
    fn node(&mut self) -> Result<Option<usize>, String> {
        let node = self.rng.index(self.cluster.nodes.len());
        let serves = !self.cluster.is_paused(node) && self.cluster.serves(node)?;
        Ok(serves.then_some(node))
    }

    /// Clients that have thought enough ask.
    fn ask(&mut self) -> Check {
        for client in 0..self.clients.len() {
            let now = self.cluster.nanos();
            let idle = &self.clients[client];
            if idle.waits.is_some() || idle.next_at > now {
                continue;
            }
            let think = self.rng.below(self.workload.think_nanos());
            self.clients[client].next_at = now + think;
            if let Some(node) = self.node()? {
                self.number += 1;
                let asking = self.workload.next(self.number, &mut self.rng);
                self.send(client, self.number, node, asking);
            }
        }
        Ok(())
    }

    fn send(&mut self, client: usize, number: u64, node: usize, asking: Asking) {
        let shards = u64::from(self.cluster.nodes[node].shard_count());
        let shard = self.rng.below(shards) as u16;
        let ticket = self.cluster.send_statement(node, shard, &asking);
        self.clients[client].waits = Some(Waiting {
            number,
            ticket,
            asking,
            since: self.cluster.nanos(),
            retried: false,
        });
    }

    /// Takes the answers that came.
    fn collect(&mut self) -> Check {
        if let Some(meddler) = &mut self.meddler {
            meddler.collect(&mut self.cluster)?;
        }
        for client in 0..self.clients.len() {
            let Some(waiting) = self.clients[client].waits.take() else {
                continue;
            };
            let Some((answer, page)) = self.cluster.take_answer(waiting.ticket) else {
                if self.cluster.nanos() > waiting.since + ANSWER_MS * 1_000_000 {
                    let text = &waiting.asking.text;
                    return Err(format!("never answered: {text}"));
                }
                self.clients[client].waits = Some(waiting);
                continue;
            };
            if self.retries(client, &waiting, &answer)? {
                continue;
            }
            let ended = self.judge(&waiting, answer, page)?;
            if let Ended::Open = ended {
                self.summary.open += 1;
            } else {
                self.summary.done += 1;
            }
            self.ended(client, waiting.number, ended)?;
        }
        Ok(())
    }

    /// What an answer means.
    fn judge(
        &self,
        waiting: &Waiting,
        answer: Answer,
        page: Option<Vec<u8>>,
    ) -> Result<Ended, String> {
        match answer {
            Answer::Done | Answer::Prepared(_) => Ok(Ended::Done),
            Answer::Rows(rows) => Ok(Ended::Rows(rows, page)),
            Answer::Error(code, message) => {
                let has_left = message == HAS_LEFT;
                let expected = !self.calm && (OPEN.contains(&code) || has_left);
                if expected || message.contains(NO_ROOM) || self.workload.may_end_with(code) {
                    return Ok(Ended::Open);
                }
                let (level, text) = (waiting.asking.level, &waiting.asking.text);
                let calm = if self.calm { "in calm, " } else { "" };
                Err(format!("{calm}{text} at {level}: {code:#x} {message}"))
            }
        }
    }

    fn ended(&mut self, client: usize, number: u64, ended: Ended) -> Check {
        let Some(next) = self.workload.ended(number, ended)? else {
            return Ok(());
        };
        match self.node()? {
            Some(node) => self.send(client, number, node, next),
            None => drop(self.workload.ended(number, Ended::Open)?),
        }
        Ok(())
    }

    /// With that defect planted, whether an increment that timed out is sent again, as nobody may.
    fn retries(
        &mut self,
        client: usize,
        waiting: &Waiting,
        answer: &Answer,
    ) -> Result<bool, String> {
        let planted = self.options.planted == Planted::CounterRetried;
        let open = matches!(answer, Answer::Error(WRITE_TIMEOUT, _));
        if !planted || !open || waiting.retried {
            return Ok(false);
        }
        let Some(node) = self.node()? else {
            return Ok(false);
        };
        self.send(client, waiting.number, node, waiting.asking.clone());
        let again = self.clients[client].waits.as_mut();
        again.expect("it was just sent").retried = true;
        Ok(true)
    }

    /// A node has ended, and with it what it was asked.
    fn lost(&mut self, node: usize) -> Check {
        if let Some(meddler) = &mut self.meddler {
            meddler.lost(node);
        }
        for client in 0..self.clients.len() {
            let on_it = |waiting: &mut Waiting| waiting.ticket.0 == node;
            if let Some(waiting) = self.clients[client].waits.take_if(on_it) {
                self.summary.open += 1;
                self.ended(client, waiting.number, Ended::Open)?;
            }
        }
        Ok(())
    }

    /// Asks what there is after everything is mended: nothing may fail for long.
    fn question(&mut self) -> Check {
        let end = self.cluster.nanos() + QUESTION_MS * 1_000_000;
        for (number, question) in self.workload.questions().into_iter().enumerate() {
            let mut answers: BTreeMap<usize, Rows> = BTreeMap::new();
            let mut asked = self.cluster.members();
            if !question.everywhere {
                asked = vec![*self.rng.pick(&asked)];
            }
            for node in asked {
                let rows = self.answer(node, &question.asking, end)?;
                answers.insert(node, rows);
            }
            let mut all = answers.values();
            let first = all.next().cloned().unwrap_or_default();
            if all.any(|rows| *rows != first) {
                let text = &question.asking.text;
                return Err(format!("the nodes do not agree on {text}: {answers:?}"));
            }
            self.workload.answered(number, &first)?;
        }
        Ok(())
    }

    /// The answer to a question, which is asked again until the time is up.
    fn answer(&mut self, node: usize, asking: &Asking, end: u64) -> Result<Rows, String> {
        loop {
            match self.cluster.ask(node, asking.level, &asking.text)? {
                Answer::Rows(rows) => return Ok(rows),
                other if self.cluster.nanos() > end => {
                    return Err(format!(
                        "after everything is mended, {}: {other:?}",
                        asking.text
                    ));
                }
                _ => self.cluster.pass(500),
            }
        }
    }
}
