//! The sink of a read: filters, projects, counts, and encodes the answer.

use super::projection::Projection;
use crate::merge::{Flow, Sink};
use model::clustering::{self, Slice};
use model::key::{self, Token};
use model::merge::Purge;
use model::read::{Dead, Direction, Partitions, ReadCommand, ReadResponse};
use model::row::{Deletion, Row};
use model::schema::Table;
use model::tombstone::RangeTombstone;
use model::touch::touch;

/// How often a partition is begun anew because it changed under the read: what is read afterwards may mix two states.
const MAX_RESTARTS: u32 = 4;

/// Most bytes of a row fetched before it is walked.
const MAX_TOUCHED_BYTES: usize = 4 << 10;
/// Most bytes taken for an answer before it is known how long it gets.
const MAX_RESERVED_BYTES: usize = 16 << 10;

/// An answer being made.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What is encoded so far.
    pub response: ReadResponse,
    partition: Option<Partition>,
    rows_left: u64,
    /// What the first partition may still give, if an earlier page ended in it.
    resumed: Option<u64>,
    restarts: u32,
    scratch: Vec<u8>,
    encoded: Vec<u8>,
}

#[derive(Debug)]
struct Partition {
    token: Token,
    /// Its key, if the command does not name it.
    key: Vec<u8>,
    deletion: Deletion,
    /// The static row as it is carried.
    static_row: Option<Vec<u8>>,
    static_is_live: bool,
    /// Rows it may still give.
    left: u64,
    /// Live rows given.
    rows: u64,
    written: bool,
    resumed: bool,
    /// Whether an earlier read has given a row of it.
    gave_rows: bool,
    /// The range handed over last and where it belongs in the answer: the next may go on where it ends.
    open: Option<(usize, RangeTombstone)>,
    last_row: Vec<u8>,
    /// The answer before this partition: bytes, rows, tombstones, rows left.
    before: (usize, u64, u64, u64),
}

impl Answer {
    /// Nothing yet.
    pub(crate) fn new(command: &ReadCommand) -> Self {
        let inside = command
            .resume
            .as_ref()
            .filter(|resume| resume.clustering.is_some());
        Self {
            response: ReadResponse::default(),
            partition: None,
            rows_left: command.limits.rows,
            resumed: inside.map(|resume| resume.left_in_partition),
            restarts: 0,
            scratch: Vec::new(),
            encoded: Vec::new(),
        }
    }
}

/// The sink.
#[derive(Debug)]
pub(crate) struct Responder<'a> {
    pub command: &'a ReadCommand,
    pub table: &'a Table,
    pub projection: Projection<'a>,
    pub answer: &'a mut Answer,
}

impl Responder<'_> {
    fn purge(&self) -> Purge {
        Purge {
            now_seconds: self.command.now_seconds,
            gc_before: self.command.purge_before,
            older_than: i64::MAX,
        }
    }

    /// Makes room for as many rows of this size as are wanted, within reason.
    fn reserve(&mut self, row_bytes: usize) {
        let rows = self.rows_wanted().min(MAX_RESERVED_BYTES);
        let bytes = (rows * (row_bytes + 8)).min(MAX_RESERVED_BYTES);
        self.answer.response.bytes.reserve(bytes);
    }

    fn keeps(&self) -> bool {
        self.command.dead == Dead::Kept
    }

    /// The rows left to the partition the page before ended in, and whether it gave some, if this is that one: another shard's
    /// read, or one of a partition that has vanished, begins with another.
    fn resumed(&mut self, token: Token, key: &[u8]) -> Option<(u64, bool)> {
        let left = self.answer.resumed.take()?;
        let resume = self.command.resume.as_ref()?;
        let here = resume.key.token == token && *resume.key.key == *key;
        here.then_some((left, resume.gave_rows))
    }

    /// Writes the partition's head, once.
    fn write_head(&mut self) {
        let Some(partition) = self
            .answer
            .partition
            .as_mut()
            .filter(|partition| !partition.written)
        else {
            return;
        };
        partition.written = true;
        let response = &mut self.answer.response;
        let key = match &self.command.partitions {
            Partitions::Key(named) => &named.key,
            Partitions::Range(_) => partition.key.as_slice(),
        };
        response.put_partition(partition.token, key, partition.deletion);
        if let Some(row) = &partition.static_row {
            response.put_static(row);
        }
    }

    /// Encodes the static row as the answer carries it; returns whether it is alive.
    fn take_static(&mut self, bytes: &[u8]) -> (Option<Vec<u8>>, bool) {
        let row = Row::parse(bytes).expect("rows are verified where they enter the process");
        let now = self.command.now_seconds;
        let life = self.projection.life(&row, now);
        self.answer.response.tombstones += life.tombstones;
        let mut out = Vec::new();
        let any = if self.keeps() {
            let purge = self.purge();
            self.projection
                .mergeable(bytes, &purge, &mut self.answer.scratch, &mut out)
        } else {
            if life.is_live {
                self.projection.live(&row, now, &mut out);
            }
            life.is_live
        };
        (any.then_some(out), life.is_live)
    }

    fn accepts_row(&self, clustering: &[u8], row: &Row<'_>) -> bool {
        let filter = &self.command.filter;
        if filter.is_empty() {
            return true;
        }
        let values = if !filter.looks_at_clustering() {
            Vec::new()
        } else if let Some(original) = row.original_clustering {
            let split = key::split(original, self.table.clustering_key().len());
            split
                .unwrap_or_default()
                .into_iter()
                .map(<[u8]>::to_vec)
                .collect()
        } else {
            clustering::decode(self.table, clustering).unwrap_or_default()
        };
        filter.accepts_row(&values, row, self.command.now_seconds)
    }

    /// Puts a row into the answer, behind its partition's head.
    fn put_row(&mut self, clustering: &[u8], row: &[u8]) {
        if self.answer.response.bytes.capacity() == 0 {
            self.reserve(clustering.len() + row.len());
        }
        self.write_head();
        self.answer.response.put_row(clustering, row);
    }

    /// Counts a row that the answer just got; says whether a limit is reached.
    fn count(&mut self) -> Flow {
        let answer = &mut *self.answer;
        answer.response.rows += 1;
        answer.rows_left -= 1;
        let partition = answer.partition.as_mut().expect("a partition was begun");
        partition.rows += 1;
        partition.left = partition.left.saturating_sub(1);
        if answer.rows_left == 0 || answer.response.bytes.len() >= self.command.limits.bytes {
            answer.response.more = true;
            Flow::Stop
        } else if partition.left == 0 {
            Flow::NextPartition
        } else {
            Flow::Continue
        }
    }

    /// Puts the range kept back into the answer, where it belongs; a limit may have ended the read within it.
    fn close_range(&mut self, cut: bool) {
        let Some(partition) = &mut self.answer.partition else {
            return;
        };
        let Some((at, mut range)) = partition.open.take() else {
            return;
        };
        if cut {
            match self.command.direction {
                Direction::Forward => {
                    let end = clustering::above(&partition.last_row);
                    range.slice.end = range.slice.end.min(end);
                }
                Direction::Backward => {
                    let start = std::mem::take(&mut partition.last_row);
                    range.slice.start = range.slice.start.max(start);
                }
            }
        }
        let mut encoded = ReadResponse::default();
        encoded.put_range(&range.slice, range.deletion);
        self.answer.response.bytes.splice(at..at, encoded.bytes);
    }
}

impl Sink for Responder<'_> {
    fn wants_static(&self) -> bool {
        !self.table.statics().is_empty()
    }

    fn rows_wanted(&self) -> usize {
        let answer = &self.answer;
        match &answer.partition {
            // A filter may refuse any number of rows.
            Some(partition) if self.command.filter.is_empty() => {
                usize::try_from(answer.rows_left.min(partition.left)).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        }
    }

    fn begin(
        &mut self,
        token: Token,
        key: &[u8],
        deletion: Deletion,
        static_row: Option<&[u8]>,
    ) -> Flow {
        let response = &self.answer.response;
        let before = (
            response.bytes.len(),
            response.rows,
            response.tombstones,
            self.answer.rows_left,
        );
        let resumed = self.resumed(token, key);
        let filter = &self.command.filter;
        if !filter.is_empty() {
            let parts = key::split(key, self.table.partition_key().len()).unwrap_or_default();
            let row = static_row.and_then(Row::parse);
            if !filter.accepts_partition(&parts, row.as_ref(), self.command.now_seconds) {
                return Flow::NextPartition;
            }
        }
        let (static_row, static_is_live) = match static_row {
            Some(row) => self.take_static(row),
            None => (None, false),
        };
        let shown = self.keeps() && !deletion.is_none() && !self.purge().forgets(deletion);
        let has_static = static_row.is_some();
        self.answer.partition = Some(Partition {
            token,
            key: match &self.command.partitions {
                Partitions::Key(_) => Vec::new(),
                Partitions::Range(_) => key.to_vec(),
            },
            deletion: if shown { deletion } else { Deletion::NONE },
            static_row,
            static_is_live,
            left: resumed.map_or(self.command.limits.per_partition, |(left, _)| left),
            rows: 0,
            written: false,
            resumed: resumed.is_some(),
            gave_rows: resumed.is_some_and(|(_, gave_rows)| gave_rows),
            open: None,
            last_row: Vec::new(),
            before,
        });
        if self.keeps() && (shown || has_static) {
            self.write_head();
        }
        if resumed.is_some_and(|(left, _)| left == 0) {
            Flow::NextPartition
        } else {
            Flow::Continue
        }
    }

    fn range(&mut self, range: &RangeTombstone) {
        // Where it begins and where it ends, as Cassandra counts.
        self.answer.response.tombstones += 2;
        if !self.keeps() || self.purge().forgets(range.deletion) {
            return;
        }
        self.write_head();
        let partition = self
            .answer
            .partition
            .as_mut()
            .expect("a partition was begun");
        if let Some((_, open)) = &mut partition.open
            && open.deletion == range.deletion
        {
            if self.command.direction == Direction::Forward && open.slice.end == range.slice.start {
                open.slice.end.clone_from(&range.slice.end);
                return;
            }
            if self.command.direction == Direction::Backward && open.slice.start == range.slice.end
            {
                open.slice.start.clone_from(&range.slice.start);
                return;
            }
        }
        self.close_range(false);
        let at = self.answer.response.bytes.len();
        let partition = self
            .answer
            .partition
            .as_mut()
            .expect("a partition was begun");
        let slice = Slice::clone(&range.slice);
        partition.open = Some((
            at,
            RangeTombstone {
                slice,
                deletion: range.deletion,
            },
        ));
    }

    fn row(&mut self, clustering: &[u8], bytes: &[u8]) -> Flow {
        touch(&bytes[..bytes.len().min(MAX_TOUCHED_BYTES)]);
        let row = Row::parse(bytes).expect("rows are verified where they enter the process");
        let now = self.command.now_seconds;
        let life = self.projection.life(&row, now);
        self.answer.response.tombstones += life.tombstones;
        if life.is_live && !self.accepts_row(clustering, &row) || !life.is_live && !self.keeps() {
            return Flow::Continue;
        }
        let whole = life.is_plain && self.projection.is_whole();
        if whole && !self.keeps() {
            self.put_row(clustering, bytes);
            return self.count();
        }
        let mut encoded = std::mem::take(&mut self.answer.encoded);
        encoded.clear();
        let any = if whole {
            true
        } else if self.keeps() {
            let purge = self.purge();
            self.projection
                .mergeable(bytes, &purge, &mut self.answer.scratch, &mut encoded)
        } else {
            self.projection.live(&row, now, &mut encoded);
            true
        };
        if any {
            self.put_row(clustering, if whole { bytes } else { &encoded });
            if self.keeps() {
                let partition = self
                    .answer
                    .partition
                    .as_mut()
                    .expect("a partition was begun");
                clustering.clone_into(&mut partition.last_row);
            }
        }
        self.answer.encoded = encoded;
        if life.is_live {
            let flow = self.count();
            if flow != Flow::Continue {
                self.close_range(true);
            }
            return flow;
        }
        // A page that ended at a row it does not carry could not be gone on from.
        if any && self.answer.response.bytes.len() >= self.command.limits.bytes {
            self.answer.response.more = true;
            self.close_range(true);
            return Flow::Stop;
        }
        Flow::Continue
    }

    fn live_row(&mut self, clustering: &[u8], row: &[u8]) -> Flow {
        let as_it_is = self.projection.is_whole()
            && self.projection.known.is_none()
            && self.command.filter.is_empty()
            && !self.keeps();
        if !as_it_is {
            return self.row(clustering, row);
        }
        self.put_row(clustering, row);
        self.count()
    }

    fn end(&mut self) -> Flow {
        self.close_range(false);
        let Some(partition) = &self.answer.partition else {
            return Flow::Continue;
        };
        let counts = partition.rows == 0
            && partition.static_is_live
            && !partition.gave_rows
            && !self.answer.response.more
            && self.command.static_counts
            && !self.command.filter.looks_at_rows();
        let flow = if counts {
            self.write_head();
            match self.count() {
                Flow::NextPartition => Flow::Continue,
                flow => flow,
            }
        } else {
            Flow::Continue
        };
        let partition = self.answer.partition.take();
        // One that is gone on with is told of anew, and was told of before.
        let written = partition.is_some_and(|partition| partition.written && !partition.resumed);
        let full = self.answer.response.bytes.len() >= self.command.limits.bytes;
        let is_range = matches!(self.command.partitions, Partitions::Range(_));
        if flow == Flow::Continue && self.keeps() && is_range && written && full {
            // Partitions of which nothing is left but that they were deleted fill an answer too.
            self.answer.response.more = true;
            return Flow::Stop;
        }
        flow
    }

    fn restart(&mut self) -> bool {
        let Some(partition) = &self.answer.partition else {
            return false;
        };
        if self.answer.restarts == MAX_RESTARTS || partition.resumed {
            return false;
        }
        self.answer.restarts += 1;
        let (bytes, rows, tombstones, left) = partition.before;
        let response = &mut self.answer.response;
        response.bytes.truncate(bytes);
        response.rows = rows;
        response.tombstones = tombstones;
        self.answer.rows_left = left;
        self.answer.partition = None;
        true
    }
}
