//! A node that only talks: an acceptor, an endpoint for each shard, and a record of what they are told.

use crate::config::{CompressionScope, Internode, ServerEncryption};
use crate::internode::{
    Arrival, Endpoint, PeerAcceptor, PeerBook, PeerEvents, PeerTarget, Port, Wire,
};
use crate::listen::reserve;
use cluster::internode::admission::{Admission, Place};
use cluster::internode::frame::Messages;
use cluster::internode::{Class, PeerEvent, PeerIdentity};
use cluster::topology::NodeId;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use uuid::Uuid;

/// What is waited for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on a thread as a shard's is.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// What an endpoint told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Message {
        from: u32,
        from_shard: u16,
        class: Class,
        bytes: Vec<u8>,
    },
    Event(PeerEvent),
}

/// Keeps what an endpoint told until a test asks for it.
#[derive(Default)]
pub(crate) struct Record {
    seen: RefCell<VecDeque<Seen>>,
    more: Notify,
}

impl Record {
    fn add(&self, seen: Seen) {
        self.seen.borrow_mut().push_back(seen);
        self.more.notify_one();
    }
}

impl PeerEvents for Record {
    fn on_peer_messages(&self, from: &PeerIdentity, class: Class, messages: Messages) {
        for message in messages {
            self.add(Seen::Message {
                from: from.node.unwrap().0,
                from_shard: from.shard,
                class,
                bytes: message.to_vec(),
            });
        }
    }

    fn on_peer_event(&self, event: &PeerEvent) {
        self.add(Seen::Event(event.clone()));
    }
}

/// What a node may differ in.
pub(crate) struct Options {
    pub number: u32,
    pub shards: u16,
    pub address: SocketAddr,
    pub cluster_name: &'static str,
    pub encryption: Option<ServerEncryption>,
    pub queue_bytes: usize,
    pub compression: CompressionScope,
    pub connect_timeout: Duration,
}

impl Options {
    pub(crate) fn of(number: u32) -> Self {
        Self {
            number,
            shards: 1,
            address: "127.0.0.1:0".parse().unwrap(),
            cluster_name: "C",
            encryption: None,
            queue_bytes: 4 << 20,
            compression: CompressionScope::None,
            connect_timeout: Duration::from_secs(5),
        }
    }
}

struct Shard {
    endpoint: Rc<Endpoint>,
    record: Rc<Record>,
    book: Arc<PeerBook>,
}

pub(crate) struct Node {
    pub address: SocketAddr,
    /// Where only encrypted connections are served.
    pub ssl_address: SocketAddr,
    pub wire: Arc<Wire>,
    shards: Vec<Shard>,
    tasks: Vec<JoinHandle<()>>,
}

struct Target(mpsc::UnboundedSender<Arrival>);

impl PeerTarget for Target {
    fn arrive(&self, arrival: Arrival) {
        // A node that has ended takes nothing.
        let _ = self.0.send(arrival);
    }
}

impl Node {
    pub(crate) fn start(options: Options) -> Self {
        let reserved = reserve(options.address, "storage_port").unwrap();
        let address = reserved.address();
        let settings = Internode {
            enabled: true,
            listen: vec![address],
            listen_encrypted: None,
            announced: address,
            connect_timeout: options.connect_timeout,
            user_timeout: Some(Duration::from_secs(30)),
            bulk_user_timeout: None,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            queue_bytes: options.queue_bytes,
            max_message_bytes: 4 << 20,
            compression: options.compression,
            encryption: options.encryption,
        };
        let admission = Admission {
            cluster_name: options.cluster_name.into(),
            cluster_id: Uuid::from_u128(1),
            own: PeerIdentity {
                node: Some(NodeId(options.number)),
                host_id: Uuid::from_u128(u128::from(options.number)),
                incarnation: 1,
                boot: 1,
                address,
                shard: 0,
                shards: options.shards,
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
        let wire = Arc::new(Wire::new(settings, Arc::new(admission)).unwrap());
        let any = SocketAddr::new(address.ip(), 0);
        let ssl = reserve(any, "ssl_storage_port").unwrap();
        let mut node = Self {
            address,
            ssl_address: ssl.address(),
            wire,
            shards: Vec::new(),
            tasks: Vec::new(),
        };
        let targets = (0..options.shards)
            .map(|shard| node.start_shard(shard))
            .collect();
        let acceptor = PeerAcceptor::new(node.wire.clone(), targets);
        for (reserved, port) in [(reserved, Port::Storage), (ssl, Port::Encrypted)] {
            let (acceptor, listener) = (acceptor.clone(), reserved.listen().unwrap());
            let accepting = async move { acceptor.run(listener, port).await };
            node.tasks.push(spawn_local(accepting));
        }
        node
    }

    fn start_shard(&mut self, shard: u16) -> Arc<dyn PeerTarget> {
        let (record, book) = (Rc::new(Record::default()), Arc::new(PeerBook::default()));
        let weak = Rc::downgrade(&record);
        let endpoint = Endpoint::new(shard, self.wire.clone(), book.clone(), weak);
        let (sender, mut arrivals) = mpsc::unbounded_channel();
        let arriving = endpoint.clone();
        self.tasks.push(spawn_local(async move {
            while let Some(arrival) = arrivals.recv().await {
                arriving.arrive(arrival);
            }
        }));
        self.shards.push(Shard {
            endpoint,
            record,
            book,
        });
        Arc::new(Target(sender))
    }

    pub(crate) fn endpoint(&self, shard: usize) -> &Rc<Endpoint> {
        &self.shards[shard].endpoint
    }

    pub(crate) fn metrics(&self, peer: SocketAddr) -> Arc<crate::internode::PeerMetrics> {
        self.shards[0].book.of(peer)
    }

    /// Decides about connections by a changed admission from here on.
    pub(crate) fn change_admission(&self, change: impl FnOnce(&mut Admission)) {
        let mut admission = (*self.wire.admission()).clone();
        change(&mut admission);
        self.wire.replace_admission(Arc::new(admission));
    }

    /// One message in a turn of its own.
    pub(crate) fn send(&self, shard: usize, to: SocketAddr, class: Class, message: &[u8]) {
        self.endpoint(shard).send(to, class, message);
        self.endpoint(shard).flush();
    }

    /// The first of what a shard was told and nobody asked for yet that is like this. Fails if it does not come.
    pub(crate) async fn wait<T>(&self, shard: usize, like: impl Fn(&Seen) -> Option<T>) -> T {
        let record = &self.shards[shard].record;
        let waiting = async {
            loop {
                let found = {
                    let mut seen = record.seen.borrow_mut();
                    let found = seen.iter().position(|seen| like(seen).is_some());
                    found.and_then(|at| seen.remove(at))
                };
                match found.as_ref().and_then(&like) {
                    Some(found) => return found,
                    None => record.more.notified().await,
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await.ok();
        found.unwrap_or_else(|| {
            panic!(
                "what was waited for did not come; what came: {:?}",
                record.seen
            )
        })
    }

    /// The next message.
    pub(crate) async fn message(&self, shard: usize) -> Vec<u8> {
        let bytes = |seen: &Seen| match seen {
            Seen::Message { bytes, .. } => Some(bytes.clone()),
            Seen::Event(_) => None,
        };
        self.wait(shard, bytes).await
    }

    /// The next event for which `like` has something.
    pub(crate) async fn event<T>(&self, shard: usize, like: impl Fn(&PeerEvent) -> Option<T>) -> T {
        let event = |seen: &Seen| match seen {
            Seen::Event(event) => like(event),
            Seen::Message { .. } => None,
        };
        self.wait(shard, event).await
    }

    /// Ends it as a process that is killed does.
    pub(crate) async fn kill(mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            // It was aborted, so it has ended with that or by itself.
            let _ = task.await;
        }
        for shard in &self.shards {
            shard.endpoint.close_all();
        }
    }
}
