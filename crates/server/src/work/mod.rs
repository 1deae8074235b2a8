//! Slow work that must not run on a shard: bcrypt.
//!
//! Two threads, so that a flood of logins cannot take more than that of the machine. Their queue is bounded: what finds
//! it full is refused at once, and what nobody waits for any more when its turn comes is not begun.

use crate::clock::SystemClock;
use crate::panic::AbortOnPanic;
use bcrypt::Version;
use model::env::Clock;
use model::limits::MAX_WORK_QUEUE;
use model::time::BootNanos;
use node::effects::{SlowWork, WorkDone, WorkOrder};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

const THREADS: usize = 2;

/// Where what is done goes.
pub trait WorkResults: Send + Sync + 'static {
    /// The work `number` of `shard` is done.
    fn done(&self, shard: u16, number: u64, done: WorkDone);
}

type Job = (u16, WorkOrder);

/// The shards' way to the threads, which end when nobody has it any more.
#[derive(Debug, Clone)]
pub struct WorkPool {
    queue: SyncSender<Job>,
}

impl WorkPool {
    /// Starts the threads.
    pub fn start(results: &Arc<impl WorkResults>) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(MAX_WORK_QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for index in 0..THREADS {
            let (jobs, results) = (jobs.clone(), results.clone());
            std::thread::Builder::new()
                .name(format!("work-{index}"))
                .spawn(move || {
                    let _abort = AbortOnPanic;
                    while let Some((shard, order)) = next(&jobs) {
                        if let Some(done) = execute_in_time(&order, SystemClock.now().boot) {
                            results.done(shard, order.number, done);
                        }
                    }
                })?;
        }
        Ok(Self { queue })
    }

    /// Submits a piece of work; returns whether there was room for it.
    #[must_use]
    pub fn submit(&self, shard: u16, order: WorkOrder) -> bool {
        self.queue.try_send((shard, order)).is_ok()
    }
}

/// The next job; the lock is held only while waiting for it.
fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

/// Does what somebody still waits for. Who stopped waiting has been answered by the shard.
fn execute_in_time(order: &WorkOrder, now: BootNanos) -> Option<WorkDone> {
    (now <= order.deadline).then(|| execute(&order.work))
}

fn execute(work: &SlowWork) -> WorkDone {
    match work {
        // A hash that cannot be read matches no password.
        SlowWork::VerifyPassword { password, hash } => {
            WorkDone::Verified(bcrypt::verify(password, hash).unwrap_or(false))
        }
        SlowWork::HashPassword { password, cost } => WorkDone::Hashed(
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

    fn order(deadline: u64) -> WorkOrder {
        WorkOrder {
            number: 0,
            deadline: BootNanos(deadline),
            work: SlowWork::VerifyPassword {
                password: "secret".into(),
                hash: "no hash".into(),
            },
        }
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun() {
        assert_eq!(execute_in_time(&order(4), BootNanos(5)), None);
        assert_eq!(
            execute_in_time(&order(5), BootNanos(5)),
            Some(WorkDone::Verified(false))
        );
    }

    #[test]
    fn a_full_queue_refuses() {
        // Nobody takes anything out of this one.
        let (queue, _jobs) = sync_channel(MAX_WORK_QUEUE);
        let pool = WorkPool { queue };
        let taken = (0..2 * MAX_WORK_QUEUE).filter(|_| pool.submit(0, order(u64::MAX)));
        assert_eq!(taken.count(), MAX_WORK_QUEUE);
    }

    #[test]
    fn passwords_are_hashed_and_verified() {
        let hash = |password: &str| {
            execute(&SlowWork::HashPassword {
                password: password.into(),
                cost: 4,
            })
        };
        let verify = |password: &str, hash: &str| {
            execute(&SlowWork::VerifyPassword {
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
            execute(&SlowWork::HashPassword {
                password: "x".into(),
                cost: 99
            }),
            WorkDone::Hashed(Err(_))
        ));
    }
}
