//! A shard that answers what the query says: `now` at once, `hop` by way of the next shard, `disk` after a durable
//! write, `big N` with N bytes, `never` not at all.

use cql::frame::header::HEADER_BYTES;
use cql::frame::response::{Prologue, begin, put_ready, put_void};
use cql::frame::{Header, Opcode, Request, RequestFrame};
use model::env::{FileId, IoOutcome, IoRequest, IoTag, OpenMode};
use model::time::BootNanos;
use server::process::Factory;
use server::shard::{ClientId, ClientInfo, Effects, Shard};
use std::collections::HashMap;

pub struct Echo;

pub struct EchoShard {
    index: u16,
    shards: u16,
    next_tag: u64,
    waiting: HashMap<IoTag, (ClientId, Header)>,
    clients: usize,
    draining: bool,
}

pub enum Hop {
    Forth { client: ClientId, header: Header },
    Back { client: ClientId, header: Header },
}

const FILE: FileId = FileId(7);

impl Factory for Echo {
    type Shard = EchoShard;

    fn make(&self, index: u16, shards: u16) -> EchoShard {
        EchoShard {
            index,
            shards,
            next_tag: 1,
            waiting: HashMap::new(),
            clients: 0,
            draining: false,
        }
    }
}

impl EchoShard {
    fn answer(client: ClientId, header: Header, length: usize, out: &mut Effects<Hop>) {
        out.respond(client, |out| {
            let start = out.len();
            let envelope = begin(out, header.version, header.stream, Opcode::Result);
            put_void(out);
            out.resize((start + HEADER_BYTES + length).max(out.len()), b'x');
            envelope.finish(out, &Prologue::default());
        });
    }
}

impl Shard for EchoShard {
    type Message = Hop;

    fn start(&mut self, out: &mut Effects<Hop>) {
        let path = format!("echo-{}", self.index);
        out.io.submit(
            IoTag(0),
            IoRequest::Open {
                file: FILE,
                path,
                mode: OpenMode::Create,
            },
        );
    }

    fn is_ready(&self) -> bool {
        self.next_tag > 1
    }

    fn drain(&mut self, _out: &mut Effects<Hop>) {
        self.draining = true;
    }

    fn is_drained(&self) -> bool {
        self.draining && self.waiting.is_empty()
    }

    fn on_client_connected(&mut self, _client: ClientId, _info: &ClientInfo) {
        self.clients += 1;
    }

    fn on_client_frame(&mut self, client: ClientId, frame: RequestFrame, out: &mut Effects<Hop>) {
        let header = frame.header;
        match frame.message().expect("the test's client is sound").request {
            Request::Startup(_) => {
                out.respond(client, |out| put_ready(out, header.version, header.stream))
            }
            Request::Query(query) => match query.text.split_once(' ').unwrap_or((query.text, "")) {
                ("now", _) => Self::answer(client, header, 0, out),
                ("big", length) => {
                    Self::answer(client, header, length.parse().expect("a number"), out)
                }
                ("hop", _) => {
                    out.messages.push((
                        (self.index + 1) % self.shards,
                        Hop::Forth { client, header },
                    ));
                }
                ("disk", _) => {
                    let tag = IoTag(self.next_tag);
                    self.next_tag += 1;
                    self.waiting.insert(tag, (client, header));
                    let write = IoRequest::Write {
                        file: FILE,
                        offset: tag.0 * 8,
                        data: vec![1; 8],
                    };
                    out.io.submit(
                        tag,
                        IoRequest::Chain(vec![write, IoRequest::Sync { file: FILE }]),
                    );
                }
                _ => {}
            },
            other => panic!("{other:?}"),
        }
    }

    fn on_client_closed(&mut self, _client: ClientId, _out: &mut Effects<Hop>) {
        self.clients -= 1;
    }

    fn on_shard_messages(&mut self, from: u16, batch: &mut Vec<Hop>, out: &mut Effects<Hop>) {
        for hop in batch.drain(..) {
            match hop {
                Hop::Forth { client, header } => {
                    out.messages.push((from, Hop::Back { client, header }))
                }
                Hop::Back { client, header } => Self::answer(client, header, 0, out),
            }
        }
    }

    fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, out: &mut Effects<Hop>) {
        outcome.expect("the disk works");
        match self.waiting.remove(&tag) {
            Some((client, header)) => Self::answer(client, header, 0, out),
            None => self.next_tag = 2,
        }
    }

    fn end_of_turn(&mut self, _out: &mut Effects<Hop>) -> Option<BootNanos> {
        None
    }

    fn describe(&self) -> String {
        format!("echo {} with {} clients", self.index, self.clients)
    }
}
