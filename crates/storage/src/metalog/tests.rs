//! What the metadata log keeps, and what it says of damage and of a full disk.

use super::*;
use std::collections::BTreeMap;

/// Files in memory, with room for so many bytes.
struct Disk {
    contents: Vec<Vec<u8>>,
    paths: BTreeMap<String, usize>,
    open: BTreeMap<FileId, usize>,
    room: usize,
}

impl Disk {
    fn of(file: Option<Vec<u8>>) -> Self {
        Self {
            paths: file.iter().map(|_| (PATH.to_owned(), 0)).collect(),
            contents: file.into_iter().collect(),
            open: BTreeMap::new(),
            room: usize::MAX,
        }
    }

    fn file(&mut self) -> &mut Vec<u8> {
        &mut self.contents[self.paths[PATH]]
    }

    fn run(&mut self, log: &mut MetaLog, io: &mut IoQueue) {
        while !io.is_empty() {
            let requests: Vec<_> = io.drain().collect();
            for (tag, request) in requests {
                let outcome = self.answer(request);
                log.on_io(tag, outcome, io);
            }
        }
    }

    fn answer(&mut self, request: IoRequest) -> IoOutcome {
        match request {
            IoRequest::Chain(requests) => {
                let mut last = Ok(IoDone::Done);
                for request in requests {
                    last = self.answer(request);
                    last.clone()?;
                }
                return last;
            }
            IoRequest::Open { file, path, mode } => {
                if mode == OpenMode::Create {
                    self.contents.push(Vec::new());
                    self.paths.insert(path.clone(), self.contents.len() - 1);
                }
                let index = *self.paths.get(&path).ok_or(IoError::NotFound(path))?;
                self.open.insert(file, index);
                let length = self.contents[index].len() as u64;
                return Ok(IoDone::Opened { length });
            }
            IoRequest::Close { file } => {
                self.open.remove(&file);
            }
            IoRequest::Read { file, .. } => {
                return Ok(IoDone::Read(self.contents[self.open[&file]].clone()));
            }
            IoRequest::Write { file, offset, data } => {
                let content = &mut self.contents[self.open[&file]];
                let end = offset as usize + data.len();
                let fits = end.min(self.room);
                content.resize(content.len().max(fits), 0);
                content[offset as usize..fits].copy_from_slice(&data[..fits - offset as usize]);
                if fits < end {
                    return Err(IoError::Full("no room".into()));
                }
            }
            IoRequest::SetLength { file, length } => {
                self.contents[self.open[&file]].truncate(length as usize);
            }
            IoRequest::Rename { from, to } => {
                let index = self.paths.remove(&from).expect("written");
                self.paths.insert(to, index);
            }
            IoRequest::Remove { path } => {
                self.paths.remove(&path);
            }
            _ => {}
        }
        Ok(IoDone::Done)
    }

    fn open(&mut self) -> (MetaLog, Vec<Vec<u8>>) {
        let mut io = IoQueue::default();
        let mut log = MetaLog::open(2, &mut io);
        self.run(&mut log, &mut io);
        let entries = log.take_entries();
        (log, entries)
    }
}

fn written(payloads: &[&[u8]]) -> Disk {
    let mut disk = Disk::of(None);
    let (mut log, entries) = disk.open();
    assert!(entries.is_empty());
    let mut io = IoQueue::default();
    for (ticket, payload) in payloads.iter().enumerate() {
        log.append(payload, ticket as u64, &mut io);
    }
    disk.run(&mut log, &mut io);
    assert_eq!(log.durable_tickets().len(), payloads.len());
    disk
}

#[test]
fn entries_come_back_and_a_torn_end_is_cut() {
    let mut whole = written(&[b"one", b"two", b"three"]);
    let bytes = whole.file().clone();
    for cut in HEAD_BYTES..=bytes.len() {
        let mut disk = Disk::of(Some(bytes[..cut].to_vec()));
        let (mut log, entries) = disk.open();
        assert!(log.is_ready());
        assert_eq!(entries, [&b"one"[..], b"two", b"three"][..entries.len()]);
        let mut io = IoQueue::default();
        log.append(b"more", 9, &mut io);
        disk.run(&mut log, &mut io);
        let (_, again) = disk.open();
        assert_eq!(again.len(), entries.len() + 1);
    }
}

#[test]
fn a_replacement_takes_the_place_of_everything() {
    let mut disk = written(&[b"one", b"two"]);
    let (mut log, _) = disk.open();
    let mut io = IoQueue::default();
    log.append(b"three", 1, &mut io);
    log.append(b"four", 2, &mut io);
    log.replace(vec![b"all".to_vec()], 3, &mut io);
    log.append(b"five", 4, &mut io);
    disk.run(&mut log, &mut io);
    let mut durable = log.durable_tickets();
    durable.sort_unstable();
    assert_eq!(durable, [1, 2, 3, 4]);
    let (_, entries) = disk.open();
    assert_eq!(entries, [&b"all"[..], b"five"]);
}

#[test]
fn a_batch_torn_in_its_middle_is_no_corruption() {
    let mut disk = written(&[b"one"]);
    let (mut log, _) = disk.open();
    let mut io = IoQueue::default();
    // The second and third wait for the first and are written together.
    for (ticket, payload) in [&b"two"[..], b"three", b"four"].iter().enumerate() {
        log.append(payload, ticket as u64, &mut io);
    }
    disk.run(&mut log, &mut io);
    let three = disk.file().len() - 2 * RECORD_HEAD - 9;
    disk.file()[three] ^= 1;
    let (log, entries) = disk.open();
    assert!(log.is_ready());
    assert_eq!(entries, [&b"one"[..], b"two"]);
}

#[test]
fn a_flipped_byte_before_the_end_is_named() {
    let bytes = written(&[b"one", b"two", b"three"]).file().clone();
    let last = HEAD_BYTES + RECORD_HEAD + 3;
    for at in HEAD_BYTES..last {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let (log, _) = Disk::of(Some(damaged)).open();
        assert!(
            matches!(log.error(), Some(StoreError::Corrupt { .. })),
            "byte {at}"
        );
    }
}

#[test]
fn a_full_disk_refuses_and_takes_again() {
    let mut disk = written(&[b"one"]);
    let (mut log, _) = disk.open();
    let mut io = IoQueue::default();
    let length = disk.file().len();
    for room in length..length + RECORD_HEAD + 3 {
        disk.room = room;
        log.append(b"two", 1, &mut io);
        log.append(b"queued behind it", 2, &mut io);
        disk.run(&mut log, &mut io);
        let refused = [1, 2].map(|ticket| (ticket, StoreError::DiskFull));
        assert_eq!(log.failed_tickets(), refused);
        log.replace(vec![b"all".to_vec(); 8], 3, &mut io);
        disk.run(&mut log, &mut io);
        assert_eq!(log.failed_tickets(), [(3, StoreError::DiskFull)]);
        assert_eq!((log.is_ready(), log.bytes()), (true, length as u64));
    }
    disk.room = usize::MAX;
    log.append(b"three", 4, &mut io);
    disk.run(&mut log, &mut io);
    assert_eq!(log.durable_tickets(), [4]);
    assert_eq!(disk.paths.len(), 1);
    let (_, entries) = disk.open();
    assert_eq!(entries, [&b"one"[..], b"three"]);
}

#[test]
fn records_that_nobody_writes_are_named() {
    let mut whole = written(&[b"one"]);
    let file = whole.file().clone();
    let most = MOST_SEQUENCE;
    for (sequence, synced) in [(most + 1, HEAD_BYTES as u64), (u64::MAX, 0), (1, 65)] {
        let mut bytes = file[..HEAD_BYTES].to_vec();
        put_record(&mut bytes, sequence, synced, b"of nobody");
        let mut disk = Disk::of(Some(bytes));
        let (log, entries) = disk.open();
        assert!(matches!(log.error(), Some(StoreError::Corrupt { .. })));
        assert!(entries.is_empty(), "{sequence} {synced}");
    }
}
