//! A simulated disk: everything a real one may do, decided by a seed.
//!
//! Requests finish after a random delay, so separate ones in any order; the requests of a chain one after the other,
//! with others in between. A crash keeps any subset of the sectors and directory entries that were not synced, of
//! requests in flight any part, and everything that was synced. The disk can be full, can fail, and can rot.
//!
//! What must stay true: without a crash or a fault, a read gives what was written last.

mod content;

use crate::planted::Planted;
use crate::random::Rng;
use model::env::{Entry, FileId, IoDone, IoError, IoOutcome, IoRequest, IoTag, OpenMode};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Bytes that survive a crash together.
const SECTOR: usize = 512;

/// Who submitted a request: one of several shards on the same disk.
pub type Owner = u16;

#[derive(Debug, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
    /// Sectors that take space.
    allocated: BTreeSet<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(u64),
    Directory,
}

#[derive(Debug, Clone)]
enum Change {
    Put(String, Node),
    Remove(String),
    Rename(String, String, Node),
}

#[derive(Debug, Default)]
struct Directory {
    entries: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// Changes since the last sync, in order.
    changes: Vec<Change>,
}

impl Directory {
    fn apply(entries: &mut BTreeMap<String, Node>, change: &Change) {
        match change {
            Change::Put(name, node) => {
                entries.insert(name.clone(), *node);
            }
            Change::Remove(name) => {
                entries.remove(name);
            }
            Change::Rename(from, to, node) => {
                entries.remove(from);
                entries.insert(to.clone(), *node);
            }
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.entries, &change);
        self.changes.push(change);
    }
}

#[derive(Debug)]
struct Pending {
    owner: Owner,
    tag: IoTag,
    steps: VecDeque<IoRequest>,
}

/// What can go wrong, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Bytes of space.
    pub capacity: u64,
    /// The number of syncs after which one fails; `u64::MAX` for never.
    pub failing_sync: u64,
    /// Whether files and directories can be opened: not while the process has no descriptor left.
    pub can_open: bool,
    /// Longest delay of a request in nanoseconds.
    pub max_delay: u64,
}

impl Faults {
    /// A disk that works.
    pub const NONE: Self = Self {
        capacity: u64::MAX,
        failing_sync: u64::MAX,
        can_open: true,
        max_delay: 2_000_000,
    };
}

/// The disk.
#[derive(Debug)]
pub struct SimDisk {
    rng: Rng,
    /// What can go wrong.
    pub faults: Faults,
    /// What is wrong with the disk itself.
    pub planted: Planted,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    directories: BTreeMap<String, Directory>,
    open: BTreeMap<(Owner, FileId), (u64, OpenMode, String)>,
    /// By the time of their next step and a counter that keeps them apart.
    queue: BTreeMap<(u64, u64), Pending>,
    counter: u64,
    used: u64,
    /// Requests carried out.
    pub steps: u64,
}

/// Whether a request takes a descriptor.
fn opens(request: &IoRequest) -> bool {
    use IoRequest::{List, Open, SyncDirectory};
    matches!(request, Open { .. } | SyncDirectory { .. } | List { .. })
}

fn split(path: &str) -> (String, String) {
    match path.rsplit_once('/') {
        Some((parent, name)) => (parent.to_owned(), name.to_owned()),
        None => (".".to_owned(), path.to_owned()),
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new(rng: Rng) -> Self {
        let mut disk = Self {
            rng,
            faults: Faults::NONE,
            planted: Planted::Nothing,
            inodes: BTreeMap::new(),
            next_inode: 0,
            directories: BTreeMap::new(),
            open: BTreeMap::new(),
            queue: BTreeMap::new(),
            counter: 0,
            used: 0,
            steps: 0,
        };
        disk.directories
            .insert(".".to_owned(), Directory::default());
        disk
    }

    /// Takes a request at a time in nanoseconds.
    pub fn submit(&mut self, owner: Owner, tag: IoTag, request: IoRequest, now: u64) {
        let steps = match request {
            IoRequest::Chain(steps) => steps.into(),
            one => VecDeque::from([one]),
        };
        self.schedule(Pending { owner, tag, steps }, now);
    }

    fn schedule(&mut self, pending: Pending, now: u64) {
        self.counter += 1;
        let at = now + 1 + self.rng.below(self.faults.max_delay);
        self.queue.insert((at, self.counter), pending);
    }

    /// When the next step of any request happens.
    pub fn next_at(&self) -> Option<u64> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Carries out the next step; returns an outcome if that was the last of its request.
    pub fn step(&mut self) -> Option<(Owner, IoTag, IoOutcome)> {
        let ((at, _), mut pending) = self.queue.pop_first()?;
        let request = pending
            .steps
            .pop_front()
            .expect("a pending request has a step");
        self.steps += 1;
        let outcome = if opens(&request) && !self.faults.can_open {
            Err(IoError::Other("too many open files".into()))
        } else {
            self.carry_out(pending.owner, request)
        };
        if outcome.is_ok() && !pending.steps.is_empty() {
            self.schedule(pending, at);
            return None;
        }
        Some((pending.owner, pending.tag, outcome))
    }

    fn inode(&mut self, owner: Owner, file: FileId) -> Result<(&mut Inode, OpenMode), IoError> {
        let (inode, mode, _) = self
            .open
            .get(&(owner, file))
            .ok_or_else(|| IoError::Other(format!("{file:?} is not open")))?;
        Ok((
            self.inodes.get_mut(inode).expect("an open inode exists"),
            *mode,
        ))
    }

    fn sync(&mut self, owner: Owner, file: FileId) -> Result<(), IoError> {
        if self.is_planted(Planted::SyncSkipped, owner, file) {
            return Ok(());
        }
        self.faults.failing_sync = self.faults.failing_sync.saturating_sub(1);
        let fails = self.faults.failing_sync == 0;
        if fails {
            self.faults.failing_sync = u64::MAX;
        }
        let (inode, _) = self.inode(owner, file)?;
        if fails {
            // As Linux does: what could not be written is forgotten and the next sync succeeds.
            inode.dirty.clear();
            return Err(IoError::Other("the sync failed".into()));
        }
        inode.durable.resize(inode.content.len(), 0);
        for sector in std::mem::take(&mut inode.dirty) {
            copy_sector(&inode.content, &mut inode.durable, sector);
        }
        Ok(())
    }

    fn carry_out(&mut self, owner: Owner, request: IoRequest) -> IoOutcome {
        match request {
            IoRequest::Open { file, path, mode } => return self.open_file(owner, file, path, mode),
            IoRequest::Close { file } => {
                self.open.remove(&(owner, file));
                self.collect();
            }
            IoRequest::Read {
                file,
                offset,
                length,
            }
            | IoRequest::ReadInto {
                file,
                offset,
                length,
                ..
            } => {
                let (inode, _) = self.inode(owner, file)?;
                let start = (offset as usize).min(inode.content.len());
                let end = (start + length).min(inode.content.len());
                return Ok(IoDone::Read(inode.content[start..end].to_vec()));
            }
            IoRequest::Write { file, offset, data } => self.write(owner, file, offset, &data)?,
            IoRequest::WriteShared { file, offset, data } => {
                self.write(owner, file, offset, &data)?;
            }
            IoRequest::Sync { file } => self.sync(owner, file)?,
            IoRequest::SetLength { file, length } => {
                let (inode, _) = self.inode(owner, file)?;
                inode.content.resize(length as usize, 0);
            }
            IoRequest::Rename { from, to } => self.rename(&from, &to)?,
            IoRequest::Remove { path } => self.remove(&path),
            IoRequest::RemoveTree { path } => self.remove_tree(&path),
            IoRequest::CreateDirectory { path } => self.create_directory(&path),
            IoRequest::SyncDirectory { path } => {
                let forgets = self.planted == Planted::EntryForgotten;
                let directory = self.directory(&path)?;
                let forgotten = directory.changes.pop().filter(|_| forgets);
                directory.durable = directory.entries.clone();
                directory.changes.clear();
                if let Some(Change::Put(name, _) | Change::Rename(_, name, _)) = forgotten {
                    directory.durable.remove(&name);
                }
            }
            IoRequest::Link { from, to } => {
                let node = self
                    .lookup(&from)
                    .ok_or_else(|| IoError::NotFound(from.clone()))?;
                if self.lookup(&to).is_some() {
                    return Err(IoError::Exists(to));
                }
                let (parent, name) = split(&to);
                self.directory(&parent)?.change(Change::Put(name, node));
            }
            IoRequest::List { path } => return Ok(IoDone::Listed(self.list(&path))),
            IoRequest::Chain(_) => return Err(IoError::Other("chains do not nest".into())),
        }
        Ok(IoDone::Done)
    }

    /// Whether a defect of the commit log is planted, and this file is of one.
    fn is_planted(&self, planted: Planted, owner: Owner, file: FileId) -> bool {
        let path = self.open.get(&(owner, file)).map(|(_, _, path)| path);
        self.planted == planted && path.is_some_and(|path| path.starts_with("commitlog/"))
    }

    fn directory(&mut self, path: &str) -> Result<&mut Directory, IoError> {
        self.directories
            .get_mut(path)
            .ok_or_else(|| IoError::NotFound(path.to_owned()))
    }

    fn lookup(&self, path: &str) -> Option<Node> {
        let (parent, name) = split(path);
        self.directories.get(&parent)?.entries.get(&name).copied()
    }

    fn open_file(&mut self, owner: Owner, file: FileId, path: String, mode: OpenMode) -> IoOutcome {
        assert!(
            !self.open.contains_key(&(owner, file)),
            "{file:?} is open already"
        );
        let inode = match (self.lookup(&path), mode) {
            (Some(_), OpenMode::Create) => return Err(IoError::Exists(path)),
            (Some(Node::File(inode)), _) => inode,
            (Some(Node::Directory), _) => return Err(IoError::Other(format!("{path}: directory"))),
            (None, OpenMode::Create) => {
                self.next_inode += 1;
                let (parent, name) = split(&path);
                let node = Node::File(self.next_inode);
                self.directory(&parent)?.change(Change::Put(name, node));
                self.inodes.insert(self.next_inode, Inode::default());
                self.next_inode
            }
            (None, _) => return Err(IoError::NotFound(path)),
        };
        let length = self.inodes[&inode].content.len() as u64;
        self.open.insert((owner, file), (inode, mode, path));
        Ok(IoDone::Opened { length })
    }

    fn write(
        &mut self,
        owner: Owner,
        file: FileId,
        offset: u64,
        data: &[u8],
    ) -> Result<(), IoError> {
        if self.is_planted(Planted::RecordLost, owner, file) && self.rng.chance(1) {
            return Ok(());
        }
        let capacity = self.faults.capacity;
        let used = self.used;
        let (inode, mode) = self.inode(owner, file)?;
        if mode == OpenMode::Read {
            return Err(IoError::Other("opened for reading".into()));
        }
        let (start, end) = (offset as usize, offset as usize + data.len());
        if data.is_empty() {
            return Ok(());
        }
        let sectors = start / SECTOR..=(end - 1) / SECTOR;
        let new = sectors
            .clone()
            .filter(|sector| !inode.allocated.contains(sector))
            .count();
        if used + (new * SECTOR) as u64 > capacity {
            return Err(IoError::Full("simulated".into()));
        }
        if inode.content.len() < end {
            inode.content.resize(end, 0);
        }
        inode.content[start..end].copy_from_slice(data);
        for sector in sectors {
            inode.dirty.insert(sector);
            inode.allocated.insert(sector);
        }
        self.used += (new * SECTOR) as u64;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), IoError> {
        let node = self
            .lookup(from)
            .ok_or_else(|| IoError::NotFound(from.to_owned()))?;
        let ((parent, old), (other, new)) = (split(from), split(to));
        assert_eq!(parent, other, "a rename stays in its directory");
        self.directory(&parent)?
            .change(Change::Rename(old, new, node));
        self.collect();
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        if self.lookup(path).is_some() {
            let (parent, name) = split(path);
            let directory = self.directories.get_mut(&parent).expect("looked up");
            directory.change(Change::Remove(name));
            self.collect();
        }
    }

    fn remove_tree(&mut self, path: &str) {
        self.remove(path);
        let below = format!("{path}/");
        self.directories
            .retain(|other, _| other != path && !other.starts_with(&below));
        self.collect();
    }

    fn create_directory(&mut self, path: &str) {
        let mut at = String::new();
        for part in path.split('/') {
            let parent = if at.is_empty() {
                ".".to_owned()
            } else {
                at.clone()
            };
            at = if at.is_empty() {
                part.to_owned()
            } else {
                format!("{at}/{part}")
            };
            let parent = self.directories.get_mut(&parent).expect("made before");
            if !parent.entries.contains_key(part) {
                parent.change(Change::Put(part.to_owned(), Node::Directory));
                self.directories.insert(at.clone(), Directory::default());
            }
        }
    }

    fn list(&self, path: &str) -> Vec<Entry> {
        let entries = self
            .directories
            .get(path)
            .into_iter()
            .flat_map(|directory| &directory.entries);
        entries
            .map(|(name, node)| match node {
                Node::File(inode) => Entry {
                    name: name.clone(),
                    length: self.inodes[inode].content.len() as u64,
                    directory: false,
                },
                Node::Directory => Entry {
                    name: name.clone(),
                    length: 0,
                    directory: true,
                },
            })
            .collect()
    }

    /// Frees inodes that nothing names, has open, or may name again after a crash.
    fn collect(&mut self) {
        let mut kept: BTreeSet<u64> = self.open.values().map(|(inode, ..)| *inode).collect();
        for directory in self.directories.values() {
            let changes = directory.changes.iter().filter_map(|change| match change {
                Change::Put(_, node) | Change::Rename(_, _, node) => Some(node),
                Change::Remove(_) => None,
            });
            let nodes = directory
                .entries
                .values()
                .chain(directory.durable.values())
                .chain(changes);
            kept.extend(nodes.filter_map(|node| match node {
                Node::File(inode) => Some(*inode),
                Node::Directory => None,
            }));
        }
        self.inodes.retain(|inode, _| kept.contains(inode));
        // Space is free as soon as nothing names the file at present and nobody has it open.
        let mut named: BTreeSet<u64> = self.open.values().map(|(inode, ..)| *inode).collect();
        for node in self
            .directories
            .values()
            .flat_map(|directory| directory.entries.values())
        {
            if let Node::File(inode) = node {
                named.insert(*inode);
            }
        }
        let allocated = named
            .iter()
            .map(|inode| self.inodes[inode].allocated.len() * SECTOR);
        self.used = allocated.sum::<usize>() as u64;
    }

    /// Loses power: requests in flight are carried out in any part, what was not synced survives in any part.
    pub fn crash(&mut self) {
        let pending = std::mem::take(&mut self.queue);
        for (_, mut pending) in pending {
            let whole = self.rng.index(pending.steps.len() + 1);
            for request in pending.steps.drain(..whole) {
                if self.carry_out(pending.owner, request).is_err() {
                    break;
                }
            }
        }
        self.open.clear();
        // Mostly any subset; sometimes all or nothing, which are subsets too and easier to miss.
        let keep = *self.rng.pick(&[0, 20, 50, 50, 50, 80, 100]);
        let mut rng = self.rng.fork();
        for inode in self.inodes.values_mut() {
            for sector in std::mem::take(&mut inode.dirty) {
                if rng.chance(keep) {
                    let end = ((sector + 1) * SECTOR).min(inode.content.len());
                    if inode.durable.len() < end {
                        inode.durable.resize(end, 0);
                    }
                    copy_sector(&inode.content, &mut inode.durable, sector);
                }
            }
            if rng.chance(keep) && inode.durable.len() < inode.content.len() {
                inode.durable.resize(inode.content.len(), 0);
            }
            inode.content = inode.durable.clone();
        }
        for directory in self.directories.values_mut() {
            for change in std::mem::take(&mut directory.changes) {
                if rng.chance(keep) {
                    Directory::apply(&mut directory.durable, &change);
                }
            }
            directory.entries = directory.durable.clone();
        }
        self.drop_unreachable();
        self.collect();
    }

    /// The process dies, the machine goes on: nothing is lost but what was not submitted or not carried out.
    pub fn kill(&mut self) {
        let pending = std::mem::take(&mut self.queue);
        for (_, mut pending) in pending {
            let whole = self.rng.index(pending.steps.len() + 1);
            for request in pending.steps.drain(..whole) {
                if self.carry_out(pending.owner, request).is_err() {
                    break;
                }
            }
        }
        self.open.clear();
        self.collect();
    }

    /// Directories whose own entry did not survive are gone with all they hold.
    fn drop_unreachable(&mut self) {
        loop {
            let gone = self
                .directories
                .keys()
                .find(|path| path.as_str() != "." && self.lookup(path) != Some(Node::Directory));
            let Some(path) = gone.cloned() else { break };
            self.directories.remove(&path);
        }
        // An entry of a directory whose contents were never known comes back empty.
        let missing: Vec<String> = self
            .directories
            .iter()
            .flat_map(|(parent, directory)| {
                directory
                    .entries
                    .iter()
                    .filter_map(move |(name, node)| match node {
                        Node::Directory if parent == "." => Some(name.clone()),
                        Node::Directory => Some(format!("{parent}/{name}")),
                        Node::File(_) => None,
                    })
            })
            .filter(|path| !self.directories.contains_key(path))
            .collect();
        for path in missing {
            self.directories.insert(path, Directory::default());
        }
    }

    /// Bytes that take space.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.queue.len()
    }
}

fn copy_sector(from: &[u8], to: &mut [u8], sector: usize) {
    let start = sector * SECTOR;
    let end = (start + SECTOR).min(from.len()).min(to.len());
    if start < end {
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

#[cfg(test)]
mod tests;
