//! The metadata log: a small checksummed file in which the node keeps what it is and every change of the schema.
//!
//! ```text
//! file   := head:64 record*                      (docs/formats/metalog.md); the head says up to where it was written at once
//! record := length:u32le crc:u32le sequence:u64le synced:u64le payload       crc over the length and all that follows the crc
//! ```
//! One write and sync is in flight; entries that arrive meanwhile go with the next. What must stay true:
//! - a ticket is reported only when its entry, and every entry before it, is synced;
//! - a record says how far the file was synced when it was made. Bytes below such a mark that do not check out are
//!   corruption, which stops the start and names the offset; above every mark they are a torn end, which is cut off;
//! - after a failed write or sync nothing is appended any more, because what is durable is no longer known. A full disk
//!   alone is no such failure: what it took is cut off again, all who wait are told, and the log goes on.
//!
//! When entries have piled up the owner replaces them all by fewer that say the same ([`MetaLog::replace`]): a new file
//! is written, synced and renamed over the old one.

use crate::error::StoreError;
use crate::format::{self, HEAD_BYTES, u32_at, u64_at};
use crate::layout::ROOT;
use model::env::{FileId, IoDone, IoError, IoOutcome, IoQueue, IoRequest, IoTag, OpenMode};

const MAGIC: [u8; 8] = *b"HELNMETA";
const PATH: &str = "metadata.log";
const NEW_PATH: &str = "metadata.log.new";
const RECORD_HEAD: usize = 24;
/// No file begins with a later sequence, so that there is always a next one.
const MOST_SEQUENCE: u64 = 1 << 62;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Opening,
    Reading,
    /// Writing a whole file anew: the first, or one of fewer entries.
    Replacing,
    /// Putting it in the place of the old one.
    Renaming,
    /// Cutting off a torn end, and writing again what nobody vouches for.
    Mending,
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
    /// Number of the open file.
    file: u64,
    step: Step,
    was_read: bool,
    entries: Vec<Vec<u8>>,
    /// Where the next record goes.
    end: u64,
    /// Below this the file is synced.
    synced: u64,
    next_sequence: u64,
    /// Sequence of the first record of the write in flight.
    first_sequence: u64,
    queued: Vec<(u64, Vec<u8>)>,
    /// Entries that are to replace all, and the ticket of that.
    replacement: Option<(u64, Vec<Vec<u8>>)>,
    /// Tickets of entries and replacements that the replacement covers.
    covered: Vec<u64>,
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
            file: 1,
            step: Step::Opening,
            was_read: false,
            entries: Vec::new(),
            end: HEAD_BYTES as u64,
            synced: HEAD_BYTES as u64,
            next_sequence: 1,
            first_sequence: 1,
            queued: Vec::new(),
            replacement: None,
            covered: Vec::new(),
            in_flight: Vec::new(),
            durable: Vec::new(),
            failed: Vec::new(),
            error: None,
        };
        let (file, path) = (log.file(), PATH.to_owned());
        log.submit(
            io,
            IoRequest::Open {
                file,
                path,
                mode: OpenMode::Write,
            },
        );
        log
    }

    fn file(&self) -> FileId {
        FileId(self.space | self.file)
    }

    fn submit(&mut self, io: &mut IoQueue, request: IoRequest) {
        self.tags += 1;
        io.submit(IoTag(self.space | self.tags), request);
    }

    /// Whether it is read and takes entries.
    pub fn is_ready(&self) -> bool {
        self.was_read && self.step != Step::Failed
    }

    /// Why it cannot be read or written any more.
    pub fn error(&self) -> Option<&StoreError> {
        self.error.as_ref()
    }

    /// The entries read at the start, once.
    pub fn take_entries(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.entries)
    }

    /// Bytes of the file: what the owner weighs a replacement by.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Appends an entry; its ticket is reported when it is durable, or why it is not.
    pub fn append(&mut self, entry: &[u8], ticket: u64, io: &mut IoQueue) {
        if let Some(error) = &self.error {
            let error = StoreError::Poisoned(error.to_string());
            return self.failed.push((ticket, error));
        }
        assert!(
            self.is_ready(),
            "entries are appended to a log that was read"
        );
        self.queued.push((ticket, entry.to_vec()));
        self.go_on(io);
    }

    /// Replaces everything, what was appended before included, by these entries, in one step. The ticket is reported
    /// when that is durable.
    pub fn replace(&mut self, entries: Vec<Vec<u8>>, ticket: u64, io: &mut IoQueue) {
        if let Some(error) = &self.error {
            let error = StoreError::Poisoned(error.to_string());
            return self.failed.push((ticket, error));
        }
        assert!(self.is_ready(), "a log is replaced when it was read");
        // What waits is covered by the replacement, and durable when that is.
        let waiting = self.queued.drain(..).map(|(ticket, _)| ticket);
        let waiting: Vec<u64> = waiting.collect();
        if let Some((earlier, _)) = self.replacement.replace((ticket, entries)) {
            self.covered.push(earlier);
        }
        self.covered.extend(waiting);
        self.go_on(io);
    }

    /// Tickets of entries that became durable since the last call.
    pub fn durable_tickets(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.durable)
    }

    /// Tickets of entries that may not be durable.
    pub fn failed_tickets(&mut self) -> Vec<(u64, StoreError)> {
        std::mem::take(&mut self.failed)
    }

    /// Submits the next write, if none is in flight.
    fn go_on(&mut self, io: &mut IoQueue) {
        if self.step != Step::Ready {
            return;
        }
        if let Some((ticket, entries)) = self.replacement.take() {
            self.in_flight.append(&mut self.covered);
            self.in_flight.push(ticket);
            return self.write_anew(&entries, io);
        }
        if self.queued.is_empty() {
            return;
        }
        let mut data = Vec::new();
        self.first_sequence = self.next_sequence;
        for (ticket, payload) in self.queued.drain(..) {
            put_record(&mut data, self.next_sequence, self.synced, &payload);
            self.next_sequence += 1;
            self.in_flight.push(ticket);
        }
        let (file, offset) = (self.file(), self.end);
        self.end += data.len() as u64;
        self.step = Step::Writing;
        let write = IoRequest::Write { file, offset, data };
        self.submit(io, IoRequest::Chain(vec![write, IoRequest::Sync { file }]));
    }

    /// Writes a file of these entries, which [`Self::rename`] puts in the place of the old one.
    fn write_anew(&mut self, entries: &[Vec<u8>], io: &mut IoQueue) {
        self.step = Step::Replacing;
        self.first_sequence = self.next_sequence;
        let mut records = Vec::new();
        for payload in entries {
            put_record(&mut records, self.next_sequence, HEAD_BYTES as u64, payload);
            self.next_sequence += 1;
        }
        // It is renamed to its place when it is synced, so all of it is whole there.
        let whole = (HEAD_BYTES + records.len()) as u64;
        let mut data = format::head(MAGIC, &whole.to_le_bytes()).to_vec();
        data.append(&mut records);
        self.end = data.len() as u64;
        self.file += 1;
        let file = self.file();
        let chain = vec![
            IoRequest::Remove {
                path: NEW_PATH.to_owned(),
            },
            IoRequest::Open {
                file,
                path: NEW_PATH.to_owned(),
                mode: OpenMode::Create,
            },
            IoRequest::Write {
                file,
                offset: 0,
                data,
            },
            IoRequest::Sync { file },
        ];
        self.submit(io, IoRequest::Chain(chain));
    }

    fn rename(&mut self, io: &mut IoQueue) {
        self.step = Step::Renaming;
        let old = FileId(self.space | (self.file - 1));
        let chain = vec![
            IoRequest::Rename {
                from: NEW_PATH.to_owned(),
                to: PATH.to_owned(),
            },
            IoRequest::SyncDirectory {
                path: ROOT.to_owned(),
            },
            IoRequest::Close { file: old },
        ];
        self.submit(io, IoRequest::Chain(chain));
    }

    /// The disk had no room for what was in flight: it is as if nobody had asked for it.
    fn take_back(&mut self, io: &mut IoQueue) {
        let file = self.file();
        let chain = if self.step == Step::Replacing {
            self.file -= 1;
            let path = NEW_PATH.to_owned();
            vec![IoRequest::Close { file }, IoRequest::Remove { path }]
        } else {
            let length = self.synced;
            vec![
                IoRequest::SetLength { file, length },
                IoRequest::Sync { file },
            ]
        };
        self.end = self.synced;
        self.next_sequence = self.first_sequence;
        // What was to follow would follow nothing.
        let queued = self.queued.drain(..).map(|(ticket, _)| ticket);
        let tickets = self.in_flight.drain(..).chain(queued);
        self.failed
            .extend(tickets.map(|ticket| (ticket, StoreError::DiskFull)));
        self.step = Step::Mending;
        self.submit(io, IoRequest::Chain(chain));
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
                let (file, length) = (self.file(), length as usize);
                // A process that was killed may have renamed it and not come to the sync.
                let path = ROOT.to_owned();
                let chain = vec![
                    IoRequest::SyncDirectory { path },
                    IoRequest::Read {
                        file,
                        offset: 0,
                        length,
                    },
                ];
                self.submit(io, IoRequest::Chain(chain));
            }
            (Step::Opening, Err(IoError::NotFound(_))) => self.write_anew(&[], io),
            (Step::Reading, Ok(IoDone::Read(bytes))) => self.read(&bytes, io),
            (Step::Replacing, Ok(_)) => self.rename(io),
            (Step::Writing | Step::Renaming | Step::Mending, Ok(_)) => {
                self.synced = self.end;
                self.durable.append(&mut self.in_flight);
                self.step = Step::Ready;
                self.was_read = true;
                self.go_on(io);
            }
            (_, Ok(_)) => {}
            (Step::Writing | Step::Replacing, Err(IoError::Full(_))) if self.was_read => {
                self.take_back(io);
            }
            (_, Err(error)) => self.fail(StoreError::io(PATH, error)),
        }
        true
    }

    fn read(&mut self, bytes: &[u8], io: &mut IoQueue) {
        let whole = match format::check_head(PATH, MAGIC, bytes) {
            Ok(fields) => u64_at(fields, 0),
            Err(error) => return self.fail(error),
        };
        let mut at = HEAD_BYTES;
        let mut vouched = whole.max(HEAD_BYTES as u64);
        while let Some(record) = Record::at(bytes, at) {
            if !self.entries.is_empty() && record.sequence != self.next_sequence {
                break;
            }
            vouched = vouched.max(record.synced);
            let is_beyond = self.entries.is_empty() && record.sequence > MOST_SEQUENCE;
            // What was synced before a record was made is before it.
            if is_beyond || record.synced > at as u64 {
                let what = "a record that nobody writes there";
                return self.fail(StoreError::corrupt(PATH, at as u64, what));
            }
            self.entries.push(record.payload.to_vec());
            self.next_sequence = record.sequence + 1;
            at = record.end;
        }
        let later = (at + 1..bytes.len()).filter_map(|start| Record::at(bytes, start));
        if later.into_iter().any(|record| record.synced > at as u64) || vouched > at as u64 {
            let what = "a record that was synced is not what was written";
            return self.fail(StoreError::corrupt(PATH, at as u64, what));
        }
        self.end = at as u64;
        self.synced = vouched;
        if vouched == self.end && at == bytes.len() {
            self.step = Step::Ready;
            self.was_read = true;
            return;
        }
        // A process that was killed leaves what the system shows and the disk may not hold.
        self.step = Step::Mending;
        let file = self.file();
        let data = bytes[vouched as usize..at].to_vec();
        let chain = vec![
            IoRequest::SetLength {
                file,
                length: self.end,
            },
            IoRequest::Write {
                file,
                offset: vouched,
                data,
            },
            IoRequest::Sync { file },
        ];
        self.submit(io, IoRequest::Chain(chain));
    }

    fn fail(&mut self, error: StoreError) {
        let mut tickets = std::mem::take(&mut self.in_flight);
        tickets.append(&mut self.covered);
        tickets.extend(self.replacement.take().map(|(ticket, _)| ticket));
        tickets.extend(self.queued.drain(..).map(|(ticket, _)| ticket));
        let failed = tickets.into_iter().map(|ticket| (ticket, error.clone()));
        self.failed.extend(failed);
        self.step = Step::Failed;
        self.error = Some(error);
    }
}

fn put_record(out: &mut Vec<u8>, sequence: u64, synced: u64, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(payload);
    let crc = checksum(payload.len() as u32, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(length: u32, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(rest);
    hasher.finalize()
}

/// A whole record.
struct Record<'a> {
    sequence: u64,
    synced: u64,
    payload: &'a [u8],
    end: usize,
}

impl<'a> Record<'a> {
    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let head = bytes.get(at..at.checked_add(RECORD_HEAD)?)?;
        let length = u32_at(head, 0);
        let end = (at + RECORD_HEAD).checked_add(length as usize)?;
        let checked = bytes.get(at + 8..end)?;
        let sequence = u64_at(head, 8);
        // A run of zeros would pass for an empty record but for its checksum; sequences begin at one.
        if sequence == 0 || checksum(length, checked) != u32_at(head, 4) {
            return None;
        }
        Some(Self {
            sequence,
            synced: u64_at(head, 16),
            payload: &bytes[at + RECORD_HEAD..end],
            end,
        })
    }
}

#[cfg(test)]
mod tests;
