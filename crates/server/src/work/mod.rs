//! Slow work that must not run on a shard: bcrypt.
//!
//! Two threads, so that a flood of logins cannot take more than that of the machine. The queue is bounded by the
//! requests that wait for it.

use crate::panic::AbortOnPanic;
use bcrypt::Version;
use node::effects::{Work, WorkDone};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

const THREADS: usize = 2;

/// Where what is done goes.
pub trait WorkResults: Send + Sync + 'static {
    /// The work `number` of `shard` is done.
    fn done(&self, shard: u16, number: u64, done: WorkDone);
}

type Job = (u16, u64, Work);

/// The shards' way to the threads, which end when nobody has it any more.
#[derive(Debug, Clone)]
pub struct WorkPool {
    queue: Sender<Job>,
}

impl WorkPool {
    /// Starts the threads.
    pub fn start(results: &Arc<impl WorkResults>) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for index in 0..THREADS {
            let (jobs, results) = (jobs.clone(), results.clone());
            std::thread::Builder::new()
                .name(format!("work-{index}"))
                .spawn(move || {
                    let _abort = AbortOnPanic;
                    while let Some((shard, number, work)) = next(&jobs) {
                        results.done(shard, number, execute(&work));
                    }
                })?;
        }
        Ok(Self { queue })
    }

    /// Submits a piece of work.
    pub fn submit(&self, shard: u16, number: u64, work: Work) {
        // The threads outlive every sender.
        let _ = self.queue.send((shard, number, work));
    }
}

/// The next job; the lock is held only while waiting for it.
fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

fn execute(work: &Work) -> WorkDone {
    match work {
        // A hash that cannot be read matches no password.
        Work::VerifyPassword { password, hash } => {
            WorkDone::Verified(bcrypt::verify(password, hash).unwrap_or(false))
        }
        Work::HashPassword { password, cost } => WorkDone::Hashed(
            bcrypt::hash_with_result(password, *cost)
                // The version that Cassandra writes and reads.
                .map(|parts| parts.format_for_version(Version::TwoA))
                .map_err(|error| error.to_string()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hashed_and_verified() {
        let hash = |password: &str| {
            execute(&Work::HashPassword {
                password: password.into(),
                cost: 4,
            })
        };
        let verify = |password: &str, hash: &str| {
            execute(&Work::VerifyPassword {
                password: password.into(),
                hash: hash.into(),
            })
        };
        let WorkDone::Hashed(Ok(hashed)) = hash("secret") else {
            panic!()
        };
        assert!(hashed.starts_with("$2a$04$"));
        assert_eq!(verify("secret", &hashed), WorkDone::Verified(true));
        assert_eq!(verify("Secret", &hashed), WorkDone::Verified(false));
        assert_eq!(verify("secret", "no hash"), WorkDone::Verified(false));
        // As written by jBCrypt.
        let cassandra = "$2a$10$1fadLrUWSzJGAbZnXM7aAOVnWdzZzzZ5qEVSxYBVZPDX3Cfx3jQHq";
        assert_eq!(verify("wrong", cassandra), WorkDone::Verified(false));
        assert!(matches!(
            execute(&Work::HashPassword {
                password: "x".into(),
                cost: 99
            }),
            WorkDone::Hashed(Err(_))
        ));
    }
}
