//! SSTables that somebody has placed beside a table's own, in the directory `refresh` of the table: a snapshot's, for one. They are
//! looked at first, all of them, and then what they hold is taken over.
//!
//! Looking, the shards share the files out among themselves; nothing is changed by it. Taking, each shard writes what is its own of every file into
//! SSTables of its own, as a compaction does that forgets nothing. So a file's name, its ids and whatever
//! else was true where it was written mean nothing here: what comes of it came without ids, at this moment.
//!
//! What must stay true: a file of another table, of another name, or that is damaged is refused before anything of any is taken; what was
//! taken is removed from the directory only when all shards have taken it.

use super::Store;
use super::cleanup::KeptTokens;
use super::compact::AtHand;
use super::flush::writer_options;
use super::job::{NewJob, Work};
use super::table::Then;
use super::verify::{Closeness, Verified};
use crate::error::StoreError;
use crate::io::Purpose;
use crate::ownership::Places;
use crate::sstable::{FOOTER_BYTES, FileName, Footer, SsTable, TAIL_BYTES, Tail};
use model::env::{Entry, FileId, IoDone, IoOutcome, IoQueue, IoRequest, OpenMode};
use model::schema::TableId;
use model::time::Now;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

/// The directory in a table's that files are placed in.
pub const PLACED: &str = "refresh";

/// What is done with files that are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Look,
    Take,
}

/// What is being read.
#[derive(Debug)]
enum Reading {
    List,
    /// The end of the first file that is left, from this byte on.
    Tail {
        file: FileId,
        start: u64,
    },
}

/// Files that are placed, being looked at or taken.
#[derive(Debug)]
pub(super) struct Placing {
    table: TableId,
    task: u64,
    aim: Aim,
    tokens: Arc<KeptTokens>,
    reading: Reading,
    /// Names and lengths of those that are not open yet.
    left: VecDeque<(FileName, u64)>,
    opened: VecDeque<Arc<SsTable>>,
    found: Verified,
}

impl Store {
    /// Looks at the files that are placed in a table's directory: its part of them, and whether all are of these tokens. The ticket is
    /// finished when that is done, and [`Self::take_verified`] has what was found.
    pub fn look_at_placed(
        &mut self,
        table: TableId,
        tokens: Arc<KeptTokens>,
        ticket: u64,
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        self.begin_placing((table, Aim::Look), tokens, ticket, io)
    }

    /// Takes over what the files hold of these tokens and of this shard's; the ticket is finished when that is durable. They stay where
    /// they are.
    pub fn take_placed(
        &mut self,
        table: TableId,
        tokens: Arc<KeptTokens>,
        ticket: u64,
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        self.begin_placing((table, Aim::Take), tokens, ticket, io)
    }

    /// Removes the files that this shard took last: when all shards have.
    pub fn remove_placed(&mut self, table: TableId, io: &mut IoQueue) {
        let Some(state) = self.tables.get(&table) else {
            return;
        };
        let directory = format!("{}/{PLACED}", state.directory);
        for name in self.placed.remove(&table).unwrap_or_default() {
            let path = format!("{directory}/{}", name.file());
            let remove = IoRequest::Remove { path };
            self.requests.submit(io, Purpose::Nobody, remove);
        }
    }

    fn begin_placing(
        &mut self,
        (table, aim): (TableId, Aim),
        tokens: Arc<KeptTokens>,
        ticket: u64,
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        let task = self.table_task(table, ticket)?;
        let path = format!("{}/{PLACED}", self.tables[&table].directory);
        self.next_placing += 1;
        let id = self.next_placing;
        self.placed.remove(&table);
        let placing = Placing {
            table,
            task,
            aim,
            tokens,
            reading: Reading::List,
            left: VecDeque::new(),
            opened: VecDeque::new(),
            found: Verified::default(),
        };
        self.placings.insert(id, placing);
        self.requests
            .submit(io, Purpose::Placed(id), IoRequest::List { path });
        Ok(())
    }

    pub(super) fn placed_on_io(&mut self, id: u64, outcome: IoOutcome, now: Now, io: &mut IoQueue) {
        let placing = self.placings.get_mut(&id).expect("it asked");
        match (&placing.reading, outcome) {
            (Reading::List, Ok(IoDone::Listed(entries))) => {
                let mut named: Vec<(FileName, u64)> = entries.iter().filter_map(named).collect();
                named.sort_unstable();
                placing.left = named.into();
            }
            (Reading::Tail { .. }, Ok(IoDone::Read(bytes))) => {
                self.placed_tail(id, &bytes, io);
            }
            (_, outcome) => {
                let error = outcome.err().map(|error| StoreError::io(PLACED, error));
                return self.end_placing(id, error, io);
            }
        }
        self.place_next(id, now, io);
    }

    /// Opens the next file; when all are open they are looked at, or taken.
    fn place_next(&mut self, id: u64, now: Now, io: &mut IoQueue) {
        let file = self.requests.file();
        let placing = self.placings.get_mut(&id).expect("the caller's");
        let Some((name, length)) = placing.left.front().copied() else {
            return match placing.aim {
                Aim::Look => self.look_at_opened(id, io),
                Aim::Take => self.take_next(id, now, io),
            };
        };
        let Some(state) = self.tables.get(&placing.table) else {
            return self.end_placing(id, Some(StoreError::Superseded), io);
        };
        if let Reading::Tail { file, start } = placing.reading {
            // Its end is longer than was thought.
            let read = IoRequest::Read {
                file,
                offset: start,
                length: (length - start) as usize,
            };
            return self.requests.submit(io, Purpose::Placed(id), read);
        }
        let path = format!("{}/{PLACED}/{}", state.directory, name.file());
        let start = length.saturating_sub(TAIL_BYTES as u64);
        placing.reading = Reading::Tail { file, start };
        let chain = vec![
            IoRequest::Open {
                file,
                path,
                mode: OpenMode::Read,
            },
            IoRequest::Read {
                file,
                offset: start,
                length: (length - start) as usize,
            },
        ];
        self.requests
            .submit(io, Purpose::Placed(id), IoRequest::Chain(chain));
    }

    /// The end of the first file is read.
    fn placed_tail(&mut self, id: u64, bytes: &[u8], io: &mut IoQueue) {
        let placing = self.placings.get_mut(&id).expect("the caller's");
        let Reading::Tail { file, start } = placing.reading else {
            return;
        };
        let (name, length) = *placing.left.front().expect("its end was read");
        let path = format!("{PLACED}/{}", name.file());
        let footer = match bytes.len().checked_sub(FOOTER_BYTES) {
            Some(at) if start + bytes.len() as u64 == length => {
                Footer::decode(&path, length, &bytes[at..])
            }
            _ => Err(StoreError::corrupt(&path, length, "the file is cut")),
        };
        let tail = match footer {
            Ok(footer) if footer.start() < start => {
                placing.reading = Reading::Tail {
                    file,
                    start: footer.start(),
                };
                return;
            }
            Ok(footer) => Tail::open(&path, placing.table, name, &footer, start, bytes),
            Err(error) => Err(error),
        };
        placing.left.pop_front();
        placing.reading = Reading::List;
        match tail {
            Ok(tail) => {
                let shard = Places::of_shard(self.config.shard, self.config.shards);
                self.next_sstable += 1;
                placing.opened.push_back(Arc::new(SsTable {
                    id: self.next_sstable,
                    file,
                    name,
                    origin: name,
                    path,
                    length,
                    places: match placing.aim {
                        Aim::Look => Places::all(),
                        Aim::Take => shard,
                    },
                    root: tail.root,
                    filter: None,
                    stats: tail.stats,
                    in_flight: AtomicU32::new(0),
                    suspect: AtomicBool::new(false),
                    broken: None,
                }));
            }
            Err(error) => {
                placing.found.tell(error.to_string());
                let close = IoRequest::Close { file };
                self.requests.submit(io, Purpose::Nobody, close);
            }
        }
    }

    /// Verifies this shard's part of the files.
    fn look_at_opened(&mut self, id: u64, io: &mut IoQueue) {
        let placing = self.placings.remove(&id).expect("the caller's");
        let (shard, shards) = (self.config.shard, self.config.shards);
        let mut own = VecDeque::new();
        for (place, sstable) in placing.opened.into_iter().enumerate() {
            if place % usize::from(shards) == usize::from(shard) {
                own.push_back(sstable);
            } else {
                let close = IoRequest::Close { file: sstable.file };
                self.requests.submit(io, Purpose::Nobody, close);
            }
        }
        let how = Closeness {
            quick: false,
            tokens: Some(placing.tokens),
        };
        // What cannot be opened every shard has found.
        let found = if shard == 0 {
            placing.found
        } else {
            Verified::default()
        };
        self.verify_placed((placing.table, placing.task), (how, own, found), io);
    }

    /// Begins to write what is this shard's of the next file.
    fn take_next(&mut self, id: u64, now: Now, io: &mut IoQueue) {
        let placing = self.placings.get_mut(&id).expect("the caller's");
        if let Some(finding) = placing.found.found.first() {
            let error = StoreError::Placed(finding.clone());
            return self.end_placing(id, Some(error), io);
        }
        let (table, kept) = (placing.table, placing.tokens.clone());
        let Some(state) = self.tables.get_mut(&table) else {
            return self.end_placing(id, Some(StoreError::Superseded), io);
        };
        let Some(input) = placing.opened.pop_front() else {
            state.change([Then::Task(placing.task)]);
            self.placings.remove(&id);
            self.agenda.manifests = true;
            return self.write_manifests(now, io);
        };
        self.placed.entry(table).or_default().push(input.name);
        let name = state.next_name(&self.config);
        let options = writer_options(state, name, input.stats.partitions, now);
        let new = NewJob {
            table,
            input_bytes: input.length,
            work: Work::Import {
                input,
                kept,
                at: AtHand::default(),
                placing: id,
            },
            options,
        };
        self.start_job(new, io);
    }

    /// What is this shard's of a file is written: it is the table's.
    pub(super) fn imported(
        &mut self,
        (table, placing): (TableId, u64),
        input: &SsTable,
        outputs: Vec<Arc<SsTable>>,
        now: Now,
        io: &mut IoQueue,
    ) {
        let close = IoRequest::Close { file: input.file };
        self.requests.submit(io, Purpose::Nobody, close);
        let state = self.tables.get_mut(&table).expect("its epoch was checked");
        for output in outputs {
            state.proof.flushed(&output, Some(now.boot));
            state.add(output);
        }
        state.change([]);
        self.take_next(placing, now, io);
    }

    /// A file could not be read or written, or the table is gone.
    pub(super) fn import_failed(
        &mut self,
        placing: u64,
        input: &SsTable,
        error: StoreError,
        io: &mut IoQueue,
    ) {
        let close = IoRequest::Close { file: input.file };
        self.requests.submit(io, Purpose::Nobody, close);
        self.end_placing(placing, Some(error), io);
    }

    fn end_placing(&mut self, id: u64, error: Option<StoreError>, io: &mut IoQueue) {
        let Some(placing) = self.placings.remove(&id) else {
            return;
        };
        for sstable in placing.opened {
            let close = IoRequest::Close { file: sstable.file };
            self.requests.submit(io, Purpose::Nobody, close);
        }
        self.placed.remove(&placing.table);
        self.task_step(placing.task, error);
    }
}

/// The name of an SSTable, and its length.
fn named(entry: &Entry) -> Option<(FileName, u64)> {
    let name = FileName::parse(&entry.name).filter(|_| !entry.directory)?;
    Some((name, entry.length))
}
