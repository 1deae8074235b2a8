//! Coordinators that race for one partition over a lossy network, with acceptors that crash. The partition is a list to which
//! each statement appends its number if the list is as long as it was told: whatever happens, no number is there twice, what was
//! applied is there, and what was not is not; and statements that followed each other are seen in that order.

use super::{Answer, Ballot, Effect, Instance, Outcome, Participants, Proposer, Request};
use crate::seeded::Seeded;
use crate::topology::NodeId;
use std::collections::{BTreeMap, BTreeSet};

/// A replica: what is durable of its acceptor, and its data: the list under the ballot it was written with.
#[derive(Default)]
struct Replica {
    instance: Instance,
    data: Option<(Ballot, Vec<u8>)>,
    down: bool,
}

/// A statement under way at a coordinator.
struct Statement {
    number: u8,
    proposer: Proposer,
    /// Answers of replicas to the read under way, and how many are waited for.
    reads: BTreeMap<NodeId, Option<(Ballot, Vec<u8>)>>,
    expected: (Option<Ballot>, usize),
    began: u64,
    seen: Option<Ballot>,
    /// How often it has looked whether its condition holds.
    looks: u32,
}

enum Message {
    Ask(Request),
    Tell(Answer),
    Read(Ballot),
    Rows(Ballot, Option<(Ballot, Vec<u8>)>),
    Begin,
}

struct World {
    now: u64,
    random: Seeded,
    lossy: bool,
    replicas: BTreeMap<NodeId, Replica>,
    participants: Participants,
    statements: BTreeMap<u8, Statement>,
    /// (when, serial) → (replica, statement, whether to the statement, message).
    network: BTreeMap<(u64, u64), (NodeId, u8, bool, Message)>,
    serial: u64,
    next: u8,
    /// Numbers with when they began and ended, and how.
    ended: Vec<(u8, u64, u64, Outcome, Vec<u8>)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let count = 3 + (seed % 2) as u32 * 2;
        let pending = (seed % 5 == 4).then_some(NodeId(count + 1));
        let participants = Participants {
            natural: (1..=count).map(NodeId).collect(),
            pending: pending.into_iter().collect(),
        };
        Self {
            now: 0,
            random: Seeded(seed),
            lossy: true,
            replicas: participants
                .all()
                .map(|id| (id, Replica::default()))
                .collect(),
            participants,
            statements: BTreeMap::new(),
            network: BTreeMap::new(),
            serial: 0,
            next: 0,
            ended: Vec::new(),
        }
    }

    fn send(&mut self, replica: NodeId, statement: u8, back: bool, make: impl Fn() -> Message) {
        let copies = if self.lossy {
            self.random.below(8).min(2)
        } else {
            1
        };
        for _ in 0..copies {
            self.serial += 1;
            let delay = 1 + self.random.below(if self.lossy { 60 } else { 3 });
            self.network.insert(
                (self.now + delay, self.serial),
                (replica, statement, back, make()),
            );
        }
    }

    fn begin(&mut self) {
        self.next += 1;
        let number = self.next;
        let statement = Statement {
            number,
            proposer: Proposer::new(self.participants.clone(), 1),
            reads: BTreeMap::new(),
            expected: (None, 0),
            began: self.now,
            seen: None,
            looks: 0,
        };
        self.statements.insert(number, statement);
        self.later(number, 0);
    }

    fn later(&mut self, number: u8, delay: u64) {
        self.serial += 1;
        let at = (self.now + delay, self.serial);
        self.network
            .insert(at, (NodeId(0), number, true, Message::Begin));
    }

    fn carry_out(&mut self, number: u8, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(to, request) => {
                    self.send(to, number, false, || Message::Ask(request.clone()))
                }
                Effect::Read(ballot, replicas) => {
                    assert!(
                        2 * replicas.len() > self.participants.natural.len(),
                        "a majority is read"
                    );
                    let statement = self.statements.get_mut(&number).expect("it is under way");
                    statement.reads.clear();
                    statement.expected = (Some(ballot), replicas.len());
                    for replica in replicas {
                        self.send(replica, number, false, || Message::Read(ballot));
                    }
                }
                Effect::Contended(ballot) => {
                    let statement = self.statements.get_mut(&number).expect("it is under way");
                    statement.seen = statement.seen.max(Some(ballot));
                    let delay = 5 + self.random.below(100);
                    self.later(number, delay);
                }
                Effect::Done(outcome) => {
                    let statement = self.statements.remove(&number).expect("it is under way");
                    self.ended
                        .push((number, statement.began, self.now, outcome, Vec::new()));
                }
            }
        }
    }

    fn step(&mut self, number: u8, act: impl FnOnce(&mut Statement, &mut Vec<Effect>)) {
        let mut effects = Vec::new();
        if let Some(statement) = self.statements.get_mut(&number) {
            act(statement, &mut effects);
        }
        self.carry_out(number, effects);
    }

    fn deliver(&mut self, replica: NodeId, number: u8, message: Message) {
        match message {
            Message::Begin => {
                let now = self.now as i64;
                self.step(number, |statement, out| {
                    let seen = statement.seen.map_or(0, |ballot| ballot.micros);
                    let before = statement
                        .proposer
                        .ballot()
                        .map_or(0, |ballot| ballot.micros);
                    let ballot = Ballot {
                        micros: now.max(seen + 1).max(before + 1),
                        node: NodeId(u32::from(statement.number)),
                        shard: 0,
                    };
                    statement.proposer.prepare(ballot, out);
                });
            }
            Message::Tell(answer) => self.step(number, |statement, out| {
                statement.proposer.on_answer(replica, answer, out);
            }),
            Message::Rows(ballot, rows) => self.step(number, |statement, out| {
                if statement.expected.0 != Some(ballot) {
                    return;
                }
                statement.reads.insert(replica, rows);
                if statement.reads.len() != statement.expected.1 {
                    return;
                }
                let newest = statement.reads.values().flatten().max().cloned();
                let mut list = newest.map(|(_, list)| list).unwrap_or_default();
                list.push(statement.number);
                // Every third statement finds that its condition does not hold, every fifth at every other look.
                statement.looks += 1;
                let third = statement.number.is_multiple_of(3);
                let fifth = statement.number.is_multiple_of(5);
                let applies = !(third || fifth && statement.looks.is_multiple_of(2));
                statement
                    .proposer
                    .decide(ballot, applies.then_some(list), out);
            }),
            Message::Ask(request) => {
                let state = self.replicas.get_mut(&replica).expect("a replica");
                if state.down {
                    return;
                }
                let (after, answer) = state.instance.after(&request);
                state.instance = after;
                if let Request::Commit(proposal) = &request
                    && !proposal.update.is_empty()
                {
                    // The list is one cell: the newer of two is kept.
                    let update = Some((proposal.origin, proposal.update.clone()));
                    state.data = state.data.take().max(update);
                }
                self.send(replica, number, true, || Message::Tell(answer.clone()));
            }
            Message::Read(ballot) => {
                let state = &self.replicas[&replica];
                if !state.down {
                    let data = state.data.clone();
                    self.send(replica, number, true, || {
                        Message::Rows(ballot, data.clone())
                    });
                }
            }
        }
    }

    fn run(&mut self, until: u64) {
        while let Some(entry) = self.network.first_entry()
            && entry.key().0 <= until
        {
            self.now = self.now.max(entry.key().0);
            let (replica, number, _, message) = entry.remove();
            self.deliver(replica, number, message);
        }
        self.now = until;
    }

    /// Messages may have been lost: coordinators that wait for long begin again.
    fn prod(&mut self) {
        let stuck: Vec<u8> = self.statements.keys().copied().collect();
        for number in stuck {
            if self.random.below(3) == 0 {
                self.later(number, 0);
            }
        }
    }
}

fn storm(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed);
    for _ in 0..60 {
        if world.random.below(3) > 0 && world.next < 80 {
            world.begin();
        }
        let replicas: Vec<NodeId> = world.replicas.keys().copied().collect();
        let chosen = replicas[world.random.below(replicas.len() as u64) as usize];
        let up = world.random.below(3) > 0;
        world.replicas.get_mut(&chosen).expect("a replica").down = !up;
        let until = world.now + world.random.below(300);
        world.run(until);
        world.prod();
    }
    world.lossy = false;
    world
        .replicas
        .values_mut()
        .for_each(|replica| replica.down = false);
    for _ in 0..400 {
        let until = world.now + 1_000;
        world.run(until);
        if world.statements.is_empty() {
            break;
        }
        world.prod();
    }
    assert!(world.statements.is_empty(), "contention ends");
    check(&world);
    let count = |wanted: fn(&Outcome) -> bool| {
        world
            .ended
            .iter()
            .filter(|(.., outcome, _)| wanted(outcome))
            .count()
    };
    (
        count(|outcome| matches!(outcome, Outcome::Applied(_))),
        count(|outcome| *outcome == Outcome::Unknown),
    )
}

fn check(world: &World) {
    let newest = world
        .replicas
        .values()
        .filter_map(|replica| replica.data.clone())
        .max();
    let list = newest.map(|(_, list)| list).unwrap_or_default();
    let distinct: BTreeSet<u8> = list.iter().copied().collect();
    assert_eq!(
        distinct.len(),
        list.len(),
        "no number is there twice: {list:?}"
    );
    let place = |number: u8| list.iter().position(|other| *other == number);
    for (number, _, _, outcome, _) in &world.ended {
        match outcome {
            Outcome::Applied(_) => {
                assert!(place(*number).is_some(), "{number} was applied: {list:?}")
            }
            Outcome::Unchanged => assert!(
                place(*number).is_none(),
                "{number} was not applied: {list:?}"
            ),
            Outcome::Unknown => {}
        }
    }
    for (one, _, ended, ..) in &world.ended {
        for (other, began, ..) in &world.ended {
            if let (true, Some(one), Some(other)) = (ended < began, place(*one), place(*other)) {
                assert!(one < other, "what ended before another began is before it");
            }
        }
    }
}

#[test]
fn decisions_are_one_history_whatever_is_lost() {
    let (mut applied, mut unknown) = (0, 0);
    for seed in 0..60 {
        let (some, others) = storm(seed);
        applied += some;
        unknown += others;
    }
    assert!(applied > 60 * 3, "{applied} applied");
    assert!(unknown < applied / 2, "{unknown} of {applied} unknown");
}

#[test]
fn an_acceptor_accepts_nothing_older_than_it_promised() {
    let ballot = |micros| Ballot {
        micros,
        node: NodeId(1),
        shard: 0,
    };
    let (instance, _) = Instance::default().after(&Request::Prepare(ballot(5)));
    let old = super::Proposal {
        ballot: ballot(4),
        origin: ballot(4),
        epoch: 1,
        instance: 1,
        history: Vec::new(),
        update: vec![1],
    };
    let (after, answer) = instance.after(&Request::Propose(old));
    assert_eq!(after, instance);
    assert_eq!(
        answer,
        Answer::Rejected {
            ballot: ballot(4),
            promised: ballot(5)
        }
    );
}

/// Acceptors that answer at once.
fn ask(acceptors: &mut BTreeMap<NodeId, Instance>, to: u32, request: &Request) -> (NodeId, Answer) {
    let node = NodeId(to);
    let acceptor = acceptors.entry(node).or_default();
    let (after, answer) = acceptor.after(request);
    *acceptor = after;
    (node, answer)
}

#[test]
fn what_is_not_applied_is_not_applied_later() {
    let ballot = |micros| Ballot {
        micros,
        node: NodeId(9),
        shard: 0,
    };
    let participants = Participants {
        natural: [1, 2, 3].map(NodeId).to_vec(),
        pending: Vec::new(),
    };
    let (mut acceptors, mut out) = (BTreeMap::new(), Vec::new());
    let mut proposer = Proposer::new(participants, 1);
    // What it sends next, as far as it comes to these acceptors.
    let mut exchange = |proposer: &mut Proposer, out: &mut Vec<Effect>, nodes: &[u32]| {
        let sent: Vec<Effect> = std::mem::take(out);
        for effect in sent {
            if let Effect::Send(to, request) = effect
                && nodes.contains(&to.0)
            {
                let (from, answer) = ask(&mut acceptors, to.0, &request);
                proposer.on_answer(from, answer, out);
            }
        }
    };
    proposer.prepare(ballot(1), &mut out);
    exchange(&mut proposer, &mut out, &[1, 2]);
    proposer.decide(ballot(1), Some(vec![1]), &mut out);
    // One alone accepts it; the statement begins again, and its condition does not hold any more.
    exchange(&mut proposer, &mut out, &[1]);
    out.clear();
    proposer.prepare(ballot(3), &mut out);
    exchange(&mut proposer, &mut out, &[2, 3]);
    proposer.decide(ballot(3), None, &mut out);
    assert!(
        !out.iter().any(|effect| matches!(effect, Effect::Done(_))),
        "the first may still be finished: {out:?}"
    );
    exchange(&mut proposer, &mut out, &[2, 3]);
    exchange(&mut proposer, &mut out, &[2, 3]);
    assert_eq!(out, [Effect::Contended(ballot(3))]);
    out.clear();
    proposer.prepare(ballot(4), &mut out);
    exchange(&mut proposer, &mut out, &[2, 3]);
    proposer.decide(ballot(4), None, &mut out);
    assert_eq!(out.last(), Some(&Effect::Done(Outcome::Unchanged)));
    // Another that asks the first acceptor does not finish what it accepted.
    let participants = Participants {
        natural: [1, 2, 3].map(NodeId).to_vec(),
        pending: Vec::new(),
    };
    let mut other = Proposer::new(participants, 1);
    out.clear();
    other.prepare(ballot(5), &mut out);
    exchange(&mut other, &mut out, &[1, 2]);
    let proposes = |effect: &Effect| matches!(effect, Effect::Send(_, Request::Propose(_)));
    assert!(!out.iter().any(proposes), "{out:?}");
}
