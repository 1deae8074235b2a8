//! Verification: every byte of a table's SSTables is read again and held against its checksums and against what the file says of itself.
//!
//! One request at a time, behind everybody else's: the end of a file first, then block after block as the index names them. A bad block
//! is told and the next one is read, so that one run finds all that is wrong. What is damaged is suspect from then on: nothing compacts
//! it away ([`crate::sstable::SsTable::suspect`]).
//!
//! What must stay true: nothing is changed, and a file that is read is not removed meanwhile.

use super::Store;
use super::cleanup::KeptTokens;
use crate::error::StoreError;
use crate::io::Purpose;
use crate::sstable::block::Block;
use crate::sstable::codec::Opener;
use crate::sstable::index::{Handle, Index};
use crate::sstable::{FOOTER_BYTES, Footer, SsTable, Tail};
use model::env::{FileId, IoDone, IoOutcome, IoQueue, IoRequest};
use model::key::Token;
use model::schema::TableId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of data blocks read at once: what is checked in one turn of the shard.
const AHEAD_BYTES: usize = 128 << 10;
/// Findings of one table that are told one by one.
const MOST_FINDINGS: usize = 100;

/// How closely a table is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closeness {
    /// Whether only the end of each file is read: footer, index root, filter and statistics.
    pub quick: bool,
    /// The tokens that this node has: files that hold others are told.
    pub tokens: Option<Arc<KeptTokens>>,
}

/// What a verification of a table found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// SSTables that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Partitions in them.
    pub partitions: u64,
    /// Findings, those that are left out of `found` among them.
    pub wrong: u64,
    /// What is wrong, in words; at most a hundred.
    pub found: Vec<String>,
}

impl Verified {
    pub(super) fn tell(&mut self, finding: String) {
        self.wrong += 1;
        if self.found.len() < MOST_FINDINGS {
            self.found.push(finding);
        }
    }
}

/// What is being read of a file.
#[derive(Debug)]
enum Reading {
    Footer,
    Tail(Footer),
    Index(Handle),
    Data(Vec<Handle>),
}

/// A file at hand.
#[derive(Debug)]
struct AtFile {
    /// The table whose it is.
    table: TableId,
    sstable: Arc<SsTable>,
    reading: Reading,
    /// Its index root, once it is read.
    root: Vec<u8>,
    /// Entries of the root whose blocks were read.
    indexes: usize,
    /// Data blocks that are named and not read yet.
    named: VecDeque<Handle>,
    /// Partitions the statistics speak of, and those found.
    partitions: (u64, u64),
    /// Partitions of tokens that are not this node's.
    foreign: u64,
    /// Key of the last partition.
    last: Option<(Token, Vec<u8>)>,
    /// Whether anything of it is damaged.
    damaged: bool,
}

/// A verification under way.
#[derive(Debug)]
pub(super) struct Verification {
    table: TableId,
    task: u64,
    how: Closeness,
    /// Files that wait for their turn.
    left: VecDeque<Arc<SsTable>>,
    at: Option<AtFile>,
    done: Verified,
    opener: Opener,
    /// Whether its files are nobody else's, and closed when they are read.
    closes: bool,
    read: Vec<FileId>,
}

impl Store {
    /// Reads a table's SSTables again; the ticket is finished when that is done, and [`Self::take_verified`] has what was found.
    pub fn verify(
        &mut self,
        table: TableId,
        how: Closeness,
        ticket: u64,
        io: &mut IoQueue,
    ) -> Result<(), StoreError> {
        let task = self.table_task(table, ticket)?;
        let left: VecDeque<Arc<SsTable>> = self.tables[&table].sstables.iter().cloned().collect();
        for sstable in &left {
            sstable.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        let found = Verified::default();
        self.begin_verification((table, task), (how, left, found), false, io);
        Ok(())
    }

    /// Reads files that are no table's yet, and closes them; what was found before counts, too.
    pub(super) fn verify_placed(
        &mut self,
        whose: (TableId, u64),
        what: (Closeness, VecDeque<Arc<SsTable>>, Verified),
        io: &mut IoQueue,
    ) {
        for sstable in &what.1 {
            sstable.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        self.begin_verification(whose, what, true, io);
    }

    fn begin_verification(
        &mut self,
        (table, task): (TableId, u64),
        (how, left, done): (Closeness, VecDeque<Arc<SsTable>>, Verified),
        closes: bool,
        io: &mut IoQueue,
    ) {
        self.next_verification += 1;
        let id = self.next_verification;
        let verification = Verification {
            table,
            task,
            how,
            left,
            at: None,
            done,
            opener: Opener::default(),
            closes,
            read: Vec::new(),
        };
        self.verifications.insert(id, verification);
        self.verify_on(id, io);
    }

    /// What the last verification of a table found.
    pub fn take_verified(&mut self, table: TableId) -> Option<Verified> {
        self.verified.remove(&table)
    }

    pub(super) fn verify_on_io(&mut self, id: u64, outcome: IoOutcome, io: &mut IoQueue) {
        let verification = self.verifications.get_mut(&id);
        let verification = verification.expect("a verification waits for its request");
        verification.on_io(outcome);
        self.verify_on(id, io);
    }

    /// Asks for what is to be read next; what was read to its end is given free.
    fn verify_on(&mut self, id: u64, io: &mut IoQueue) {
        let verification = self.verifications.get_mut(&id).expect("the caller's");
        let next = verification.next();
        let read = std::mem::take(&mut verification.read);
        let closed = read.into_iter().filter(|_| verification.closes);
        for file in closed {
            let close = IoRequest::Close { file };
            self.requests.submit(io, Purpose::Nobody, close);
        }
        if let Some(request) = next {
            self.requests.submit(io, Purpose::Verify(id), request);
        } else {
            let ended = self.verifications.remove(&id).expect("looked up above");
            self.verified.insert(ended.table, ended.done);
            self.task_step(ended.task, None);
        }
        self.remove_retired(io);
    }
}

impl Verification {
    /// The next request; `None` if everything is read.
    fn next(&mut self) -> Option<IoRequest> {
        loop {
            if let Some(at) = &mut self.at {
                if let Some(request) = at.next() {
                    return Some(request);
                }
                self.end_file();
            }
            let sstable = self.left.pop_front()?;
            self.done.files += 1;
            if let Some(error) = &sstable.broken {
                self.done.tell(error.to_string());
                sstable.in_flight.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let at = AtFile::new(self.table, sstable);
            let request = at.footer();
            self.at = Some(at);
            return Some(request);
        }
    }

    fn on_io(&mut self, outcome: IoOutcome) {
        let at = self.at.as_mut().expect("it asked for something of a file");
        let bytes = match outcome {
            Ok(IoDone::Read(bytes)) => bytes,
            Ok(_) => Vec::new(),
            Err(error) => {
                self.done
                    .tell(StoreError::io(&at.sstable.path, error).to_string());
                return at.give_up_read();
            }
        };
        self.done.bytes += bytes.len() as u64;
        let (how, opener) = (&self.how, &mut self.opener);
        for (offset, what) in at.check(&bytes, how, opener) {
            // What is said twice is suspect once.
            self.done.tell(at.sstable.corrupt(offset, what).to_string());
            at.damaged = true;
        }
    }

    /// The file is read: what it says of itself is held against what was found.
    fn end_file(&mut self) {
        let Some(at) = self.at.take() else {
            return;
        };
        let (said, found) = at.partitions;
        let path = &at.sstable.path;
        if !at.damaged && !self.how.quick && said != found {
            let finding = format!("{path} has {found} partitions and says that it has {said}");
            self.done.tell(finding);
        }
        if at.foreign > 0 {
            let foreign = at.foreign;
            let finding = format!(
                "{path} has {foreign} partitions of tokens that are not this node's: see nodetool cleanup"
            );
            self.done.tell(finding);
        }
        self.done.partitions += found;
        self.read.push(at.sstable.file);
        at.sstable.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is wrong, and at which byte.
type Finding = (u64, &'static str);

impl AtFile {
    fn new(table: TableId, sstable: Arc<SsTable>) -> Self {
        Self {
            table,
            sstable,
            reading: Reading::Footer,
            root: Vec::new(),
            indexes: 0,
            named: VecDeque::new(),
            partitions: (0, 0),
            foreign: 0,
            last: None,
            damaged: false,
        }
    }

    fn read(&self, offset: u64, length: usize) -> IoRequest {
        IoRequest::Read {
            file: self.sstable.file,
            offset,
            length,
        }
    }

    fn footer(&self) -> IoRequest {
        let length = self.sstable.length;
        self.read(length.saturating_sub(FOOTER_BYTES as u64), FOOTER_BYTES)
    }

    /// The next thing to read of it.
    fn next(&mut self) -> Option<IoRequest> {
        if let Reading::Tail(footer) = &self.reading
            && self.root.is_empty()
            && !self.damaged
        {
            let start = footer.start();
            return Some(self.read(start, (self.sstable.length - start) as usize));
        }
        if let Some(first) = self.named.pop_front() {
            let mut handles = vec![first];
            let mut end = first.offset + u64::from(first.length);
            while let Some(next) = self.named.front()
                && next.offset == end
                && end + u64::from(next.length) - first.offset <= AHEAD_BYTES as u64
            {
                end += u64::from(next.length);
                handles.extend(self.named.pop_front());
            }
            self.reading = Reading::Data(handles);
            return Some(self.read(first.offset, (end - first.offset) as usize));
        }
        let entry = Index(&self.root).get(self.indexes)?;
        let handle = entry.handle;
        self.indexes += 1;
        self.reading = Reading::Index(handle);
        Some(self.read(handle.offset, handle.length as usize))
    }

    /// What was asked for cannot be read: the rest of it is, if it is known where that is.
    fn give_up_read(&mut self) {
        self.damaged = true;
        self.sstable.suspect.store(true, Ordering::Relaxed);
    }

    /// Checks what was read.
    fn check(&mut self, bytes: &[u8], how: &Closeness, opener: &mut Opener) -> Vec<Finding> {
        match std::mem::replace(&mut self.reading, Reading::Footer) {
            Reading::Footer => self.check_footer(bytes).into_iter().collect(),
            Reading::Tail(footer) => self.check_tail(&footer, bytes, how).into_iter().collect(),
            Reading::Index(handle) => self
                .check_index(handle, bytes, opener)
                .into_iter()
                .collect(),
            Reading::Data(handles) => {
                let mut found = Vec::new();
                let mut at = 0;
                for handle in handles {
                    let end = at + handle.length as usize;
                    let checked = match bytes.get(at..end) {
                        Some(block) => self.check_data(handle, block, how, opener),
                        None => Err("the file ends within the block"),
                    };
                    found.extend(checked.err().map(|what| (handle.offset, what)));
                    at = end;
                }
                found
            }
        }
    }

    fn check_footer(&mut self, bytes: &[u8]) -> Option<Finding> {
        match Footer::decode(&self.sstable.path, self.sstable.length, bytes) {
            Ok(footer) => {
                self.reading = Reading::Tail(footer);
                None
            }
            Err(error) => Some(finding(&error, self.sstable.length)),
        }
    }

    fn check_tail(&mut self, footer: &Footer, bytes: &[u8], how: &Closeness) -> Option<Finding> {
        let start = footer.start();
        if start + bytes.len() as u64 != self.sstable.length {
            return Some((start, "the file is cut"));
        }
        let (path, origin) = (&self.sstable.path, self.sstable.origin);
        let tail = match Tail::open(path, self.table, origin, footer, start, bytes) {
            Ok(tail) => tail,
            Err(error) => return Some(finding(&error, start)),
        };
        self.partitions.0 = tail.stats.partitions;
        if how.quick {
            // An empty root names nothing more to be read.
            self.damaged = tail.bad_filter.is_some();
        } else {
            self.root = tail.root;
        }
        self.reading = Reading::Footer;
        tail.bad_filter.map(|error| finding(&error, start))
    }

    fn check_index(
        &mut self,
        handle: Handle,
        bytes: &[u8],
        opener: &mut Opener,
    ) -> Option<Finding> {
        let raw = match opener.open(self.sstable.identity(), handle.offset, bytes) {
            Ok(raw) => raw,
            Err(what) => return Some((handle.offset, what)),
        };
        let index = Index(raw);
        if !index.verify() {
            return Some((handle.offset, "the index block is malformed"));
        }
        let named = (0..index.len()).filter_map(|place| index.get(place));
        self.named.extend(named.map(|entry| entry.handle));
        None
    }

    fn check_data(
        &mut self,
        handle: Handle,
        bytes: &[u8],
        how: &Closeness,
        opener: &mut Opener,
    ) -> Result<(), &'static str> {
        let block = Block(opener.open(self.sstable.identity(), handle.offset, bytes)?);
        if !block.verify() {
            return Err("the block is malformed");
        }
        for segment in (0..block.segments()).filter_map(|place| block.segment(place)) {
            let key = segment.key.of(block.0);
            let here = (segment.token, key);
            let last = self.last.as_ref().map(|(token, key)| (*token, &key[..]));
            // A partition that is wider than a block goes on in the next.
            let goes_on = segment.from.is_some();
            if last.is_some_and(|last| if goes_on { last > here } else { last >= here }) {
                return Err("partitions are out of order");
            }
            if goes_on {
                continue;
            }
            self.last = Some((segment.token, key.to_vec()));
            self.partitions.1 += 1;
            let is_foreign = how
                .tokens
                .as_ref()
                .is_some_and(|kept| !kept.contains(segment.token));
            if is_foreign && self.sstable.holds(segment.token) {
                self.foreign += 1;
            }
        }
        Ok(())
    }
}

/// Where an error is, and what it is.
fn finding(error: &StoreError, otherwise: u64) -> Finding {
    match error {
        StoreError::Corrupt { offset, what, .. } => (*offset, what),
        _ => (otherwise, "the file is of a newer version"),
    }
}
