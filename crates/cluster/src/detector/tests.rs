//! One detector against peers that follow a script, in virtual time.

use super::*;
use crate::seeded::Seeded;
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const START: BootNanos = BootNanos(1_000 * MS);

/// How long after it was sent a ping is answered, if ever, in nanoseconds; told the peer and when it was sent.
type Script = Box<dyn FnMut(NodeId, BootNanos) -> Option<u64>>;

struct Bench {
    detector: Detector,
    now: BootNanos,
    answer: Script,
    pongs: BTreeMap<(BootNanos, u64), NodeId>,
    /// Times at which this process stands still, with how long.
    pauses: Vec<(BootNanos, u64)>,
    told: Vec<Effect>,
    pings: usize,
}

impl Bench {
    fn new(peers: u32, answer: Script) -> Self {
        let mut detector = Detector::new(DetectorConfig::default(), START);
        detector.set_neighbours(&(1..=peers).map(NodeId).collect(), START);
        Self {
            detector,
            now: START,
            answer,
            pongs: BTreeMap::new(),
            pauses: Vec::new(),
            told: Vec::new(),
            pings: 0,
        }
    }

    /// Runs for so many milliseconds.
    fn run(&mut self, millis: u64) {
        let end = self.now.plus_millis(millis);
        loop {
            let pong = self.pongs.keys().next().map(|(at, _)| *at);
            let next = self.detector.next_deadline().min(pong.unwrap_or(end));
            let next = next.max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            self.pauses.retain(|&(at, length)| {
                let begins = at <= self.now;
                if begins {
                    self.now = self.now.max(BootNanos(at.0 + length));
                }
                !begins
            });
            self.step();
        }
    }

    /// What arrived is handed over before time passes.
    fn step(&mut self) {
        let mut effects = Vec::new();
        while let Some(entry) = self.pongs.first_entry()
            && entry.key().0 <= self.now
        {
            let nonce = entry.key().1;
            let peer = entry.remove();
            self.detector.on_pong(peer, nonce, self.now, &mut effects);
        }
        if self.now >= self.detector.next_deadline() {
            self.detector.tick(self.now, &mut effects);
        }
        for effect in effects {
            match effect {
                Effect::Ping { peer, nonce } => {
                    self.pings += 1;
                    if let Some(after) = (self.answer)(peer, self.now) {
                        self.pongs
                            .insert((BootNanos(self.now.0 + after), nonce), peer);
                    }
                }
                told => self.told.push(told),
            }
        }
    }

    fn heartbeat(&mut self, peer: u32) {
        let now = self.now;
        self.detector
            .on_heartbeat(NodeId(peer), now, &mut self.told);
    }

    fn caught_up(&mut self, peer: u32) {
        let now = self.now;
        self.detector.caught_up(NodeId(peer), now, &mut self.told);
    }

    fn state(&self, peer: u32) -> PeerState {
        self.detector.opinion(NodeId(peer)).expect("watched").state
    }

    /// When a peer came into a state, for the first time.
    fn entered(&self, peer: u32, state: PeerState) -> Option<BootNanos> {
        self.entries(peer, state).next()
    }

    fn entries(&self, peer: u32, state: PeerState) -> impl Iterator<Item = BootNanos> {
        self.told.iter().filter_map(move |effect| match effect {
            Effect::Changed {
                peer: whose,
                to,
                at,
                ..
            } if *whose == NodeId(peer) && *to == state => Some(*at),
            _ => None,
        })
    }

    /// Changes of a peer form a chain, and each is a change.
    fn check_chain(&self, peer: u32) {
        let mut state = PeerState::Suspected;
        for effect in &self.told {
            if let Effect::Changed {
                peer: whose,
                from,
                to,
                ..
            } = effect
                && *whose == NodeId(peer)
            {
                assert_eq!(*from, state);
                assert_ne!(from, to);
                state = *to;
            }
        }
        assert_eq!(state, self.state(peer));
    }
}

/// A round trip of `rtt` up to a half more.
fn jitter(random: &mut Seeded, rtt: u64) -> u64 {
    rtt + random.below(rtt / 2 + 1)
}

#[test]
fn calm_peers_are_healthy_and_pinged_every_400_ms() {
    let mut bench = Bench::new(5, Box::new(|_, _| Some(2 * MS)));
    bench.run(20_000);
    for peer in 1..=5 {
        assert_eq!(bench.state(peer), PeerState::Healthy);
    }
    assert_eq!(bench.told.len(), 5);
    assert_eq!(bench.pings, 5 * 20_000 / 400);
    let report = bench
        .detector
        .report(NodeId(1), bench.now)
        .expect("watched");
    assert_eq!(report.median_round_trip_us, Some(2_000));
    assert!(report.pinged && report.phi < 0.5);
    assert_eq!(bench.detector.opinion(NodeId(9)), None);
}

#[test]
fn a_peer_slowed_to_250_ms_stays_healthy() {
    let slow_from = START.plus_millis(5_000);
    let answer = move |_, at: BootNanos| Some(if at < slow_from { MS } else { 250 * MS });
    let mut bench = Bench::new(1, Box::new(answer));
    bench.run(60_000);
    assert_eq!(bench.told.len(), 1, "{:?}", bench.told);
}

#[test]
fn slow_is_relative_to_the_median() {
    // 400 ms are slow after 20 ms, and not after 150 ms.
    for (usual, suspected) in [(20, true), (150, false)] {
        let slow_from = START.plus_millis(10_000);
        let answer = move |_, at: BootNanos| Some(if at < slow_from { usual } else { 400 } * MS);
        let mut bench = Bench::new(1, Box::new(answer));
        bench.run(11_500);
        let entered = bench.entered(1, PeerState::Suspected).is_some();
        assert_eq!(entered, suspected, "{usual}");
        if suspected {
            let limit_ms = 300;
            let took_ms = 400;
            let why = Why::Slow { took_ms, limit_ms };
            assert_eq!(bench.detector.opinion(NodeId(1)).map(|o| o.why), Some(why));
            assert_eq!(why.to_string(), "an answer took 400 ms, more than 300 ms");
        }
    }
}

#[test]
fn a_conviction_ends_with_an_answer_and_with_having_caught_up() {
    let (dies, back) = (START.plus_millis(5_000), START.plus_millis(15_000));
    let answer = move |_, at| (at < dies || at >= back).then_some(MS);
    let mut bench = Bench::new(2, Box::new(answer));
    bench.run(10_000);
    let why = bench.detector.opinion(NodeId(1)).expect("watched").why;
    assert_eq!(why, Why::MissedInARow { misses: 3 });
    assert_eq!(bench.detector.unreachable(bench.now).len(), 2);
    bench.run(10_000);
    assert_eq!(bench.state(1), PeerState::Recovering);
    let answered = bench
        .entered(1, PeerState::Recovering)
        .expect("it answered");
    assert!(answered.since(back) <= 401 * MS);
    bench.run(60_000);
    assert_eq!(bench.state(1), PeerState::Recovering);
    bench.caught_up(1);
    assert_eq!(bench.state(1), PeerState::Healthy);
    assert_eq!(bench.state(2), PeerState::Recovering);
    bench.check_chain(1);
}

#[test]
fn a_peer_that_says_it_stops_is_away_until_it_is_started_again() {
    let mut bench = Bench::new(1, Box::new(|_, _| Some(MS)));
    bench.run(3_000);
    let now = bench.now;
    bench.detector.on_stop(NodeId(1), now, &mut bench.told);
    assert_eq!(bench.state(1), PeerState::Confirmed);
    bench.heartbeat(1);
    // It answers to the last, and after its restart before gossip has told of it.
    bench.run(3_000);
    assert_eq!(bench.state(1), PeerState::Confirmed);
    let now = bench.now;
    bench.detector.on_restart(NodeId(1), now, &mut bench.told);
    bench.run(1_000);
    assert_eq!(bench.state(1), PeerState::Recovering);
    bench.check_chain(1);
}

#[test]
fn a_restarted_peer_must_catch_up() {
    let mut bench = Bench::new(1, Box::new(|_, _| Some(MS)));
    bench.run(3_000);
    let now = bench.now;
    bench.detector.on_restart(NodeId(1), now, &mut bench.told);
    assert_eq!(bench.state(1), PeerState::Recovering);
    bench.run(3_000);
    bench.caught_up(1);
    assert_eq!(bench.state(1), PeerState::Healthy);
}

#[test]
fn a_peer_that_was_talked_to_is_pinged_for_ten_seconds() {
    let mut bench = Bench::new(0, Box::new(|_, _| Some(MS)));
    let now = bench.now;
    bench.detector.watch(NodeId(1), now);
    bench.run(1_000);
    assert_eq!(bench.pings, 0);
    let now = bench.now;
    bench.detector.talked_to(NodeId(1), now);
    bench.run(20_000);
    assert!((25..=26).contains(&bench.pings), "{}", bench.pings);
    // One that is away is pinged until it is not.
    bench.answer = Box::new(|_, _| None);
    let now = bench.now;
    bench.detector.talked_to(NodeId(1), now);
    bench.run(30_000);
    assert_eq!(bench.state(1), PeerState::Confirmed);
    assert!(bench.pings > 90);
    bench.answer = Box::new(|_, _| Some(MS));
    bench.run(1_000);
    assert_eq!(bench.state(1), PeerState::Recovering);
}

#[test]
fn a_peer_known_by_hearsay_is_convicted_by_phi_after_18_s() {
    let mut random = Seeded(4);
    let mut bench = Bench::new(0, Box::new(|_, _| None));
    bench.detector.watch(NodeId(1), START);
    bench.heartbeat(1);
    assert_eq!(bench.state(1), PeerState::Healthy);
    // Hearsay is irregular: up to four seconds without news happen.
    for _ in 0..200 {
        bench.run(400 + random.below(1_200));
        bench.heartbeat(1);
        if random.below(40) == 0 {
            bench.run(4_000);
        }
    }
    assert_eq!(bench.told.len(), 1, "{:?}", bench.told);
    let last = bench.now;
    bench.run(60_000);
    let convicted = bench.entered(1, PeerState::Confirmed).expect("convicted");
    let silent = convicted.since(last) / MS;
    assert!((18_000..25_000).contains(&silent), "{silent}");
    assert!(bench.entered(1, PeerState::Suspected).expect("suspected") < convicted);
    bench.heartbeat(1);
    assert_eq!(bench.state(1), PeerState::Recovering);
    assert_eq!(bench.pings, 0);
    bench.check_chain(1);
}

#[test]
fn whose_pings_arrive_is_told_with_whom_one_cannot_reach() {
    let mut bench = Bench::new(2, Box::new(|_, _| None));
    for _ in 0..10 {
        bench.run(400);
        let now = bench.now;
        bench.detector.on_ping(NodeId(2), now);
    }
    let unreachable = bench.detector.unreachable(bench.now);
    let heard: Vec<_> = unreachable
        .iter()
        .map(|entry| (entry.node.0, entry.heard))
        .collect();
    assert_eq!(heard, [(1, false), (2, true)]);
}

/// A tenth of what a cluster of 500 nodes pings in ten minutes, over a network that loses one message in a hundred.
#[test]
fn one_percent_of_loss_convicts_nobody() {
    let mut random = Seeded(11);
    let answer = move |_, _| {
        let lost = random.below(100) == 0 || random.below(100) == 0;
        (!lost).then(|| jitter(&mut random, 20 * MS))
    };
    let mut bench = Bench::new(60, Box::new(answer));
    bench.run(600_000);
    for peer in 1..=60 {
        assert_eq!(bench.entered(peer, PeerState::Confirmed), None);
        bench.check_chain(peer);
    }
}

/// One answer now and then ends the first conviction. Convicted again soon after, it takes two in a row.
#[test]
fn who_relapses_needs_more_answers() {
    let mut pings = 0;
    let answer = move |_, _| {
        pings += 1;
        (pings < 10 || pings % 20 == 0).then_some(MS)
    };
    let mut bench = Bench::new(1, Box::new(answer));
    bench.run(120_000);
    assert_eq!(bench.entries(1, PeerState::Recovering).count(), 1);
    assert_eq!(bench.entries(1, PeerState::Confirmed).count(), 2);
    bench.answer = Box::new(|_, _| Some(MS));
    bench.run(1_000);
    assert_eq!(bench.state(1), PeerState::Recovering);
}

/// Pongs come more often than heartbeats: who is no longer pinged is not measured by them.
#[test]
fn hearsay_is_not_measured_by_pongs() {
    let mut bench = Bench::new(1, Box::new(|_, _| Some(MS)));
    bench.run(120_000);
    let now = bench.now;
    bench.detector.set_neighbours(&BTreeSet::new(), now);
    bench.run(15_000);
    assert_eq!(bench.entered(1, PeerState::Confirmed), None);
    bench.run(5_000);
    assert_eq!(bench.state(1), PeerState::Confirmed);
}

#[test]
fn an_own_pause_is_told() {
    let mut bench = Bench::new(1, Box::new(|_, _| Some(MS)));
    bench.pauses = vec![(START.plus_millis(3_000), 700 * MS)];
    bench.run(6_000);
    let pauses = bench.told.iter().filter_map(|effect| match effect {
        Effect::OwnPause { millis } => Some(*millis),
        _ => None,
    });
    let pauses: Vec<u64> = pauses.collect();
    assert!(
        pauses.len() == 1 && (700..=800).contains(&pauses[0]),
        "{pauses:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_dead_peer_is_confirmed_within_two_seconds(seed: u64, rtt_ms in 0..170u64, dies_ms in 5_000..7_000u64) {
        let mut random = Seeded(seed);
        let dies = START.plus_millis(dies_ms);
        // A ping that is under way when the peer dies finds nobody.
        let answer = move |_, at: BootNanos| {
            let rtt = jitter(&mut random, rtt_ms * MS);
            (at.0 + rtt / 2 < dies.0).then_some(rtt)
        };
        let mut bench = Bench::new(1, Box::new(answer));
        bench.run(dies_ms);
        prop_assert_eq!(bench.state(1), PeerState::Healthy);
        bench.run(10_000);
        let after = bench.entered(1, PeerState::Confirmed).map(|at| at.since(dies) / MS);
        prop_assert!(after.is_some_and(|ms| ms <= 2_000), "{:?}", after);
        prop_assert_eq!(bench.state(1), PeerState::Confirmed);
        bench.check_chain(1);
    }

    #[test]
    fn a_peer_paused_for_a_second_is_not_confirmed(seed: u64, rtt_ms in 0..170u64, at_ms in 5_000..6_000u64) {
        let mut random = Seeded(seed);
        let (from, to) = (START.plus_millis(at_ms), START.plus_millis(at_ms + 1_000));
        let answer = move |_, at: BootNanos| {
            let rtt = jitter(&mut random, rtt_ms * MS);
            let arrives = at.0 + rtt / 2;
            let answered = if (from.0..to.0).contains(&arrives) { to.0 } else { arrives };
            Some(answered + rtt / 2 - at.0)
        };
        let mut bench = Bench::new(1, Box::new(answer));
        bench.run(30_000);
        prop_assert_eq!(bench.entered(1, PeerState::Confirmed), None);
        prop_assert_eq!(bench.entries(1, PeerState::Suspected).count(), 1);
        prop_assert_eq!(bench.state(1), PeerState::Healthy);
        bench.check_chain(1);
    }

    /// Answers between nothing and a second, at random: suspicions, few of them, and no conviction.
    #[test]
    fn a_peer_that_answers_late_at_random_is_never_confirmed(seed: u64, most_ms in 1..1_000u64) {
        let mut random = Seeded(seed);
        let answer = move |_, _| Some(random.below(most_ms * MS));
        let mut bench = Bench::new(1, Box::new(answer));
        bench.run(120_000);
        prop_assert_eq!(bench.entered(1, PeerState::Confirmed), None);
        let suspicions = bench.entries(1, PeerState::Suspected).count();
        prop_assert!(suspicions <= 16, "{} suspicions in two minutes", suspicions);
        bench.check_chain(1);
    }

    /// Any loss at all: states change a bounded number of times.
    #[test]
    fn loss_does_not_make_it_flap(seed: u64, loss in 0..100u64) {
        let mut random = Seeded(seed);
        let answer = move |_, _| {
            let arrives = random.below(100) >= loss;
            arrives.then(|| jitter(&mut random, 10 * MS))
        };
        let mut bench = Bench::new(1, Box::new(answer));
        for _ in 0..120 {
            bench.run(1_000);
            bench.caught_up(1);
        }
        let changes = bench.told.len();
        prop_assert!(changes <= 60, "{} changes in two minutes", changes);
        bench.check_chain(1);
    }

    /// This process stands still now and then, for up to a minute: it notices, and convicts nobody.
    #[test]
    fn own_pauses_convict_nobody(
        seed: u64,
        rtt_ms in 1..200u64,
        pauses in proptest::collection::vec((500..20_000u64, 1..9_000u64), 1..20),
    ) {
        let mut random = Seeded(seed);
        let answer = move |_, _| Some(jitter(&mut random, rtt_ms * MS));
        let mut bench = Bench::new(3, Box::new(answer));
        let known = [4, 5].map(NodeId);
        for peer in known {
            bench.detector.watch(peer, START);
        }
        let mut at = START;
        for (after, length) in pauses {
            at = at.plus_millis(after);
            bench.pauses.push((at, length * MS));
            at = at.plus_millis(length);
        }
        let seconds = at.since(START) / MS / 1_000 + 5;
        while bench.now.since(START) < seconds * 1_000 * MS {
            bench.run(1_000);
            bench.heartbeat(4);
            bench.heartbeat(5);
        }
        for peer in 1..=5 {
            prop_assert_eq!(bench.entered(peer, PeerState::Confirmed), None);
            prop_assert_eq!(bench.entered(peer, PeerState::Suspected), None);
        }
    }

    /// Even a process that stumbles all the time finds the dead.
    #[test]
    fn a_stumbling_process_finds_the_dead(seed: u64, length_ms in 10..900u64) {
        let mut random = Seeded(seed);
        let dies = START.plus_millis(5_000);
        let answer = move |_, at: BootNanos| (at < dies).then(|| jitter(&mut random, 5 * MS));
        let mut bench = Bench::new(1, Box::new(answer));
        bench.pauses = (0..20).map(|n| (START.plus_millis(n * 1_000), length_ms * MS)).collect();
        bench.run(40_000);
        let after = bench.entered(1, PeerState::Confirmed).map(|at| at.since(dies) / MS);
        prop_assert!(after.is_some_and(|ms| ms <= 2_000 + 20 * length_ms), "{:?}", after);
    }

    /// Answers nobody asked for, doubled and foreign ones, at any time: no panic, and the chain holds.
    #[test]
    fn any_events_in_any_order(events in proptest::collection::vec((0..10u8, 0..4u32, 0..2_000u64), 1..300)) {
        let mut bench = Bench::new(2, Box::new(|_, _| None));
        let now = bench.now;
        bench.detector.watch(NodeId(3), now);
        for (what, peer, number) in events {
            let (id, now) = (NodeId(peer), bench.now);
            let told = &mut bench.told;
            match what {
                0 => bench.detector.on_pong(id, number % 50, now, told),
                1 => bench.detector.on_heartbeat(id, now, told),
                2 => bench.detector.on_restart(id, now, told),
                3 => bench.detector.caught_up(id, now, told),
                4 => bench.detector.talked_to(id, now),
                5 => bench.detector.on_ping(id, now),
                8 => bench.detector.on_stop(id, now, told),
                6 => bench.now = now.plus_millis(number),
                7 => bench.detector.set_neighbours(&(1..peer).map(NodeId).collect(), now),
                _ => bench.run(number),
            }
        }
        for peer in 1..=3 {
            bench.check_chain(peer);
        }
    }
}
