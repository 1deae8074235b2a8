//! Carries out one request with the calls of the operating system.

use super::files::Files;
use model::env::{Entry, FileId, IoDone, IoError, IoOutcome, IoRequest, OpenMode};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Longer reads are those of who reads a whole file: they may as well be done elsewhere.
const AT_ONCE_READ_BYTES: usize = 64 << 10;

/// A directory and the files open below it.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    files: Files,
    /// Whether the file system refused to read without waiting: it is not asked again.
    always_waits: AtomicBool,
}

impl Disk {
    /// The disk below `directory`.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            files: Files::default(),
            always_waits: AtomicBool::new(false),
        }
    }

    /// Reads what the operating system has in memory; gives the request back if the disk would have to be waited for, if
    /// it is no read, or if it is longer than what is left of the budget, from which its bytes are taken.
    pub fn read_at_once(
        &self,
        shard: u16,
        request: IoRequest,
        budget: &mut usize,
    ) -> Result<IoDone, IoRequest> {
        let IoRequest::ReadInto {
            file,
            offset,
            length,
            buffer,
        } = request
        else {
            return Err(request);
        };
        let mut bytes = sized(buffer, length);
        let allowed = length <= AT_ONCE_READ_BYTES
            && length <= *budget
            && !self.always_waits.load(Ordering::Relaxed);
        if allowed && let Ok(open) = self.files.get(shard, file) {
            let into = &mut [IoSliceMut::new(&mut bytes)];
            match preadv2(&*open, into, offset, ReadWriteFlags::NOWAIT) {
                Ok(read) if read == length => {
                    *budget -= length;
                    return Ok(IoDone::Read(bytes));
                }
                // A part of it, or the end of the file: whoever may wait finds out which.
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                // This file system, or kernel, cannot.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    self.always_waits.store(true, Ordering::Relaxed);
                }
                // Whatever else is wrong, it is for an ordinary read to tell.
                Err(_) => {}
            }
        }
        Err(IoRequest::ReadInto {
            file,
            offset,
            length,
            buffer: bytes,
        })
    }

    /// Does what a shard asks for. Blocks.
    pub fn execute(&self, shard: u16, request: IoRequest) -> IoOutcome {
        match request {
            IoRequest::Chain(requests) => {
                let mut last = IoDone::Done;
                for request in requests {
                    last = self.execute(shard, request)?;
                }
                Ok(last)
            }
            IoRequest::Open { file, path, mode } => self.open(shard, file, &path, mode),
            IoRequest::Close { file } => self.close(shard, file),
            IoRequest::Read {
                file,
                offset,
                length,
            } => read(&*self.files.get(shard, file)?, offset, vec![0; length]),
            IoRequest::ReadInto {
                file,
                offset,
                length,
                buffer,
            } => read(
                &*self.files.get(shard, file)?,
                offset,
                sized(buffer, length),
            ),
            IoRequest::Write { file, offset, data } => self.write(shard, file, offset, &data),
            IoRequest::WriteShared { file, offset, data } => self.write(shard, file, offset, &data),
            IoRequest::Sync { file } => synced(self.files.get(shard, file)?.sync_data()),
            IoRequest::SetLength { file, length } => {
                done("truncate", self.files.get(shard, file)?.set_len(length))
            }
            IoRequest::Rename { from, to } => {
                let (from, to) = (self.path(&from)?, self.path(&to)?);
                named(&from, fs::rename(&from, to))
            }
            IoRequest::Remove { path } => {
                let path = self.path(&path)?;
                named(&path, absent_is_fine(fs::remove_file(&path)))
            }
            IoRequest::RemoveTree { path } => {
                let path = self.path(&path)?;
                named(&path, absent_is_fine(fs::remove_dir_all(&path)))
            }
            IoRequest::CreateDirectory { path } => {
                let path = self.path(&path)?;
                named(&path, fs::create_dir_all(&path))
            }
            IoRequest::SyncDirectory { path } => {
                let path = self.path(&path)?;
                named(
                    &path,
                    File::open(&path).and_then(|directory| directory.sync_all()),
                )
            }
            IoRequest::Link { from, to } => {
                let (from, to) = (self.path(&from)?, self.path(&to)?);
                named(&from, fs::hard_link(&from, to))
            }
            IoRequest::List { path } => {
                let path = self.path(&path)?;
                list(&path)
                    .map(IoDone::Listed)
                    .map_err(|error| classify(&path.display().to_string(), &error))
            }
        }
    }

    fn write(&self, shard: u16, file: FileId, offset: u64, data: &[u8]) -> IoOutcome {
        let file = self.files.get(shard, file)?;
        done("write", file.write_all_at(data, offset))
    }

    fn close(&self, shard: u16, file: FileId) -> IoOutcome {
        self.files.remove(shard, file);
        Ok(IoDone::Done)
    }

    fn open(&self, shard: u16, id: FileId, path: &str, mode: OpenMode) -> IoOutcome {
        let path = self.path(path)?;
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create_new(true);
            }
        }
        let opened = options
            .open(&path)
            .and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) =
            opened.map_err(|error| classify(&path.display().to_string(), &error))?;
        self.files.insert(shard, id, file)?;
        Ok(IoDone::Opened { length })
    }

    /// A path below the directory; nothing may lead out of it.
    fn path(&self, relative: &str) -> Result<PathBuf, IoError> {
        let path = Path::new(relative);
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if inside {
            Ok(self.directory.join(path))
        } else {
            Err(IoError::Other(format!(
                "`{relative}` is not a path below the data directory"
            )))
        }
    }
}

/// The buffer with this length, whatever it holds.
fn sized(mut buffer: Vec<u8>, length: usize) -> Vec<u8> {
    buffer.resize(length, 0);
    buffer
}

/// Reads until the buffer is full or the file ends.
fn read(file: &File, offset: u64, mut bytes: Vec<u8>) -> IoOutcome {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(classify("read", &error)),
        }
    }
    bytes.truncate(filled);
    Ok(IoDone::Read(bytes))
}

fn list(path: &Path) -> io::Result<Vec<Entry>> {
    let directory = match fs::read_dir(path) {
        Ok(directory) => directory,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for entry in directory {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Another shard removed or renamed it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let directory = metadata.is_dir();
        entries.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            length: if directory { 0 } else { metadata.len() },
            directory,
        });
    }
    entries.sort_unstable();
    Ok(entries)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn named(path: &Path, result: io::Result<()>) -> IoOutcome {
    match result {
        Ok(()) => Ok(IoDone::Done),
        Err(error) => Err(classify(&path.display().to_string(), &error)),
    }
}

fn done(what: &str, result: io::Result<()>) -> IoOutcome {
    result
        .map(|()| IoDone::Done)
        .map_err(|error| classify(what, &error))
}

/// A sync that failed for want of room is no [`IoError::Full`]: the system may have given up the pages it could not write, and
/// the next sync would report success all the same.
fn synced(result: io::Result<()>) -> IoOutcome {
    match result {
        Ok(()) => Ok(IoDone::Done),
        Err(error) => Err(IoError::Other(format!("fdatasync: {error}"))),
    }
}

/// The class by which an error is acted on.
fn classify(what: &str, error: &io::Error) -> IoError {
    let message = format!("{what}: {error}");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => IoError::Full(message),
        ErrorKind::NotFound => IoError::NotFound(message),
        ErrorKind::AlreadyExists => IoError::Exists(message),
        _ => IoError::Other(message),
    }
}
