//! The metadata log: a small checksummed file in which the node keeps what it is and every change of the schema.
//!
//! ```text
//! file   := head:64 record*                                                  (docs/formats/metalog.md)
//! record := length:u32le crc:u32le sequence:u64le payload        crc over sequence and payload
//! ```
//! One write and sync is in flight; entries that arrive meanwhile go with the next. What must stay true:
//! - a ticket is reported only when its entry, and every entry before it, is synced;
//! - only the end of the file may be torn: bytes that do not check out and are followed by a record that does are
//!   corruption, which stops the start and names the offset;
//! - after a failed write or sync nothing is appended any more, because what is durable is no longer known.

use crate::error::StoreError;
use crate::format::{self, HEAD_BYTES, u32_at, u64_at};
use model::env::{FileId, IoDone, IoError, IoOutcome, IoQueue, IoRequest, IoTag, OpenMode};

const MAGIC: [u8; 8] = *b"HELNMETA";
const PATH: &str = "metadata.log";
const RECORD_HEAD: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Opening,
    Reading,
    Creating,
    /// Cutting off a torn end.
    Cutting,
    Ready,
    /// A write and sync is in flight.
    Writing,
    Failed,
}

/// The metadata log.
#[derive(Debug)]
pub struct MetaLog {
    space: u64,
    tags: u64,
    step: Step,
    entries: Vec<Vec<u8>>,
    /// Where the next record goes.
    end: u64,
    next_sequence: u64,
    queued: Vec<(u64, Vec<u8>)>,
    in_flight: Vec<u64>,
    durable: Vec<u64>,
    failed: Vec<(u64, StoreError)>,
    error: Option<StoreError>,
}

impl MetaLog {
    /// Begins reading it. `io_space` is the upper byte of its tags and file ids.
    pub fn open(io_space: u8, io: &mut IoQueue) -> Self {
        let mut log = Self {
            space: u64::from(io_space) << 56,
            tags: 0,
            step: Step::Opening,
            entries: Vec::new(),
            end: HEAD_BYTES as u64,
            next_sequence: 1,
            queued: Vec::new(),
            in_flight: Vec::new(),
            durable: Vec::new(),
            failed: Vec::new(),
            error: None,
        };
        let file = log.file();
        log.submit(
            io,
            IoRequest::Open {
                file,
                path: PATH.to_owned(),
                mode: OpenMode::Write,
            },
        );
        log
    }

    fn file(&self) -> FileId {
        FileId(self.space | 1)
    }

    fn submit(&mut self, io: &mut IoQueue, request: IoRequest) {
        self.tags += 1;
        io.submit(IoTag(self.space | self.tags), request);
    }

    /// Whether it is read and takes entries.
    pub fn is_ready(&self) -> bool {
        matches!(self.step, Step::Ready | Step::Writing)
    }

    /// Why it cannot be read or written any more.
    pub fn error(&self) -> Option<&StoreError> {
        self.error.as_ref()
    }

    /// The entries read at the start, once.
    pub fn take_entries(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.entries)
    }

    /// Appends an entry; its ticket is reported when it is durable, or why it is not.
    pub fn append(&mut self, entry: &[u8], ticket: u64, io: &mut IoQueue) {
        if let Some(error) = &self.error {
            self.failed
                .push((ticket, StoreError::Poisoned(error.to_string())));
            return;
        }
        assert!(
            self.is_ready(),
            "entries are appended to a log that was read"
        );
        self.queued.push((ticket, entry.to_vec()));
        self.write(io);
    }

    /// Tickets of entries that became durable since the last call.
    pub fn durable_tickets(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.durable)
    }

    /// Tickets of entries that may not be durable.
    pub fn failed_tickets(&mut self) -> Vec<(u64, StoreError)> {
        std::mem::take(&mut self.failed)
    }

    fn write(&mut self, io: &mut IoQueue) {
        if self.step != Step::Ready || self.queued.is_empty() {
            return;
        }
        let mut data = Vec::new();
        for (ticket, payload) in self.queued.drain(..) {
            put_record(&mut data, self.next_sequence, &payload);
            self.next_sequence += 1;
            self.in_flight.push(ticket);
        }
        let (file, offset) = (self.file(), self.end);
        self.end += data.len() as u64;
        self.step = Step::Writing;
        self.submit(
            io,
            IoRequest::Chain(vec![
                IoRequest::Write { file, offset, data },
                IoRequest::Sync { file },
            ]),
        );
    }

    /// Takes the outcome of one of its requests; returns whether the tag was its own.
    pub fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, io: &mut IoQueue) -> bool {
        if tag.0 >> 56 != self.space >> 56 {
            return false;
        }
        if tag.0 != self.space | self.tags {
            return true;
        }
        match (self.step, outcome) {
            (Step::Opening, Ok(IoDone::Opened { length })) => {
                self.step = Step::Reading;
                let file = self.file();
                self.submit(
                    io,
                    IoRequest::Read {
                        file,
                        offset: 0,
                        length: length as usize,
                    },
                );
            }
            (Step::Opening, Err(IoError::NotFound(_))) => self.create(io),
            (Step::Reading, Ok(IoDone::Read(bytes))) => self.read(&bytes, io),
            (Step::Creating | Step::Cutting, Ok(_)) => self.step = Step::Ready,
            (Step::Writing, Ok(_)) => {
                self.durable.append(&mut self.in_flight);
                self.step = Step::Ready;
                self.write(io);
            }
            (_, Ok(_)) => {}
            (_, Err(error)) => self.fail(StoreError::io(PATH, error)),
        }
        true
    }

    /// The first start. A crash in the middle leaves a file without a whole head, which the next start makes anew.
    fn create(&mut self, io: &mut IoQueue) {
        self.step = Step::Creating;
        let file = self.file();
        let data = format::head(MAGIC, &[]).to_vec();
        let chain = vec![
            IoRequest::Remove {
                path: PATH.to_owned(),
            },
            IoRequest::Open {
                file,
                path: PATH.to_owned(),
                mode: OpenMode::Create,
            },
            IoRequest::Write {
                file,
                offset: 0,
                data,
            },
            IoRequest::Sync { file },
            IoRequest::SyncDirectory {
                path: crate::layout::ROOT.to_owned(),
            },
        ];
        self.submit(io, IoRequest::Chain(chain));
    }

    fn read(&mut self, bytes: &[u8], io: &mut IoQueue) {
        if bytes.len() < HEAD_BYTES || bytes.iter().all(|byte| *byte == 0) {
            return self.create(io);
        }
        if let Err(error) = format::check_head(PATH, MAGIC, bytes) {
            return self.fail(error);
        }
        let mut at = HEAD_BYTES;
        while let Some((payload, next)) = record_at(bytes, at, self.next_sequence) {
            self.entries.push(payload.to_vec());
            self.next_sequence += 1;
            at = next;
        }
        let later =
            (at + 1..bytes.len()).any(|start| holds_later_record(bytes, start, self.next_sequence));
        if later {
            return self.fail(StoreError::corrupt(
                PATH,
                at as u64,
                "a record is damaged and later ones are not",
            ));
        }
        self.end = at as u64;
        if at == bytes.len() {
            self.step = Step::Ready;
            return;
        }
        self.step = Step::Cutting;
        let file = self.file();
        let cut = IoRequest::SetLength {
            file,
            length: self.end,
        };
        self.submit(io, IoRequest::Chain(vec![cut, IoRequest::Sync { file }]));
    }

    fn fail(&mut self, error: StoreError) {
        let tickets: Vec<u64> = self
            .in_flight
            .drain(..)
            .chain(self.queued.drain(..).map(|(ticket, _)| ticket))
            .collect();
        self.failed
            .extend(tickets.into_iter().map(|ticket| (ticket, error.clone())));
        self.step = Step::Failed;
        self.error = Some(error);
    }
}

fn put_record(out: &mut Vec<u8>, sequence: u64, payload: &[u8]) {
    let mut checked = Vec::with_capacity(8 + payload.len());
    checked.extend_from_slice(&sequence.to_le_bytes());
    checked.extend_from_slice(payload);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&checked).to_le_bytes());
    out.extend_from_slice(&checked);
}

/// The record at an offset, if it is whole and has this sequence number; and where the next one is.
fn record_at(bytes: &[u8], at: usize, sequence: u64) -> Option<(&[u8], usize)> {
    let head = bytes.get(at..at + RECORD_HEAD)?;
    let length = u32_at(head, 0) as usize;
    let end = at.checked_add(RECORD_HEAD)?.checked_add(length)?;
    let checked = bytes.get(at + 8..end)?;
    let whole = crc32fast::hash(checked) == u32_at(head, 4) && u64_at(checked, 0) == sequence;
    whole.then_some((&checked[8..], end))
}

/// Whether a whole record with a later sequence number begins at an offset: then what comes before it was synced once.
fn holds_later_record(bytes: &[u8], at: usize, sequence: u64) -> bool {
    let Some(head) = bytes.get(at..at + RECORD_HEAD) else {
        return false;
    };
    let found = u64_at(head, 8);
    found > sequence && found < sequence + 1_000_000 && record_at(bytes, at, found).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs requests against a file held in memory.
    struct Disk {
        file: Option<Vec<u8>>,
    }

    impl Disk {
        fn run(&mut self, log: &mut MetaLog, io: &mut IoQueue) {
            while !io.is_empty() {
                let requests: Vec<_> = io.drain().collect();
                for (tag, request) in requests {
                    let outcome = self.answer(request);
                    log.on_io(tag, outcome, io);
                }
            }
        }

        fn answer(&mut self, request: IoRequest) -> IoOutcome {
            match request {
                IoRequest::Chain(requests) => {
                    let mut last = Ok(IoDone::Done);
                    for request in requests {
                        last = self.answer(request);
                        last.clone()?;
                    }
                    last
                }
                IoRequest::Open {
                    mode: OpenMode::Create,
                    ..
                } => {
                    self.file = Some(Vec::new());
                    Ok(IoDone::Opened { length: 0 })
                }
                IoRequest::Open { path, .. } => match &self.file {
                    Some(file) => Ok(IoDone::Opened {
                        length: file.len() as u64,
                    }),
                    None => Err(IoError::NotFound(path)),
                },
                IoRequest::Read { .. } => Ok(IoDone::Read(self.file.clone().unwrap_or_default())),
                IoRequest::Write { offset, data, .. } => {
                    let file = self.file.as_mut().expect("open");
                    file.resize(file.len().max(offset as usize + data.len()), 0);
                    file[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
                    Ok(IoDone::Done)
                }
                IoRequest::SetLength { length, .. } => {
                    self.file.as_mut().expect("open").truncate(length as usize);
                    Ok(IoDone::Done)
                }
                _ => Ok(IoDone::Done),
            }
        }

        fn open(&mut self) -> (MetaLog, Vec<Vec<u8>>) {
            let mut io = IoQueue::default();
            let mut log = MetaLog::open(2, &mut io);
            self.run(&mut log, &mut io);
            let entries = log.take_entries();
            (log, entries)
        }
    }

    fn written(payloads: &[&[u8]]) -> Disk {
        let mut disk = Disk { file: None };
        let (mut log, entries) = disk.open();
        assert!(entries.is_empty());
        let mut io = IoQueue::default();
        for (ticket, payload) in payloads.iter().enumerate() {
            log.append(payload, ticket as u64, &mut io);
        }
        disk.run(&mut log, &mut io);
        assert_eq!(log.durable_tickets().len(), payloads.len());
        disk
    }

    #[test]
    fn entries_come_back_and_a_torn_end_is_cut() {
        let whole = written(&[b"one", b"two", b"three"]);
        let bytes = whole.file.clone().expect("written");
        for cut in HEAD_BYTES..=bytes.len() {
            let mut disk = Disk {
                file: Some(bytes[..cut].to_vec()),
            };
            let (mut log, entries) = disk.open();
            assert!(log.is_ready());
            assert_eq!(entries, [&b"one"[..], b"two", b"three"][..entries.len()]);
            let mut io = IoQueue::default();
            log.append(b"more", 9, &mut io);
            disk.run(&mut log, &mut io);
            let (_, again) = disk.open();
            assert_eq!(again.len(), entries.len() + 1);
        }
    }

    #[test]
    fn a_flipped_byte_before_the_end_is_named() {
        let bytes = written(&[b"one", b"two", b"three"]).file.expect("written");
        let last = bytes.len() - RECORD_HEAD - 5;
        for at in HEAD_BYTES..last {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let (log, _) = Disk {
                file: Some(damaged),
            }
            .open();
            assert!(
                matches!(log.error(), Some(StoreError::Corrupt { .. })),
                "byte {at}"
            );
        }
    }
}
