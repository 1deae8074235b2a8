//! The disk: a few threads that carry out the shards' requests and post the outcomes back.
//!
//! A chain is one job, so its requests run in order; separate requests run in any order, as [`model::env`] says. There are
//! two queues, one for each [`Lane`], with threads of their own: what clients wait for never stands behind the sync of an
//! SSTable, however slow the disk is.
//!
//! A read of what the operating system has in memory needs neither a thread nor two switches to and from it: the shard tries it
//! when it submits it, in a way that gives up where the disk would have to be waited for ([`Disk::read_at_once`]).
//!
//! What must stay true: `Sync` is `fdatasync` (never less), `SyncDirectory` syncs the directory itself, an outcome is
//! posted only after the call returned, and [`DiskPool::submit`] never waits for a disk.

mod execute;
mod files;

pub use execute::Disk;

use crate::panic::AbortOnPanic;
use model::env::{IoOutcome, IoRequest, IoTag, Lane};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Bytes that one submission reads at once at most: about half a millisecond's worth. The rest goes to the threads.
const AT_ONCE_BYTES: usize = 2 << 20;

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
    disk: Arc<Disk>,
    awaited: Arc<Shared>,
    bulk: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, jobs: Vec<Job>) {
        let count = jobs.len();
        if count == 0 {
            return;
        }
        self.lock().jobs.extend(jobs);
        for _ in 0..count {
            self.work.notify_one();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }
}

/// The threads, joined when the process ends.
pub struct DiskThreads {
    pool: DiskPool,
    threads: Vec<JoinHandle<()>>,
}

impl DiskPool {
    /// Starts `threads` threads that work below `directory` on what clients wait for, and half as many for the rest.
    pub fn start(
        directory: &Path,
        threads: usize,
        completions: &Arc<impl Completions>,
    ) -> std::io::Result<DiskThreads> {
        let pool = Self {
            disk: Arc::new(Disk::new(directory)),
            awaited: Arc::default(),
            bulk: Arc::default(),
        };
        let awaited = (0..threads.max(1)).map(|index| ("disk", index, &pool.awaited));
        let bulk = (0..threads.div_ceil(2).max(1)).map(|index| ("disk-bulk", index, &pool.bulk));
        let threads = awaited
            .chain(bulk)
            .map(|(name, index, queue)| {
                let (queue, disk, completions) =
                    (queue.clone(), pool.disk.clone(), completions.clone());
                std::thread::Builder::new()
                    .name(format!("{name}-{index}"))
                    .spawn(move || {
                        let _abort = AbortOnPanic;
                        work(&queue, &disk, &*completions);
                    })
            })
            .collect::<std::io::Result<_>>()?;
        Ok(DiskThreads { pool, threads })
    }

    /// Submits requests. What could be read at once is in `done`; the other outcomes are posted.
    pub fn submit(
        &self,
        shard: u16,
        requests: impl Iterator<Item = (IoTag, Lane, IoRequest)>,
        done: &mut Vec<(IoTag, IoOutcome)>,
    ) {
        let (mut awaited, mut bulk) = (Vec::new(), Vec::new());
        let mut budget = AT_ONCE_BYTES;
        for (tag, lane, mut request) in requests {
            let jobs = match lane {
                Lane::Awaited => {
                    match self.disk.read_at_once(shard, request, &mut budget) {
                        Ok(read) => {
                            done.push((tag, Ok(read)));
                            continue;
                        }
                        Err(refused) => request = refused,
                    }
                    &mut awaited
                }
                Lane::Bulk => &mut bulk,
            };
            jobs.push(Job {
                shard,
                tag,
                request,
            });
        }
        self.awaited.push(awaited);
        self.bulk.push(bulk);
    }
}

impl DiskThreads {
    /// The way to them.
    pub fn pool(&self) -> DiskPool {
        self.pool.clone()
    }

    /// Lets the threads finish what is submitted and waits for them.
    pub fn close(self) {
        self.pool.awaited.close();
        self.pool.bulk.close();
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
