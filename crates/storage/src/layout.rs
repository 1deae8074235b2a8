//! The data directory's layout file: which generation of it counts, and for how many shards it was written.
//!
//! A start with another number of shards is a new generation. Each shard takes over its part of the old one: it links
//! the SSTables that hold tokens of its own, replays those tokens from all old logs, flushes them, and writes manifests
//! under the new generation's number. Only when every shard is ready is the layout file replaced, in one step; until
//! then the old generation is untouched, and a crash begins the takeover anew. What the old generation left is removed
//! afterwards. The node owns the one instance and runs it before and after it opens the stores.

use crate::config::Generation;
use crate::error::StoreError;
use crate::format::{self, u16_at, u32_at};
use model::env::{FileId, IoDone, IoError, IoOutcome, IoQueue, IoRequest, IoTag, OpenMode};

const MAGIC: [u8; 8] = *b"HELNDATA";
const PATH: &str = "layout";
const NEW_PATH: &str = "layout.new";
/// The directory all paths are relative to.
pub(crate) const ROOT: &str = ".";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Opening,
    Reading,
    /// Writing the first layout file of a new directory.
    Creating,
    Known,
    Committing,
    Failed,
}

/// Reads, and replaces, the layout file.
#[derive(Debug)]
pub struct LayoutFile {
    space: u64,
    shards: u16,
    step: Step,
    tags: u64,
    generation: Option<Generation>,
    error: Option<StoreError>,
}

impl LayoutFile {
    /// Begins reading it for a start with so many shards. `io_space` is the upper byte of its tags and file ids.
    pub fn open(shards: u16, io_space: u8, io: &mut IoQueue) -> Self {
        assert!(shards > 0, "a node has a shard");
        let mut layout = Self {
            space: u64::from(io_space) << 56,
            shards,
            step: Step::Opening,
            tags: 0,
            generation: None,
            error: None,
        };
        let file = layout.file();
        layout.submit(
            io,
            IoRequest::Open {
                file,
                path: PATH.to_owned(),
                mode: OpenMode::Read,
            },
        );
        layout
    }

    fn file(&self) -> FileId {
        FileId(self.space | 1)
    }

    fn submit(&mut self, io: &mut IoQueue, request: IoRequest) {
        self.tags += 1;
        io.submit(IoTag(self.space | self.tags), request);
    }

    /// The generation the stores are opened with, once it is known.
    pub fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// Why it cannot be known, or could not be replaced.
    pub fn error(&self) -> Option<&StoreError> {
        self.error.as_ref()
    }

    /// Whether the generation the stores were opened with is the one that counts. Only then may they be written to.
    pub fn is_settled(&self) -> bool {
        self.step == Step::Known
            && self
                .generation
                .is_some_and(|known| known.previous.is_none())
    }

    /// Makes the new generation the one that counts: when all stores are ready, and only if there is a previous one.
    pub fn commit(&mut self, io: &mut IoQueue) {
        let Some(Generation {
            number,
            previous: Some(_),
        }) = self.generation
        else {
            return;
        };
        if self.step == Step::Known {
            self.step = Step::Committing;
            self.write(number, io);
        }
    }

    fn write(&mut self, generation: u32, io: &mut IoQueue) {
        let file = self.file();
        let mut fields = Vec::with_capacity(6);
        fields.extend_from_slice(&generation.to_le_bytes());
        fields.extend_from_slice(&self.shards.to_le_bytes());
        let data = format::head(MAGIC, &fields).to_vec();
        let path = NEW_PATH.to_owned();
        let chain = vec![
            IoRequest::Remove { path: path.clone() },
            IoRequest::Open {
                file,
                path: path.clone(),
                mode: OpenMode::Create,
            },
            IoRequest::Write {
                file,
                offset: 0,
                data,
            },
            IoRequest::Sync { file },
            IoRequest::Close { file },
            IoRequest::Rename {
                from: path,
                to: PATH.to_owned(),
            },
            IoRequest::SyncDirectory {
                path: ROOT.to_owned(),
            },
        ];
        self.submit(io, IoRequest::Chain(chain));
    }

    /// Takes the outcome of one of its requests; others are ignored.
    pub fn on_io(&mut self, tag: IoTag, outcome: IoOutcome, io: &mut IoQueue) {
        if tag.0 != self.space | self.tags {
            return;
        }
        match (self.step, outcome) {
            (Step::Opening, Ok(_)) => {
                self.step = Step::Reading;
                let file = self.file();
                let length = format::HEAD_BYTES;
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
            (Step::Opening, Err(IoError::NotFound(_))) => {
                self.step = Step::Creating;
                self.write(1, io);
            }
            (Step::Reading, Ok(IoDone::Read(bytes))) => {
                let file = self.file();
                // Its answer is nobody's: the tag that counts is the last one.
                self.submit(io, IoRequest::Close { file });
                self.tags += 1;
                self.read(&bytes);
            }
            (Step::Creating, Ok(_)) => self.know(1, None),
            (Step::Committing, Ok(_)) => {
                let number = self.generation.expect("committing it").number;
                self.know(number, None);
            }
            (_, Ok(_)) => {}
            (_, Err(error)) => self.fail(StoreError::io(PATH, error)),
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        match format::check_head(PATH, MAGIC, bytes) {
            Ok(fields) => {
                let (number, shards) = (u32_at(fields, 0), u16_at(fields, 4));
                match number.checked_add(1) {
                    Some(_) if shards == self.shards => self.know(number, None),
                    Some(next) if shards > 0 => self.know(next, Some((number, shards))),
                    _ => {
                        let what = "there is no such generation, or it has no shards";
                        self.fail(StoreError::corrupt(PATH, 0, what));
                    }
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn know(&mut self, number: u32, previous: Option<(u32, u16)>) {
        self.step = Step::Known;
        self.generation = Some(Generation { number, previous });
    }

    fn fail(&mut self, error: StoreError) {
        self.step = Step::Failed;
        self.error = Some(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a start with two shards makes of a file with this generation and so many shards.
    fn read(number: u32, shards: u16) -> LayoutFile {
        let mut io = IoQueue::default();
        let mut layout = LayoutFile::open(2, 1, &mut io);
        let mut fields = number.to_le_bytes().to_vec();
        fields.extend_from_slice(&shards.to_le_bytes());
        layout.read(&format::head(MAGIC, &fields));
        layout
    }

    #[test]
    fn a_layout_that_nobody_writes_is_refused() {
        assert!(read(7, 2).is_settled());
        let previous = Some((7, 3));
        let next = Generation {
            number: 8,
            previous,
        };
        assert_eq!(read(7, 3).generation(), Some(next));
        for (number, shards) in [(u32::MAX, 3), (7, 0)] {
            let layout = read(number, shards);
            assert!(matches!(layout.error(), Some(StoreError::Corrupt { .. })));
            assert_eq!(layout.generation(), None);
        }
    }
}
