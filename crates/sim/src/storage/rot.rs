//! A byte of a file flips while the machine is off: it is found and named, or it was a byte that says nothing.
//!
//! What may never happen is a wrong answer. The one batch of the commit log that was synced last is the exception that
//! no log can do without: nothing written later vouches for it, so it is taken for a torn end. The run puts a mutation
//! of its own there.

use super::run::{Failure, Run};
use super::tables::Name;
use ::model::read::Dead;
use storage::StoreError;

/// What became of a flipped byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The start refused and named the file.
    AtStart,
    /// A read or a compaction refused and named the file.
    Later,
    /// Everything is as it was.
    Harmless,
}

/// Fills a machine, stops it, flips a byte of any file, and looks at everything.
pub fn rot(seed: u64) -> Result<Found, Failure> {
    let fail = |what: String| Failure { seed, what };
    let mut run = Run::new(seed);
    run.prepare(150).map_err(fail)?;
    let files: Vec<(String, usize)> = run
        .node
        .disk
        .files()
        .into_iter()
        .filter(|(_, length)| *length > 0)
        .collect();
    let (path, length) = run.rng.pick(&files).clone();
    // Most of a log segment is room: look for the bytes that were written.
    let content = run
        .node
        .disk
        .content(&path)
        .map(<[u8]>::to_vec)
        .unwrap_or_default();
    let used = content
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(length, |last| last + 1);
    let offset = run.rng.index(used);
    let bits = 1 << run.rng.below(8);
    run.node.disk.rot(&path, offset, bits);
    run.tell(|| format!("{path} rots at {offset} of {length}"));
    let named = |error: &StoreError| matches!(error, StoreError::Corrupt { file, .. } if path == *file || path.starts_with(file.as_str()));
    match run.node.start(run.shards, &run.tables.schema.clone()) {
        Err(error) if named(&error) => return Ok(Found::AtStart),
        Err(error) => {
            return Err(fail(format!(
                "{path} rotted at {offset}, the start says {error}"
            )));
        }
        Ok(()) => {}
    }
    match run.look_at_everything() {
        Ok(()) => Ok(Found::Harmless),
        Err(Trouble::Refused(error)) if named(&error) => Ok(Found::Later),
        Err(Trouble::Refused(error)) => Err(fail(format!(
            "{path} rotted at {offset}, a read says {error}"
        ))),
        Err(Trouble::Wrong(what)) => Err(fail(format!("{path} rotted at {offset}: {what}"))),
    }
}

/// Every file of a stopped machine, with its bytes: the same for the same seed.
pub fn sample_files(seed: u64) -> Vec<(String, Vec<u8>)> {
    let mut run = Run::new(seed);
    run.prepare(60).expect("nothing goes wrong on a sound disk");
    let files = run.node.disk.files().into_iter();
    files
        .map(|(path, _)| {
            let bytes = run.node.disk.content(&path).map(<[u8]>::to_vec);
            (path, bytes.unwrap_or_default())
        })
        .collect()
}

enum Trouble {
    Refused(StoreError),
    Wrong(String),
}

impl Run {
    /// Writes, flushes and compacts, lets everything become durable, makes one more write, and stops.
    fn prepare(&mut self, writes: u64) -> Result<(), String> {
        self.start()?;
        for _ in 0..writes {
            self.write();
            match self.rng.below(12) {
                0 => self.flush(),
                1 => self.compact(),
                _ => self.node.turn(),
            }
            self.take_reports()?;
        }
        self.settle();
        self.take_reports()?;
        self.last_write = Some(self.next);
        for _ in 0..self.node.stores.len() * 8 {
            self.write();
        }
        self.settle();
        self.take_reports()?;
        self.node.crash();
        Ok(())
    }

    /// Reads every table, compacts it, and reads it again.
    fn look_at_everything(&mut self) -> Result<(), Trouble> {
        for compacted in [false, true] {
            for name in [Name::Witness, Name::Plain, Name::Wide] {
                self.look_at(name, compacted)?;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, name: Name, compacted: bool) -> Result<(), Trouble> {
        let now = self.node.now().wall.seconds();
        self.refused = None;
        let found =
            self.scan(name, Dead::Dropped, now)
                .map_err(|what| match self.refused.take() {
                    Some(error) => Trouble::Refused(error),
                    None => Trouble::Wrong(what),
                })?;
        if name == Name::Witness {
            let present = found
                .values()
                .flat_map(|seen| seen.rows.keys().copied())
                .collect();
            let last = self.last_write.expect("prepared");
            let missing = self.model.numbers().difference(&present).next().copied();
            if missing.is_some_and(|number| number < last && !self.periodic) {
                return Err(Trouble::Wrong(format!("mutation {missing:?} is lost")));
            }
            self.model
                .writes
                .retain(|number, _| present.contains(number));
        }
        let wanted = self.model.table(&self.tables, name, now);
        if found != wanted {
            return Err(Trouble::Wrong(super::check::differences(
                name, &found, &wanted,
            )));
        }
        if compacted {
            return Ok(());
        }
        for shard in 0..self.node.stores.len() {
            let ticket = self.node.ticket();
            let begun = self
                .node
                .with_store(shard, |store, _, _| store.compact(name.id(), ticket));
            begun
                .and_then(|()| self.node.wait(ticket))
                .map_err(Trouble::Refused)?;
        }
        Ok(())
    }
}
