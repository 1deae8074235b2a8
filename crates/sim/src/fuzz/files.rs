//! Fuzzers of the two files that a start reads before anything else, over a simulated disk.

use super::damage;
use crate::disk::SimDisk;
use crate::random::Rng;
use model::env::{IoOutcome, IoQueue, IoTag};
use storage::{LayoutFile, MetaLog};

const LAYOUT: &str = "layout";
const METADATA: &str = "metadata.log";

/// Carries out everything that is asked for, until nothing is.
fn settle(
    disk: &mut SimDisk,
    io: &mut IoQueue,
    mut answer: impl FnMut(IoTag, IoOutcome, &mut IoQueue),
) {
    loop {
        for (tag, request) in io.drain().collect::<Vec<_>>() {
            disk.submit(0, tag, request, 0);
        }
        if disk.next_at().is_none() {
            return;
        }
        if let Some((_, tag, outcome)) = disk.step() {
            answer(tag, outcome, io);
        }
    }
}

fn open_log(disk: &mut SimDisk) -> (MetaLog, IoQueue) {
    let mut io = IoQueue::default();
    let mut log = MetaLog::open(1, &mut io);
    settle(disk, &mut io, |tag, outcome, io| {
        log.on_io(tag, outcome, io);
    });
    (log, io)
}

/// A file of some entries, each synced before the next.
fn written_log(rng: &mut Rng) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut disk = SimDisk::new(rng.fork());
    let (mut log, mut io) = open_log(&mut disk);
    let mut entries = Vec::new();
    for ticket in 0..rng.below(6) {
        let length = rng.index(80);
        let entry = rng.bytes(length);
        entries.push(entry.clone());
        if rng.chance(20) {
            log.replace(entries.clone(), ticket, &mut io);
        } else {
            log.append(&entry, ticket, &mut io);
        }
        settle(&mut disk, &mut io, |tag, outcome, io| {
            log.on_io(tag, outcome, io);
        });
    }
    (disk.content(METADATA).unwrap_or_default().to_vec(), entries)
}

/// The metadata log names damage, or reads a prefix of what was written and takes more.
pub fn metadata_log(rng: &mut Rng) -> Result<(), String> {
    let (file, entries) = written_log(rng);
    let file = damage::rotten(rng, &file);
    let read = read_log(rng, file)?;
    match read {
        Some(read) if !entries.starts_with(&read) => {
            Err(format!("{entries:?} were written, and {read:?} are read"))
        }
        _ => Ok(()),
    }
}

/// Reads a file; `None` if it is refused. What was read takes another entry and is read again.
fn read_log(rng: &mut Rng, file: Vec<u8>) -> Result<Option<Vec<Vec<u8>>>, String> {
    let mut disk = SimDisk::holding(rng.fork(), [(METADATA.to_owned(), file)]);
    let (mut log, mut io) = open_log(&mut disk);
    if log.error().is_some() {
        return Ok(None);
    }
    if !log.is_ready() {
        return Err("the log is neither read nor refused".to_owned());
    }
    let mut read = log.take_entries();
    log.append(b"another", 1, &mut io);
    settle(&mut disk, &mut io, |tag, outcome, io| {
        log.on_io(tag, outcome, io);
    });
    if log.durable_tickets() != [1] {
        return Err("a log that was read takes no entry".to_owned());
    }
    disk.kill();
    let mut again = open_log(&mut disk).0;
    read.push(b"another".to_vec());
    if again.error().is_some() || again.take_entries() != read {
        return Err("what was appended to a log that was read is not there".to_owned());
    }
    read.pop();
    Ok(Some(read))
}

/// The metadata log takes any bytes, those with right checksums among them.
pub fn metadata_log_of_any_bytes(rng: &mut Rng) -> Result<(), String> {
    let (file, _) = written_log(rng);
    let mut file = damage::damaged(rng, &file);
    if file.len() > 64 && rng.chance(50) {
        if rng.chance(20) {
            file[16..24].copy_from_slice(&damage::number(rng).to_le_bytes());
        }
        seal_head(&mut file);
        let at = 64;
        if let Some(length) = file.get(at..at + 4) {
            let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            let end = (at + 24).saturating_add(length);
            if end <= file.len() {
                let (sequence, synced) = (damage::number(rng), damage::number(rng));
                file[at + 8..at + 16].copy_from_slice(&sequence.to_le_bytes());
                file[at + 16..at + 24].copy_from_slice(&synced.to_le_bytes());
                let mut checked = file[at..at + 4].to_vec();
                checked.extend_from_slice(&file[at + 8..end]);
                let crc = crc32fast::hash(&checked);
                file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
            }
        }
    }
    read_log(rng, file).map(|_| ())
}

/// Makes a head's checksum right.
fn seal_head(file: &mut [u8]) {
    let crc = crc32fast::hash(&file[..60]);
    file[60..64].copy_from_slice(&crc.to_le_bytes());
}

/// The layout file says what was written or is refused; with a right checksum it says something or is refused.
pub fn layout(rng: &mut Rng) -> Result<(), String> {
    let shards = 1 + rng.below(4) as u16;
    let mut disk = SimDisk::new(rng.fork());
    let (layout, _) = open_layout(&mut disk, shards);
    let known = layout.generation().ok_or("a new directory has a layout")?;
    let file = disk.content(LAYOUT).unwrap_or_default().to_vec();
    let mut changed = damage::rotten(rng, &file);
    let sealed = changed.len() == file.len() && rng.chance(50);
    if sealed {
        changed[16..20].copy_from_slice(&(damage::number(rng) as u32).to_le_bytes());
        changed[20..22].copy_from_slice(&(rng.below(5) as u16).to_le_bytes());
        seal_head(&mut changed);
    }
    let mut disk = SimDisk::holding(rng.fork(), [(LAYOUT.to_owned(), changed)]);
    let (mut layout, mut io) = open_layout(&mut disk, shards);
    if layout.error().is_some() {
        return Ok(());
    }
    let said = layout.generation().ok_or("neither read nor refused")?;
    if !sealed && said != known {
        return Err(format!("{known:?} was written, and {said:?} is read"));
    }
    layout.commit(&mut io);
    settle(&mut disk, &mut io, |tag, outcome, io| {
        layout.on_io(tag, outcome, io);
    });
    if !layout.is_settled() {
        return Err(format!("{said:?} cannot be committed"));
    }
    Ok(())
}

fn open_layout(disk: &mut SimDisk, shards: u16) -> (LayoutFile, IoQueue) {
    let mut io = IoQueue::default();
    let mut layout = LayoutFile::open(shards, 1, &mut io);
    settle(disk, &mut io, |tag, outcome, io| {
        layout.on_io(tag, outcome, io);
    });
    (layout, io)
}
