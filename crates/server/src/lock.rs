//! The data directory belongs to one process at a time.
//!
//! A lock on a file in it says so; the operating system gives it up when the process ends, however it ends. The file
//! holds the process's number, for the message that a second start prints.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "helenus.lock";

/// Why the directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("the data directory {} is in use by {holder}", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// Who has it, in words.
        holder: String,
    },
    /// It cannot be made, or not be written to.
    #[error("cannot use the data directory {}: {error}", directory.display())]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Holds the directory until it is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory if need be and takes it.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let unusable = |error| LockError::Unusable {
            directory: directory.to_owned(),
            error,
        };
        fs::create_dir_all(directory).map_err(unusable)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(FILE_NAME))
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut number = String::new();
                // What cannot be read leaves the holder unnamed.
                let _ = file.read_to_string(&mut number);
                let holder = match number.trim() {
                    "" => "another process".to_owned(),
                    number => format!("process {number}"),
                };
                return Err(LockError::InUse {
                    directory: directory.to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_by_one() {
        let directory = std::env::temp_dir().join(format!("helenus-lock-{}", std::process::id()));
        let held = DirectoryLock::take(&directory).unwrap();
        let second = DirectoryLock::take(&directory).unwrap_err().to_string();
        assert!(
            second.contains(&format!("in use by process {}", std::process::id())),
            "{second}"
        );
        drop(held);
        DirectoryLock::take(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        let file = std::env::temp_dir().join(format!("helenus-lock-file-{}", std::process::id()));
        fs::write(&file, "").unwrap();
        assert!(matches!(
            DirectoryLock::take(&file),
            Err(LockError::Unusable { .. })
        ));
        fs::remove_file(&file).unwrap();
    }
}
