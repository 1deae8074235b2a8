//! A disk that is memory and answers at once.

use model::env::{Entry, FileId, IoDone, IoError, IoOutcome, IoRequest, OpenMode};
use std::collections::BTreeMap;

/// Files in memory.
#[derive(Default)]
pub struct Memory {
    files: Vec<Vec<u8>>,
    paths: BTreeMap<String, usize>,
    open: BTreeMap<FileId, usize>,
}

impl Memory {
    /// Carries a request out.
    pub fn answer(&mut self, request: IoRequest) -> IoOutcome {
        match request {
            IoRequest::Chain(requests) => {
                let mut last = IoDone::Done;
                for request in requests {
                    last = self.answer(request)?;
                }
                return Ok(last);
            }
            IoRequest::Open { file, path, mode } => {
                if mode == OpenMode::Create {
                    self.files.push(Vec::new());
                    self.paths.insert(path.clone(), self.files.len() - 1);
                }
                let Some(&index) = self.paths.get(&path) else {
                    return Err(IoError::NotFound(path));
                };
                self.open.insert(file, index);
                return Ok(IoDone::Opened {
                    length: self.files[index].len() as u64,
                });
            }
            IoRequest::Close { file } => {
                self.open.remove(&file);
            }
            IoRequest::Read {
                file,
                offset,
                length,
            } => {
                let content = &self.files[self.open[&file]];
                let end = (offset as usize + length).min(content.len());
                return Ok(IoDone::Read(content[offset as usize..end].to_vec()));
            }
            IoRequest::ReadInto {
                file,
                offset,
                length,
                mut buffer,
            } => {
                let content = &self.files[self.open[&file]];
                let end = (offset as usize + length).min(content.len());
                buffer.clear();
                buffer.extend_from_slice(&content[offset as usize..end]);
                return Ok(IoDone::Read(buffer));
            }
            IoRequest::Write { file, offset, data } => self.write(file, offset, &data),
            IoRequest::WriteShared { file, offset, data } => self.write(file, offset, &data),
            IoRequest::SetLength { file, length } => {
                self.files[self.open[&file]].resize(length as usize, 0);
            }
            IoRequest::Rename { from, to } => {
                if let Some(index) = self.paths.remove(&from) {
                    self.paths.insert(to, index);
                }
            }
            IoRequest::Remove { path } => {
                if let Some(index) = self.paths.remove(&path) {
                    self.files[index] = Vec::new();
                }
            }
            IoRequest::List { path } => return Ok(IoDone::Listed(self.list(&path))),
            _ => {}
        }
        Ok(IoDone::Done)
    }

    fn list(&self, path: &str) -> Vec<Entry> {
        let below = format!("{path}/");
        let entries = self.paths.iter().filter_map(|(path, index)| {
            let name = path
                .strip_prefix(&below)
                .filter(|name| !name.contains('/'))?;
            let length = self.files[*index].len() as u64;
            Some(Entry {
                name: name.to_owned(),
                length,
                directory: false,
            })
        });
        entries.collect()
    }

    /// The same files after a restart: none is open.
    pub fn closed(self) -> Self {
        Self {
            open: BTreeMap::new(),
            ..self
        }
    }

    fn write(&mut self, file: FileId, offset: u64, data: &[u8]) {
        let content = &mut self.files[self.open[&file]];
        let end = offset as usize + data.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(data);
    }
}
