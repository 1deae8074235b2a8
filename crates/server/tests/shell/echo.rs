//! A shard that answers what the query says: `now` at once, `hop` by way of the next shard, `disk` after a durable
//! write, `big N` with N bytes, `ask ADDRESS` once the node there has answered, `never` not at all.

use bytes::Bytes;
use cluster::internode::admission::{Admission, Place};
use cluster::internode::{Class, Direction, PeerEvent, PeerIdentity};
use cql::frame::header::HEADER_BYTES;
use cql::frame::response::{Prologue, begin, put_ready, put_supported, put_void};
use cql::frame::{Header, Opcode, Request, RequestFrame};
use model::env::{FileId, IoRequest, IoTag, OpenMode};
use model::time::{BootNanos, Now};
use node::client::ClientId;
use node::effects::{Effects, SlowWork, WorkDone, WorkOrder};
use node::execute::admin::{AdminAnswer, AdminError, AdminWork};
use node::machine::{Event, Machine, TurnEnd};
use node::message::{Moment, OnBehalf, ShardMessage};
use server::process::Factory;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub struct Echo;

/// The same on a node that talks to others.
pub struct EchoPeer {
    /// What others are told.
    pub address: SocketAddr,
}

pub struct EchoShard {
    index: u16,
    /// What other nodes are told, if there are any.
    address: Option<SocketAddr>,
    shards: u16,
    ready: bool,
    next: u64,
    waiting: HashMap<u64, (ClientId, Header)>,
    /// What other nodes were asked and have not answered.
    asked: HashMap<u64, SocketAddr>,
    clients: HashMap<ClientId, SocketAddr>,
    draining: bool,
}

const FILE: FileId = FileId(7);
const OPENED: IoTag = IoTag(0);
/// What a message to another node begins with.
const QUESTION: u8 = 1;
const ANSWER: u8 = 2;

impl Factory for Echo {
    type Shard = EchoShard;

    fn make(&self, index: u16, shards: u16) -> EchoShard {
        EchoShard::new(index, shards, None)
    }
}

impl Factory for EchoPeer {
    type Shard = EchoShard;

    fn make(&self, index: u16, shards: u16) -> EchoShard {
        EchoShard::new(index, shards, Some(self.address))
    }
}

fn put_answer(out: &mut Vec<u8>, header: Header, length: usize) {
    let start = out.len();
    let envelope = begin(out, header.version, header.stream, Opcode::Result);
    put_void(out);
    out.resize((start + HEADER_BYTES + length).max(out.len()), b'x');
    envelope.finish(out, &Prologue::default());
}

impl EchoShard {
    fn new(index: u16, shards: u16, address: Option<SocketAddr>) -> Self {
        Self {
            index,
            address,
            shards,
            ready: false,
            next: 1,
            waiting: HashMap::new(),
            asked: HashMap::new(),
            clients: HashMap::new(),
            draining: false,
        }
    }

    fn answer(client: ClientId, header: Header, length: usize, out: &mut Effects) {
        out.respond(client, |out| put_answer(out, header, length));
    }

    fn wait(&mut self, client: ClientId, header: Header) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, (client, header));
        self.next
    }

    fn query(
        &mut self,
        client: ClientId,
        header: Header,
        text: &str,
        frame: &RequestFrame,
        out: &mut Effects,
    ) {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("now", _) => Self::answer(client, header, 0, out),
            ("big", length) => Self::answer(client, header, length.parse().expect("a number"), out),
            ("hop", _) => {
                let request = self.wait(client, header);
                let on_behalf = OnBehalf {
                    version: header.version,
                    keyspace: None,
                    user: None,
                    address: self.clients[&client],
                    moment: Moment {
                        now_micros: 0,
                        seed: 0,
                    },
                };
                let message = ShardMessage::Forward {
                    request,
                    client: on_behalf,
                    frame: frame.clone(),
                };
                out.messages.push(((self.index + 1) % self.shards, message));
            }
            ("ask", address) => {
                let request = self.wait(client, header);
                let to = address.parse().expect("an address");
                self.asked.insert(request, to);
                Self::ask(request, to, out);
            }
            ("disk", _) => {
                let tag = self.wait(client, header);
                let write = IoRequest::Write {
                    file: FILE,
                    offset: tag * 8,
                    data: vec![1; 8],
                };
                out.io.submit(
                    IoTag(tag),
                    IoRequest::Chain(vec![write, IoRequest::Sync { file: FILE }]),
                );
            }
            ("work", _) => {
                let number = self.wait(client, header);
                out.work.push(WorkOrder {
                    number,
                    deadline: BootNanos(u64::MAX),
                    work: SlowWork::HashPassword {
                        password: "x".into(),
                        cost: 4,
                    },
                });
            }
            _ => {}
        }
    }
}

impl EchoShard {
    fn start(&self, out: &mut Effects) {
        if let (0, Some(address)) = (self.index, self.address) {
            let place = Place {
                datacenter: "dc1".into(),
                rack: "r1".into(),
            };
            let mut admission = Admission::starting("C".into(), place, address, self.shards);
            admission.own.host_id = uuid::Uuid::from_u128(u128::from(address.port()));
            admission.own.node = Some(cluster::topology::NodeId(u32::from(address.port())));
            admission.ready = true;
            out.peers.admission = Some(Arc::new(admission));
        }
        let path = format!("echo-{}", self.index);
        out.io.submit(
            OPENED,
            IoRequest::Open {
                file: FILE,
                path,
                mode: OpenMode::Create,
            },
        );
    }

    fn on_client_frame(&mut self, client: ClientId, frame: &RequestFrame, out: &mut Effects) {
        let header = frame.header;
        let (version, stream) = (header.version, header.stream);
        match frame.message().expect("the test's client is sound").request {
            Request::Startup(startup) => {
                out.respond(client, |out| put_ready(out, version, stream));
                out.started
                    .push((client, startup.agree(version).expect("sound options")));
            }
            Request::Options => out.respond(client, |out| {
                let shard = [("SCYLLA_SHARD", self.index.to_string())];
                put_supported(out, version, stream, "3.4.7", &shard);
            }),
            Request::Query(query) => self.query(client, header, query.text, frame, out),
            other => panic!("{other:?}"),
        }
    }

    fn on_peer_message(&mut self, from: &PeerIdentity, message: &Bytes, out: &mut Effects) {
        let (kind, request) = message.split_first().expect("a message says something");
        if *kind == QUESTION {
            return out.peers.send(from.address, Class::Small, |out| {
                out.push(ANSWER);
                out.extend_from_slice(request);
            });
        }
        let request = u64::from_le_bytes(request.try_into().expect("a request's number"));
        // Asked twice, it was answered twice.
        if self.asked.remove(&request).is_some() {
            let (client, header) = self.waiting.remove(&request).expect("it was asked");
            Self::answer(client, header, 0, out);
        }
    }

    /// A new connection: what was lost with the one before is asked again.
    fn on_peer_event(&mut self, event: &PeerEvent, out: &mut Effects) {
        if let PeerEvent::Connected {
            address,
            direction: Direction::Outgoing,
            ..
        } = event
        {
            let asked = self.asked.iter().filter(|(_, to)| *to == address);
            asked.for_each(|(request, to)| Self::ask(*request, *to, out));
        }
    }

    fn ask(request: u64, to: SocketAddr, out: &mut Effects) {
        out.peers.send(to, Class::Small, |out| {
            out.push(QUESTION);
            out.extend_from_slice(&request.to_le_bytes());
        });
    }

    fn on_shard_messages(&mut self, from: u16, batch: &mut Vec<ShardMessage>, out: &mut Effects) {
        for message in batch.drain(..) {
            match message {
                ShardMessage::Forward { request, frame, .. } => {
                    let mut envelope = Vec::new();
                    put_answer(&mut envelope, frame.header, 0);
                    let envelope = Bytes::from(envelope);
                    out.messages.push((
                        from,
                        ShardMessage::Forwarded {
                            request,
                            envelope,
                            keyspace: None,
                        },
                    ));
                }
                ShardMessage::Forwarded {
                    request, envelope, ..
                } => {
                    let (client, _) = self.waiting.remove(&request).expect("it was asked");
                    out.respond(client, |out| out.extend_from_slice(&envelope));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Machine for EchoShard {
    fn on(&mut self, event: Event<'_>, _now: Now, out: &mut Effects) {
        match event {
            Event::Start => self.start(out),
            Event::ClientConnected {
                client, address, ..
            } => drop(self.clients.insert(client, address)),
            Event::ClientFrame { client, frame } => self.on_client_frame(client, &frame, out),
            Event::ClientClosed(client) => {
                self.clients.remove(&client).expect("it was connected");
            }
            Event::Messages { from, batch } => self.on_shard_messages(from, batch, out),
            Event::PeerMessage { from, message, .. } => self.on_peer_message(from, &message, out),
            Event::Peer(event) => self.on_peer_event(event, out),
            Event::Io { tag, outcome } => {
                outcome.expect("the disk works");
                match self.waiting.remove(&tag.0) {
                    Some((client, header)) => Self::answer(client, header, 0, out),
                    None => self.ready = true,
                }
            }
            Event::Work { number, done } => {
                assert!(matches!(done, WorkDone::Hashed(Ok(_))));
                let (client, header) = self.waiting.remove(&number).expect("it was asked");
                Self::answer(client, header, 0, out);
            }
            Event::Admin { id, work } => {
                let result = match work {
                    AdminWork::Tables(work) if work.keyspace.is_none() => Ok(AdminAnswer::Done),
                    _ => Err(AdminError::Invalid("no such keyspace".into())),
                };
                out.admin.push((id, result));
            }
            Event::Drain => self.draining = true,
        }
    }

    fn end_of_turn(&mut self, _now: Now, _out: &mut Effects) -> TurnEnd {
        TurnEnd {
            more: false,
            wake: None,
        }
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn failure(&self) -> Option<&str> {
        None
    }

    fn is_quiet(&self) -> bool {
        true
    }

    fn is_drained(&self) -> bool {
        self.draining && self.waiting.is_empty()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("reads", 7), ("echoes", self.next)]
    }

    fn describe(&self) -> String {
        format!("echo {} with {} clients", self.index, self.clients.len())
    }
}
