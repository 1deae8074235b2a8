//! How a machine's time passes: event by event, alone or among others.

use super::Machine;
use model::time::BootNanos;
use node::machine::Event;

/// What a turn of background work takes, in nanoseconds.
const TURN_NANOS: u64 = 10_000;
/// What a wake-up takes that somebody asked for, in nanoseconds: nobody wakes for ever at one moment.
const WAKE_NANOS: u64 = 1_000;
/// How far time goes at most while nothing happens, in nanoseconds: clients act in between.
const IDLE_NANOS: u64 = 5_000_000;

impl Machine {
    /// The next event: a wake-up, a message, a step of the disk; or time passes.
    pub fn turn(&mut self) {
        let now = BootNanos(self.nanos);
        for number in 0..self.shards.len() {
            if self.busy[number] || self.wakes[number].is_some_and(|at| at <= now) {
                self.wake(number as u16, None);
            }
        }
        let message = self.messages.keys().next().map(|(at, _)| *at);
        let wake = self.wakes.iter().flatten().map(|at| at.0).min();
        let work = self.work.keys().next().map(|(at, _)| *at);
        let busy = self.busy.contains(&true).then_some(self.nanos + TURN_NANOS);
        let idle = Some(self.nanos + IDLE_NANOS);
        let events = [message, work, self.disk.next_at(), wake, busy, idle];
        let at = events.into_iter().flatten().min().unwrap_or(self.nanos);
        self.nanos = self.nanos.max(at);
        if message == Some(at) {
            let (_, (from, to, message)) = self.messages.pop_first().expect("seen above");
            let batch = &mut vec![message];
            self.tell(to, Event::Messages { from, batch });
        } else if work == Some(at) {
            let (_, (shard, number, done)) = self.work.pop_first().expect("seen above");
            self.tell(shard, Event::Work { number, done });
        } else if self.disk.next_at() == Some(at)
            && let Some((owner, tag, outcome)) = self.disk.step()
        {
            self.note(&[owner as u8, tag.0 as u8, u8::from(outcome.is_ok())]);
            self.tell(owner, Event::Io { tag, outcome });
        }
    }

    /// Runs for some virtual time.
    pub fn pass(&mut self, millis: u64) {
        let until = self.millis() + millis;
        while self.millis() < until {
            self.turn();
        }
    }

    /// When something happens by itself next, in nanoseconds.
    pub fn next_at(&self) -> Option<u64> {
        let message = self.messages.keys().next().map(|(at, _)| *at);
        let work = self.work.keys().next().map(|(at, _)| *at);
        let wake = self.wakes.iter().flatten().map(|at| at.0).min();
        let busy = self.busy.contains(&true).then_some(self.nanos + TURN_NANOS);
        let events = [message, work, self.disk.next_at(), wake, busy];
        events.into_iter().flatten().min()
    }

    /// Carries out what happens until a moment, and stops there.
    pub fn run_to(&mut self, nanos: u64) {
        while let Some(at) = self.next_at().filter(|at| *at <= nanos) {
            self.nanos = self.nanos.max(at);
            self.happen();
        }
        self.nanos = self.nanos.max(nanos);
    }

    /// Nothing runs until a moment, and then everything that was due.
    pub fn skip_to(&mut self, nanos: u64) {
        self.nanos = self.nanos.max(nanos);
    }

    /// Everything that is due now.
    fn happen(&mut self) {
        while let Some(entry) = self.messages.first_entry()
            && entry.key().0 <= self.nanos
        {
            let (from, to, message) = entry.remove();
            let batch = &mut vec![message];
            self.tell(to, Event::Messages { from, batch });
        }
        while let Some(entry) = self.work.first_entry()
            && entry.key().0 <= self.nanos
        {
            let (shard, number, done) = entry.remove();
            self.tell(shard, Event::Work { number, done });
        }
        while self.disk.next_at().is_some_and(|at| at <= self.nanos) {
            self.disk_step();
        }
        let now = BootNanos(self.nanos);
        for number in 0..self.shards.len() {
            if self.busy[number] || self.wakes[number].is_some_and(|at| at <= now) {
                self.wake(number as u16, None);
                self.nanos += WAKE_NANOS;
            }
        }
    }

    fn disk_step(&mut self) {
        if let Some((owner, tag, outcome)) = self.disk.step() {
            self.note(&[owner as u8, tag.0 as u8, u8::from(outcome.is_ok())]);
            self.tell(owner, Event::Io { tag, outcome });
        }
    }
}
