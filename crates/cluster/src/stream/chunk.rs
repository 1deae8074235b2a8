//! What one chunk of a stream asks for, and what is made of the answer.
//!
//! The question is an ordinary read of a range of partitions at a moment at which nothing has expired and nothing may be forgotten, so
//! that the answer is what the replica holds: rows with their tombstones and times, deletions of ranges and of partitions.

use model::clustering::Slice;
use model::key::{DecoratedKey, Token};
use model::mutation::Mutation;
use model::read::{
    Dead, KeyRange, Limits, Partitions, ReadCommand, ReadEntry, ReadResponse, Resume,
};
use model::schema::TableId;

/// Bytes of a chunk, about, where there is room for them: it ends with the row that reaches them.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Bytes of rows that one mutation of a chunk carries at most, one row aside.
const MUTATION_BYTES: usize = 1 << 20;

/// The read that gives the next chunk, for a taker that has room for so many bytes at once: one that never fits would be asked for
/// again for ever.
pub fn command(
    table: TableId,
    range: KeyRange,
    resume: Option<Resume>,
    room: usize,
) -> ReadCommand {
    ReadCommand {
        static_counts: false,
        limits: Limits {
            bytes: CHUNK_BYTES.min(room),
            ..Limits::NONE
        },
        resume,
        dead: Dead::Kept,
        ..ReadCommand::all(table, Partitions::Range(range), 0)
    }
}

/// A chunk taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// What it says, as writes.
    pub mutations: Vec<Mutation>,
    /// Where the next one begins; `None` if this was the last.
    pub resume: Option<Resume>,
}

impl Chunk {
    /// Takes an answer to [`command`] apart.
    pub fn of(table: TableId, response: &ReadResponse) -> Self {
        let mut chunk = Self::default();
        let mut row_bytes = 0;
        let mut last: Option<(Token, &[u8], Option<&[u8]>)> = None;
        for entry in response.entries() {
            match entry {
                ReadEntry::Partition {
                    token,
                    key,
                    deletion,
                } => {
                    last = Some((token, key, None));
                    row_bytes = 0;
                    let mut mutation = Mutation::new(decorated(token, key));
                    let update = mutation.update(table);
                    if !deletion.is_none() {
                        update.delete(deletion);
                    }
                    chunk.mutations.push(mutation);
                }
                ReadEntry::Static(row) => {
                    if let Some(mutation) = chunk.mutations.last_mut() {
                        mutation.update(table).add_static(row.to_vec());
                        row_bytes += row.len();
                    }
                }
                ReadEntry::Range {
                    start,
                    end,
                    deletion,
                } => {
                    if let Some(mutation) = chunk.mutations.last_mut() {
                        let (start, end) = (start.to_vec(), end.to_vec());
                        let ranges = &mut mutation.update(table).ranges;
                        ranges.add(Slice { start, end }, deletion);
                    }
                }
                ReadEntry::Row { clustering, row } => {
                    let Some((token, key, at)) = &mut last else {
                        continue;
                    };
                    *at = Some(clustering);
                    let bytes = clustering.len() + row.len();
                    if row_bytes > 0 && row_bytes + bytes > MUTATION_BYTES {
                        row_bytes = 0;
                        chunk.mutations.push(Mutation::new(decorated(*token, key)));
                    }
                    row_bytes += bytes;
                    if let Some(mutation) = chunk.mutations.last_mut() {
                        mutation
                            .update(table)
                            .add_row(clustering.to_vec(), row.to_vec());
                    }
                }
            }
        }
        chunk.resume = last
            .filter(|_| response.more)
            .map(|(token, key, clustering)| Resume {
                key: decorated(token, key),
                clustering: clustering.map(<[u8]>::to_vec),
                left_in_partition: u64::MAX,
                gave_rows: clustering.is_some(),
            });
        chunk
    }
}

fn decorated(token: Token, key: &[u8]) -> DecoratedKey {
    DecoratedKey {
        token,
        key: key.into(),
    }
}

/// Rows, and the checksum of their bytes as the shard that read them computed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// CRC-32 of the bytes.
    pub crc: u32,
    /// The rows.
    pub response: ReadResponse,
}

impl Checked {
    /// Rows that were just read.
    pub fn new(response: ReadResponse) -> Self {
        Self {
            crc: crc32fast::hash(&response.bytes),
            response,
        }
    }

    /// The rows, if they are what was read.
    pub fn verified(self) -> Option<ReadResponse> {
        (crc32fast::hash(&self.response.bytes) == self.crc).then_some(self.response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::row::Deletion;

    fn deletion(at: i64) -> Deletion {
        Deletion {
            timestamp: at,
            local_seconds: at,
        }
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let mut checked = Checked::new(ReadResponse {
            bytes: vec![1, 2, 3],
            ..ReadResponse::default()
        });
        assert!(checked.clone().verified().is_some());
        checked.response.bytes[1] ^= 4;
        assert!(checked.verified().is_none());
    }

    #[test]
    fn partitions_become_mutations_and_the_next_chunk_begins_behind_the_last_row() {
        let table = TableId(uuid::Uuid::from_u128(7));
        let mut response = ReadResponse::default();
        response.put_partition(Token(1), b"a", deletion(5));
        response.put_partition(Token(2), b"b", Deletion::NONE);
        let slice = Slice {
            start: vec![1],
            end: vec![9],
        };
        response.put_range(&slice, deletion(6));
        response.put_row(&[3], &[0]);
        let chunk = Chunk::of(table, &response);
        assert_eq!(chunk.resume, None);
        let [first, second] = chunk.mutations.as_slice() else {
            panic!("two partitions")
        };
        assert_eq!(first.updates()[0].1.deletion, Some(deletion(5)));
        assert_eq!(second.updates()[0].1.deletion, None);
        assert_eq!(second.updates()[0].1.ranges.covering(&[3]), deletion(6));
        assert_eq!(second.updates()[0].1.rows().len(), 1);
        response.more = true;
        let resume = Chunk::of(table, &response).resume.expect("there is more");
        assert_eq!(*resume.key.key, *b"b");
        assert_eq!(resume.clustering, Some(vec![3]));
    }

    #[test]
    fn a_partition_that_is_longer_than_a_mutation_becomes_several() {
        let table = TableId(uuid::Uuid::from_u128(7));
        let mut response = ReadResponse::default();
        response.put_partition(Token(1), b"a", Deletion::NONE);
        let row = vec![0; MUTATION_BYTES / 2];
        for number in 0..4 {
            response.put_row(&[number], &row);
        }
        let chunk = Chunk::of(table, &response);
        assert_eq!(chunk.mutations.len(), 4);
        assert!(chunk.mutations.iter().all(|one| *one.key.key == *b"a"));
    }
}
