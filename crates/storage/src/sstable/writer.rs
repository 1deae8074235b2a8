//! Writes an SSTable: partitions and rows in, bytes out. No I/O: the caller takes the bytes and submits them.

use super::block::{BlockBuilder, SegmentHead, SegmentRows};
use super::bloom::Bloom;
use super::codec::{Codec, Compression, Sealer};
use super::index::{Entry, Handle, IndexBuilder, Spot};
use super::stats::Stats;
use super::table::{FileName, Footer};
use model::clustering::Slice;
use model::key::Token;
use model::row::Deletion;
use model::schema::TableId;
use model::tombstone::RangeTombstone;
use model::track::IdSet;

/// Bytes of an index block.
const INDEX_BLOCK_BYTES: usize = 16 << 10;

/// What an SSTable is written with.
#[derive(Debug, Clone)]
pub(crate) struct WriterOptions {
    pub table: TableId,
    pub name: FileName,
    pub compression: Compression,
    /// Chance of a false positive of the bloom filter.
    pub false_positive: f64,
    /// Partitions expected, at most.
    pub partitions: u64,
    pub level: u32,
    /// Wall clock in microseconds.
    pub written_at: i64,
    pub coverage: IdSet,
}

/// The parts of a finished SSTable that stay in memory.
#[derive(Debug)]
pub(crate) struct Written {
    pub root: Vec<u8>,
    pub filter: Option<Bloom>,
    pub stats: Stats,
    /// Bytes of the file.
    pub length: u64,
}

/// The partition being written; its buffers are used again for the next.
#[derive(Debug)]
struct Partition {
    token: Token,
    key: Vec<u8>,
    deletion: Deletion,
    static_row: Vec<u8>,
    has_static: bool,
    /// Lower end of the segment being collected; `None` in the first.
    from: Option<Vec<u8>>,
    ranges: Vec<RangeTombstone>,
    range_bytes: usize,
}

/// The writer.
#[derive(Debug)]
pub(crate) struct SsTableWriter {
    options: WriterOptions,
    identity: u64,
    out: Vec<u8>,
    /// Offset in the file of the first byte of `out`.
    taken: u64,
    sealer: Sealer,
    block: BlockBuilder,
    rows: SegmentRows,
    partition: Partition,
    /// Whether a partition was begun and not ended.
    is_open: bool,
    /// What the block being built begins with.
    block_spot: Option<(Token, Vec<u8>, Option<Vec<u8>>)>,
    index: IndexBuilder,
    index_spot: Option<(Token, Vec<u8>, Option<Vec<u8>>)>,
    root: IndexBuilder,
    filter: Option<Bloom>,
    stats: Stats,
}

impl SsTableWriter {
    /// Begins a file.
    pub(crate) fn new(options: WriterOptions) -> Self {
        let filter = Bloom::new(options.partitions, options.false_positive);
        let stats = Stats {
            level: options.level,
            written_at: options.written_at,
            coverage: options.coverage.clone(),
            ..Stats::default()
        };
        Self {
            identity: options.name.identity(),
            out: Vec::new(),
            taken: 0,
            sealer: Sealer::default(),
            block: BlockBuilder::default(),
            rows: SegmentRows::default(),
            partition: Partition {
                token: Token::MIN,
                key: Vec::new(),
                deletion: Deletion::NONE,
                static_row: Vec::new(),
                has_static: false,
                from: None,
                ranges: Vec::new(),
                range_bytes: 0,
            },
            is_open: false,
            block_spot: None,
            index: IndexBuilder::default(),
            index_spot: None,
            root: IndexBuilder::default(),
            filter,
            stats,
            options,
        }
    }

    fn offset(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    /// Bytes of the file so far.
    pub(crate) fn length(&self) -> u64 {
        self.offset()
    }

    /// Bytes that wait to be taken.
    pub(crate) fn pending(&self) -> usize {
        self.out.len()
    }

    /// Whether no partition was begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.stats.partitions == 0
    }

    /// Takes the bytes produced so far, with their offset in the file.
    pub(crate) fn take(&mut self) -> (u64, Vec<u8>) {
        let offset = self.taken;
        self.taken += self.out.len() as u64;
        (offset, std::mem::take(&mut self.out))
    }

    /// Begins a partition; they come in order of (token, key).
    pub(crate) fn begin_partition(
        &mut self,
        token: Token,
        key: &[u8],
        deletion: Deletion,
        static_row: Option<&[u8]>,
    ) {
        assert!(!self.is_open, "partitions do not nest");
        if self.block.len() >= self.options.compression.block_bytes {
            self.finish_block();
        }
        if self.block.is_empty() {
            self.block_spot = Some((token, key.to_vec(), None));
        }
        self.stats.partition(token, key, deletion);
        if let Some(row) = static_row {
            self.stats.contents(row);
        }
        if let Some(filter) = &mut self.filter {
            filter.insert(token);
        }
        let partition = &mut self.partition;
        partition.token = token;
        key.clone_into(&mut partition.key);
        partition.deletion = deletion;
        partition.has_static = static_row.is_some();
        static_row
            .unwrap_or_default()
            .clone_into(&mut partition.static_row);
        partition.from = None;
        partition.ranges.clear();
        partition.range_bytes = 0;
        self.is_open = true;
    }

    /// Adds a deleted range of the partition: before the rows not below its start, after those below it.
    pub(crate) fn range(&mut self, start: &[u8], end: &[u8], deletion: Deletion) {
        assert!(start < end, "a range is not empty");
        self.cut_if_full(start);
        let partition = &mut self.partition;
        self.stats.positions(start, end);
        match partition.ranges.last_mut() {
            // The merge hands over a long range piece by piece.
            Some(last) if last.slice.end == start && last.deletion == deletion => {
                end.clone_into(&mut last.slice.end);
            }
            _ => {
                self.stats.deletion(deletion);
                partition.range_bytes += start.len() + end.len() + 16;
                partition.ranges.push(RangeTombstone {
                    slice: Slice {
                        start: start.to_vec(),
                        end: end.to_vec(),
                    },
                    deletion,
                });
            }
        }
    }

    /// Adds the next row.
    pub(crate) fn row(&mut self, clustering: &[u8], row: &[u8]) {
        self.cut_if_full(clustering);
        self.stats.rows += 1;
        self.stats.positions(clustering, clustering);
        self.stats.contents(row);
        self.rows.push(clustering, row);
    }

    /// Ends the block before `position` if it is full: a partition is split only when its own part is large, so that
    /// a small one is read with one block.
    fn cut_if_full(&mut self, position: &[u8]) {
        let target = self.options.compression.block_bytes;
        assert!(self.is_open, "a partition was begun");
        let partition = &self.partition;
        let own = self.rows.len() + partition.range_bytes;
        let nothing = self.rows.is_empty() && partition.ranges.is_empty();
        if nothing || self.block.len() + own < target || own < target / 4 {
            return;
        }
        self.finish_segment(Some(position));
        self.finish_block();
        let partition = &mut self.partition;
        partition.from = Some(position.to_vec());
        partition
            .ranges
            .retain(|range| range.slice.end.as_slice() > position);
        partition.range_bytes = 0;
        self.block_spot = Some((
            partition.token,
            partition.key.clone(),
            partition.from.clone(),
        ));
    }

    fn finish_segment(&mut self, upto: Option<&[u8]>) {
        let partition = &self.partition;
        let first = partition.from.is_none();
        let head = SegmentHead {
            token: partition.token,
            key: &partition.key,
            deletion: partition.deletion,
            static_row: (partition.has_static && first).then_some(&partition.static_row),
            from: partition.from.as_deref(),
            upto,
            ranges: &partition.ranges,
        };
        self.block.push(&head, &mut self.rows);
    }

    /// Ends the partition.
    pub(crate) fn end_partition(&mut self) {
        self.finish_segment(None);
        self.is_open = false;
    }

    fn finish_block(&mut self) {
        let (token, key, clustering) = self.block_spot.take().expect("a block has a first segment");
        let offset = self.offset();
        let raw = self.block.finish();
        self.stats.raw_bytes += raw.len() as u64;
        let length = self.sealer.seal(
            self.options.compression,
            self.identity,
            offset,
            raw,
            &mut self.out,
        );
        self.stats.data_bytes += length as u64;
        self.block.clear();
        let entry = Entry {
            spot: Spot {
                token,
                key: &key,
                clustering: clustering.as_deref(),
            },
            handle: Handle {
                offset,
                length: length as u32,
            },
        };
        self.index.push(&entry);
        if self.index_spot.is_none() {
            self.index_spot = Some((token, key, clustering));
        }
        if self.index.len() >= INDEX_BLOCK_BYTES {
            self.finish_index_block();
        }
    }

    fn finish_index_block(&mut self) {
        let Some((token, key, clustering)) = self.index_spot.take() else {
            return;
        };
        let offset = self.offset();
        let compression = self.meta_compression();
        let raw = self.index.finish();
        let length = self
            .sealer
            .seal(compression, self.identity, offset, raw, &mut self.out);
        self.index.clear();
        self.root.push(&Entry {
            spot: Spot {
                token,
                key: &key,
                clustering: clustering.as_deref(),
            },
            handle: Handle {
                offset,
                length: length as u32,
            },
        });
    }

    /// Index blocks are small and read often: LZ4 whenever the table is compressed at all.
    fn meta_compression(&self) -> Compression {
        match self.options.compression.codec {
            Codec::None => Compression::PLAIN,
            _ => Compression {
                codec: Codec::Lz4,
                ..Compression::PLAIN
            },
        }
    }

    fn seal_part(&mut self, compression: Compression, raw: &[u8]) -> Handle {
        let offset = self.offset();
        let length = self
            .sealer
            .seal(compression, self.identity, offset, raw, &mut self.out);
        Handle {
            offset,
            length: length as u32,
        }
    }

    /// Ends the file; the last bytes are then in [`Self::take`]. There must be at least one partition.
    pub(crate) fn finish(&mut self) -> Written {
        assert!(
            !self.is_open && !self.is_empty(),
            "whole partitions, at least one"
        );
        self.stats
            .last_partition(self.partition.token, &self.partition.key);
        self.finish_block();
        self.finish_index_block();
        let root = self.root.finish().to_vec();
        let root_handle = self.seal_part(self.meta_compression(), &root);
        let filter_handle = self.filter.take().map(|filter| {
            let mut bytes = Vec::with_capacity(filter.bytes());
            filter.encode(&mut bytes);
            (self.seal_part(Compression::PLAIN, &bytes), filter)
        });
        let mut bytes = self.options.table.0.as_bytes().to_vec();
        bytes.extend_from_slice(&self.options.name.encode());
        self.stats.encode(&mut bytes);
        let stats_handle = self.seal_part(Compression::PLAIN, &bytes);
        let footer = Footer {
            root: root_handle,
            filter: filter_handle.as_ref().map(|(handle, _)| *handle),
            stats: stats_handle,
        };
        self.out.extend_from_slice(&footer.encode());
        Written {
            root,
            filter: filter_handle.map(|(_, filter)| filter),
            stats: std::mem::take(&mut self.stats),
            length: self.offset(),
        }
    }
}
