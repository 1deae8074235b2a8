//! Everything promised, read back.

use super::machine::Answer;
use super::promises::{Check, Fate, number_in};
use super::request::KEYS;
use super::run::{PATIENCE_MS, Run};
use std::collections::{BTreeMap, BTreeSet};

impl Run {
    /// Reads back everything that was promised.
    pub(super) fn check(&mut self) -> Check {
        self.check_rows()?;
        self.check_batches()?;
        self.check_registers()?;
        self.check_counters()?;
        self.check_once()?;
        self.check_stamps()?;
        self.check_wiped()?;
        self.check_tables()?;
        self.check_columns()?;
        self.check_roles()
    }

    fn select(&mut self, text: &str) -> Result<Vec<Vec<Option<Vec<u8>>>>, String> {
        self.summary.reads += 1;
        let shard = self.rng.below(u64::from(self.machine.shard_count())) as u16;
        match self.machine.ask(shard, text)? {
            Answer::Rows(rows) => Ok(rows),
            other => Err(format!("{text}: {other:?}")),
        }
    }

    fn check_rows(&mut self) -> Check {
        let found = self.numbers("SELECT k FROM ks.rows")?;
        for (number, fate) in &self.promises.rows {
            if *fate == Fate::Acknowledged && !found.contains(number) {
                return Err(format!("row {number} was acknowledged and is gone"));
            }
        }
        match found
            .iter()
            .find(|number| !self.promises.rows.contains_key(number))
        {
            Some(number) => Err(format!("row {number} was never written")),
            None => Ok(()),
        }
    }

    /// After the batch log is worked off, every batch is there whole or not at all.
    fn check_batches(&mut self) -> Check {
        let limit = self.machine.millis() + PATIENCE_MS;
        while !self.select("SELECT id FROM system.batches")?.is_empty() {
            if self.machine.millis() > limit {
                return Err("the batch log is not worked off".to_owned());
            }
            self.machine.pass(5);
        }
        let rows = self.select("SELECT number FROM ks.parts")?;
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        for row in &rows {
            *found.entry(number_in(&row[0])?).or_default() += 1;
        }
        for (number, (parts, fate)) in &self.promises.batches {
            let there = found.get(number).copied().unwrap_or(0);
            if there != *parts && (there != 0 || *fate == Fate::Acknowledged) {
                return Err(format!(
                    "batch {number}, {fate:?}: {there} of its {parts} parts are there"
                ));
            }
        }
        Ok(())
    }

    /// A register holds what the last acknowledged swap gave it, or what swaps of open fate made of that.
    fn check_registers(&mut self) -> Check {
        for row in self.select("SELECT k, v FROM ks.registers")? {
            let (key, value) = (number_in(&row[0])?, number_in(&row[1])?);
            let told = self.promises.registers[key as usize];
            let mut reachable = BTreeSet::from([told]);
            for (_, from, to) in self.promises.asked.range((key, 0, 0)..(key + 1, 0, 0)) {
                // In the order of `from`, and a swap sets a larger value than it replaces.
                if reachable.contains(from) && !self.promises.swapped.contains(&(key, *from)) {
                    reachable.insert(*to);
                }
            }
            if !reachable.contains(&value) {
                return Err(format!(
                    "register {key} was last told to be {told}, and is {value}"
                ));
            }
            self.promises.registers[key as usize] = value;
        }
        Ok(())
    }

    fn check_counters(&mut self) -> Check {
        let mut found = [0; KEYS as usize];
        for row in self.select("SELECT k, c FROM ks.counters")? {
            found[number_in(&row[0])? as usize] = number_in(&row[1])?;
        }
        for (key, (count, (acknowledged, attempted))) in
            found.iter().zip(self.promises.counters).enumerate()
        {
            if !(acknowledged..=attempted).contains(count) {
                return Err(format!(
                    "counter {key} is {count}; {acknowledged} of {attempted} increments were acknowledged"
                ));
            }
        }
        Ok(())
    }

    /// A row with a key of the node's own making is there once.
    fn check_once(&mut self) -> Check {
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        for table in ["once", "ticks"] {
            for row in self.select(&format!("SELECT n FROM ks.{table}"))? {
                *found.entry(number_in(&row[0])?).or_default() += 1;
            }
        }
        for (number, fate) in &self.promises.once {
            match found.get(number) {
                None if *fate == Fate::Acknowledged => {
                    return Err(format!(
                        "row {number} of IF NOT EXISTS was acknowledged and is gone"
                    ));
                }
                Some(times) if *times > 1 => {
                    return Err(format!(
                        "row {number} of IF NOT EXISTS is there {times} times"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The largest timestamp wins.
    fn check_stamps(&mut self) -> Check {
        let mut found = [0; KEYS as usize];
        for row in self.select("SELECT k, v FROM ks.stamped")? {
            found[number_in(&row[0])? as usize] = number_in(&row[1])?;
        }
        for (key, (stamp, (told, asked))) in found.iter().zip(self.promises.stamps).enumerate() {
            if !(told..=asked).contains(stamp) {
                return Err(format!(
                    "the value stamped {told} of {key} was acknowledged, up to {asked} was asked for, and {stamp} is there"
                ));
            }
        }
        Ok(())
    }

    fn check_wiped(&mut self) -> Check {
        let found = self.numbers("SELECT k FROM ks.wiped")?;
        for (number, fate) in &self.promises.wiped {
            match (fate, found.contains(number)) {
                (Fate::Acknowledged, false) => {
                    return Err(format!(
                        "row {number}, written after the truncation, is gone"
                    ));
                }
                (Fate::Gone, true) => {
                    return Err(format!(
                        "row {number}, written before the truncation, is back"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_tables(&mut self) -> Check {
        let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'ks'";
        let found = self.names(text)?;
        for (number, fate) in &self.promises.tables {
            let there = found.contains(&format!("t{number}"));
            if there && *fate == Fate::Gone || !there && *fate == Fate::Acknowledged {
                return Err(format!("table t{number}: {fate:?}, but {there}"));
            }
        }
        // What is listed can be read: the shards' stores agree with the schema.
        for name in found {
            if name.starts_with('t') && name != "ticks" {
                self.select(&format!("SELECT k FROM ks.{name}"))?;
            }
        }
        Ok(())
    }

    fn check_columns(&mut self) -> Check {
        let text =
            "SELECT table_name, column_name FROM system_schema.columns WHERE keyspace_name = 'ks'";
        let rows = self.select(text)?;
        let text = |cell: &Option<Vec<u8>>| {
            String::from_utf8_lossy(cell.as_deref().unwrap_or_default()).into_owned()
        };
        let found: BTreeSet<(String, String)> = rows
            .iter()
            .map(|row| (text(&row[0]), text(&row[1])))
            .collect();
        for ((table, column), fate) in &self.promises.columns {
            let kept = self.promises.tables.get(table) == Some(&Fate::Acknowledged);
            let name = (format!("t{table}"), format!("c{column}"));
            if kept && *fate == Fate::Acknowledged && !found.contains(&name) {
                return Err(format!("column {name:?} was acknowledged and is gone"));
            }
        }
        Ok(())
    }

    fn check_roles(&mut self) -> Check {
        let found = self.names("SELECT role FROM system_auth.roles")?;
        let mut last = None;
        for (number, fate) in &self.promises.roles {
            if *fate == Fate::Acknowledged {
                if !found.contains(&format!("r{number}")) {
                    return Err(format!("role r{number} was acknowledged and is gone"));
                }
                last = Some(*number);
            }
        }
        let Some(number) = last else { return Ok(()) };
        let (role, password) = (format!("r{number}"), format!("p{number}"));
        if !self.machine.can_log_in(&role, &password)? {
            return Err(format!("{role} cannot log in with its password"));
        }
        if self.machine.can_log_in(&role, "wrong")? {
            return Err(format!("{role} can log in with a wrong password"));
        }
        Ok(())
    }

    /// The first column of what a statement selects, bigints.
    fn numbers(&mut self, text: &str) -> Result<BTreeSet<u64>, String> {
        let rows = self.select(text)?;
        rows.iter().map(|row| number_in(&row[0])).collect()
    }

    /// The first column of what a statement selects, texts.
    fn names(&mut self, text: &str) -> Result<BTreeSet<String>, String> {
        let rows = self.select(text)?;
        let names = rows.iter().filter_map(|row| row[0].as_deref());
        Ok(names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect())
    }
}
