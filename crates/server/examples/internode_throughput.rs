//! How many messages two nodes exchange, and what processor time each takes: both ends on one thread, over loopback.
//!
//! `cargo run --release -p server --example internode_throughput [messages]`

use cluster::internode::admission::{Admission, Place};
use cluster::internode::frame::Messages;
use cluster::internode::{Class, PeerEvent, PeerIdentity};
use cluster::topology::NodeId;
use rustix::time::{ClockId, clock_gettime};
use server::config::{CompressionScope, Internode};
use server::internode::{
    Arrival, Endpoint, PeerAcceptor, PeerBook, PeerEvents, PeerTarget, Port, Wire,
};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local, yield_now};
use uuid::Uuid;

const MESSAGE_BYTES: usize = 200;
/// Messages that are made before they are sent, again and again.
const MADE: usize = 4_096;
/// Above this the sender lets the receiver catch up.
const WAITING_BYTES: u64 = 1 << 20;

/// Counts what comes.
#[derive(Default)]
struct Counter {
    messages: Cell<u64>,
    bytes: Cell<u64>,
}

impl PeerEvents for Counter {
    fn on_peer_messages(&self, _from: &PeerIdentity, _class: Class, messages: Messages) {
        for message in messages {
            self.messages.set(self.messages.get() + 1);
            self.bytes.set(self.bytes.get() + message.len() as u64);
        }
    }

    fn on_peer_event(&self, event: &PeerEvent) {
        assert!(
            !matches!(event, PeerEvent::Lost { .. } | PeerEvent::Dropped { .. }),
            "{event:?}"
        );
    }
}

struct Target(mpsc::UnboundedSender<Arrival>);

impl PeerTarget for Target {
    fn arrive(&self, arrival: Arrival) {
        // The receiver lives as long as the program.
        let _ = self.0.send(arrival);
    }
}

struct Node {
    address: SocketAddr,
    endpoint: Rc<Endpoint>,
    book: Arc<PeerBook>,
    counter: Rc<Counter>,
}

async fn start(number: u32, compression: CompressionScope) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let settings = Internode {
        enabled: true,
        listen: vec![address],
        listen_encrypted: None,
        announced: address,
        connect_timeout: Duration::from_secs(2),
        user_timeout: None,
        bulk_user_timeout: None,
        send_buffer_bytes: None,
        receive_buffer_bytes: None,
        queue_bytes: 16 << 20,
        max_message_bytes: 1 << 20,
        compression,
        encryption: None,
    };
    let admission = Admission {
        cluster_name: "measured".into(),
        cluster_id: Uuid::nil(),
        own: PeerIdentity {
            node: Some(NodeId(number)),
            host_id: Uuid::from_u128(u128::from(number)),
            incarnation: 1,
            boot: 1,
            address,
            shard: 0,
            shards: 1,
        },
        own_place: Place {
            datacenter: "dc1".into(),
            rack: "r1".into(),
        },
        features: 0,
        ready: true,
        removed: BTreeSet::new(),
        members: BTreeMap::new(),
    };
    let wire =
        Arc::new(Wire::new(settings, Arc::new(admission)).expect("no certificates are read"));
    let (counter, book) = (Rc::new(Counter::default()), Arc::new(PeerBook::default()));
    let weak = Rc::downgrade(&counter);
    let endpoint = Endpoint::new(0, wire.clone(), book.clone(), weak);
    let (sender, mut arrivals) = mpsc::unbounded_channel();
    let arriving = endpoint.clone();
    spawn_local(async move {
        while let Some(arrival) = arrivals.recv().await {
            arriving.arrive(arrival);
        }
    });
    let acceptor = PeerAcceptor::new(wire, vec![Arc::new(Target(sender))]);
    spawn_local(async move { acceptor.run(listener, Port::Storage).await });
    Node {
        address,
        endpoint,
        book,
        counter,
    }
}

/// Messages that are alike and not the same: a quarter of each is random.
fn made() -> Vec<Vec<u8>> {
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut byte = |at: usize| {
        if !at.is_multiple_of(4) {
            return (at / 16) as u8;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as u8
    };
    (0..MADE)
        .map(|_| (0..MESSAGE_BYTES).map(&mut byte).collect())
        .collect()
}

/// Processor time of this process, in microseconds.
fn processor_micros() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

async fn measure(messages: u64, batch: u64, compression: CompressionScope) {
    let (from, to) = (start(1, compression).await, start(2, compression).await);
    let metrics = from.book.of(to.address);
    let messages_made = made();
    from.endpoint
        .send(to.address, Class::Small, &messages_made[0]);
    from.endpoint.flush();
    while to.counter.messages.get() == 0 {
        yield_now().await;
    }
    let (since, before, sent_before) =
        (Instant::now(), processor_micros(), metrics.sent_bytes.get());
    let mut sent = 0;
    while sent < messages {
        for number in 0..batch {
            let message = &messages_made[(sent + number) as usize % MADE];
            from.endpoint.send(to.address, Class::Small, message);
        }
        from.endpoint.flush();
        sent += batch;
        yield_now().await;
        while metrics.waiting_bytes.get() > WAITING_BYTES {
            yield_now().await;
        }
    }
    while to.counter.messages.get() < sent + 1 {
        yield_now().await;
    }
    let (seconds, micros) = (since.elapsed().as_secs_f64(), processor_micros() - before);
    println!(
        "{batch:>5} messages a turn, {compression:?}: {:>9.0} messages/s, {:.3} µs of processor a message (both ends), {:.0} bytes a message on the wire",
        sent as f64 / seconds,
        micros / sent as f64,
        (metrics.sent_bytes.get() - sent_before) as f64 / sent as f64,
    );
    assert_eq!(to.counter.bytes.get(), (sent + 1) * MESSAGE_BYTES as u64);
    from.endpoint.close_all();
    to.endpoint.close_all();
}

fn main() {
    let messages = std::env::args().nth(1).map_or(2_000_000, |text| {
        text.parse().expect("the number of messages")
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for (batch, compression) in [
        (1, CompressionScope::None),
        (10, CompressionScope::None),
        (100, CompressionScope::None),
        (1_000, CompressionScope::None),
        (100, CompressionScope::All),
    ] {
        let measuring = measure(messages.min(messages / 10 * batch), batch, compression);
        LocalSet::new().block_on(&runtime, measuring);
    }
}
