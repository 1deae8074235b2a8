//! The disk: a few threads that carry out the shards' requests and post the outcomes back.
//!
//! A chain is one job, so its requests run in order; separate requests run in any order, as [`model::env`] says. The
//! threads share one queue: a slow sync on one does not hold up reads on the others.
//!
//! What must stay true: `Sync` is `fdatasync` (never less), `SyncDirectory` syncs the directory itself, and an outcome is
//! posted only after the call returned.

mod execute;
mod files;

pub use execute::Disk;

use crate::panic::AbortOnPanic;
use model::env::{IoOutcome, IoRequest, IoTag};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Where an outcome goes.
pub trait Completions: Send + Sync + 'static {
    /// The request `tag` of `shard` ended.
    fn complete(&self, shard: u16, tag: IoTag, outcome: IoOutcome);
}

struct Job {
    shard: u16,
    tag: IoTag,
    request: IoRequest,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// The shards' way to the disk.
#[derive(Clone)]
pub struct DiskPool {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads, joined when the process ends.
pub struct DiskThreads {
    pool: DiskPool,
    threads: Vec<JoinHandle<()>>,
}

impl DiskPool {
    /// Starts `threads` threads that work below `directory`.
    pub fn start(
        directory: &Path,
        threads: usize,
        completions: &Arc<impl Completions>,
    ) -> std::io::Result<DiskThreads> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            work: Condvar::new(),
        });
        let disk = Arc::new(Disk::new(directory));
        let threads = (0..threads.max(1))
            .map(|index| {
                let (shared, disk, completions) =
                    (shared.clone(), disk.clone(), completions.clone());
                std::thread::Builder::new()
                    .name(format!("disk-{index}"))
                    .spawn(move || {
                        let _abort = AbortOnPanic;
                        work(&shared, &disk, &*completions);
                    })
            })
            .collect::<std::io::Result<_>>()?;
        Ok(DiskThreads {
            pool: Self { shared },
            threads,
        })
    }

    /// Submits requests, in order.
    pub fn submit(&self, shard: u16, requests: impl Iterator<Item = (IoTag, IoRequest)>) {
        let mut submitted = 0;
        let mut queue = self.shared.lock();
        for (tag, request) in requests {
            queue.jobs.push_back(Job {
                shard,
                tag,
                request,
            });
            submitted += 1;
        }
        drop(queue);
        for _ in 0..submitted {
            self.shared.work.notify_one();
        }
    }
}

impl DiskThreads {
    /// The way to them.
    pub fn pool(&self) -> DiskPool {
        self.pool.clone()
    }

    /// Lets the threads finish what is submitted and waits for them.
    pub fn close(self) {
        self.pool.shared.lock().closed = true;
        self.pool.shared.work.notify_all();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a disk thread panicked");
            }
        }
    }
}

fn work(shared: &Shared, disk: &Disk, completions: &impl Completions) {
    loop {
        let mut queue = shared.lock();
        let job = loop {
            if let Some(job) = queue.jobs.pop_front() {
                break job;
            }
            if queue.closed {
                return;
            }
            queue = shared
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        };
        drop(queue);
        let outcome = disk.execute(job.shard, job.request);
        completions.complete(job.shard, job.tag, outcome);
    }
}

#[cfg(test)]
mod tests;
