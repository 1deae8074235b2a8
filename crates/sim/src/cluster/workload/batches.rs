//! Logged batches: all parts or none in the end, all of one that was acknowledged.

use super::{Check, Ended, Question, Rows, Workload, of_all};
use crate::node::machine::Asking;
use crate::random::Rng;
use model::error::Consistency;
use std::collections::BTreeMap;

/// The log of batches is worked off so long after everything is mended, in milliseconds.
const REPLAY_MS: u64 = 40_000;

#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    parts: u64,
    acknowledged: bool,
    /// Parts that were there in the end.
    found: u64,
    /// Parts that were looked for.
    looked: u64,
}

/// What was asked and told.
#[derive(Debug, Default)]
pub(super) struct Batches {
    batches: BTreeMap<u64, Batch>,
    /// Reads under way of a part that must be there.
    reads: BTreeMap<u64, (u64, u64)>,
}

fn select(batch: u64, part: u64) -> String {
    format!("SELECT part FROM ks.parts WHERE id = {batch} AND part = {part}")
}

impl Batches {
    /// Every part, in the order of the questions.
    fn parts(&self) -> impl Iterator<Item = (u64, u64)> {
        let batches = self.batches.iter();
        batches.flat_map(|(number, batch)| (0..batch.parts).map(move |part| (*number, part)))
    }
}

impl Workload for Batches {
    fn prepare(&self) -> Vec<String> {
        let table =
            "CREATE TABLE ks.parts (id bigint, part bigint, v text, PRIMARY KEY ((id, part)))";
        vec![table.to_owned()]
    }

    fn next(&mut self, number: u64, rng: &mut Rng) -> Asking {
        let known = self.batches.iter().filter(|(_, batch)| batch.acknowledged);
        let known: Vec<(u64, u64)> = known
            .map(|(number, batch)| (*number, batch.parts))
            .collect();
        if !known.is_empty() && rng.chance(70) {
            let (batch, parts) = *rng.pick(&known);
            let part = rng.below(parts);
            self.reads.insert(number, (batch, part));
            return Asking::new(Consistency::Quorum, select(batch, part));
        }
        let parts = 2 + rng.below(4);
        let batch = Batch {
            parts,
            ..Batch::default()
        };
        self.batches.insert(number, batch);
        let filler = "x".repeat(rng.index(400));
        let insert = |part| {
            format!("INSERT INTO ks.parts (id, part, v) VALUES ({number}, {part}, '{filler}'); ")
        };
        let inserts: String = (0..parts).map(insert).collect();
        Asking::new(
            Consistency::Quorum,
            format!("BEGIN BATCH {inserts}APPLY BATCH"),
        )
    }

    fn ended(&mut self, number: u64, ended: Ended) -> Result<Option<Asking>, String> {
        match (self.reads.remove(&number), ended) {
            (Some((batch, part)), Ended::Rows(rows, _)) if rows.is_empty() => {
                return Err(format!(
                    "part {part} of batch {batch} was acknowledged, and is not seen"
                ));
            }
            (None, Ended::Done) => {
                if let Some(batch) = self.batches.get_mut(&number) {
                    batch.acknowledged = true;
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn settle_ms(&self) -> u64 {
        REPLAY_MS
    }

    fn questions(&self) -> Vec<Question> {
        self.parts()
            .map(|(batch, part)| of_all(select(batch, part)))
            .collect()
    }

    fn answered(&mut self, question: usize, rows: &Rows) -> Check {
        let (number, _) = self
            .parts()
            .nth(question)
            .ok_or("a question nobody asked")?;
        let Some(batch) = self.batches.get_mut(&number) else {
            return Ok(());
        };
        batch.looked += 1;
        batch.found += rows.len() as u64;
        let whole = batch.found == batch.parts;
        if batch.looked == batch.parts && !whole && (batch.found > 0 || batch.acknowledged) {
            return Err(format!(
                "of batch {number} there is a part in the end: {batch:?}"
            ));
        }
        Ok(())
    }

    fn compared(&self) -> Vec<String> {
        self.parts()
            .take(40)
            .map(|(batch, part)| select(batch, part))
            .collect()
    }
}
