//! What the operating system says a process costs: processor time, memory, bytes on disk.

use crate::failure::{Failure, Outcome};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Ticks of `/proc/PID/stat` and `/proc/stat`: Linux reports hundredths of a second whatever its own clock.
const TICK: Duration = Duration::from_millis(10);
/// `st_blocks` counts in these, whatever the file system.
const BLOCK_BYTES: u64 = 512;

/// Processor time of a process so far.
#[derive(Debug, Clone, Default)]
pub struct CpuTime {
    /// By the process's own count, which keeps threads that have ended, in ticks.
    ticks: u64,
    /// By thread, in nanoseconds.
    threads: BTreeMap<u32, u64>,
}

impl CpuTime {
    /// Of process `id`, now.
    pub fn of(id: u32) -> Outcome<Self> {
        let stat = read(&format!("/proc/{id}/stat"))?;
        // The name may hold anything; fields count from behind its closing bracket. User and system time are the 14th
        // and 15th of all.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
        let mut fields = fields.into_iter().flat_map(str::split_whitespace).skip(11);
        let mut field = || fields.next().and_then(|field| field.parse::<u64>().ok());
        let ticks = field().zip(field()).map(|(user, system)| user + system);
        let ticks = ticks.ok_or_else(|| Failure::new(format!("/proc/{id}/stat: unreadable")))?;
        let mut threads = BTreeMap::new();
        for thread in fs::read_dir(format!("/proc/{id}/task"))?.flatten() {
            // A thread may end while it is looked at; the process's own count has it.
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let time: Option<u64> = text.split(' ').next().and_then(|time| time.parse().ok());
            let id = thread.file_name().to_string_lossy().parse().ok();
            threads.extend(id.zip(time));
        }
        Ok(Self { ticks, threads })
    }

    /// Time used since `earlier`: to the nanosecond where the threads are the same, to the tick where some came or went.
    pub fn since(&self, earlier: &Self) -> Duration {
        if self.threads.keys().eq(earlier.threads.keys()) {
            let total = |time: &Self| time.threads.values().sum::<u64>();
            Duration::from_nanos(total(self).saturating_sub(total(earlier)))
        } else {
            TICK * self.ticks.saturating_sub(earlier.ticks) as u32
        }
    }
}

/// Processor time of the whole machine so far, without what was idle.
pub fn machine_cpu_time() -> Outcome<Duration> {
    let text = read("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let [user, nice, system, _, _, irq, softirq, steal, ..] = fields[..] else {
        return Err(Failure::new("/proc/stat: unreadable"));
    };
    Ok(TICK * (user + nice + system + irq + softirq + steal) as u32)
}

/// Resident memory of one of these processes on average, in bytes.
pub fn resident_bytes(ids: &[u32]) -> Outcome<u64> {
    let mut sum = 0;
    for id in ids {
        sum += resident_bytes_of(*id)?;
    }
    Ok(sum / ids.len().max(1) as u64)
}

fn resident_bytes_of(id: u32) -> Outcome<u64> {
    let status = read(&format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kib = kib.and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| Failure::new(format!("/proc/{id}/status: no VmRSS")))
}

/// Bytes that the files below a directory take on the disk; 0 if there is none.
pub fn disk_bytes(directory: &Path) -> u64 {
    sum_files(directory, &|path| {
        fs::metadata(path).map_or(0, |file| file.blocks() * BLOCK_BYTES)
    })
}

/// Bytes below a directory up to the last that is not zero in each file: what a log holds, however far ahead its files
/// were allocated. Segments kept for later use, with the bytes of their last use in them, have `spare` in their names.
pub fn written_bytes(directory: &Path) -> u64 {
    let is_spare = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().contains("spare"))
    };
    sum_files(directory, &|path| {
        if is_spare(path) {
            0
        } else {
            last_written(path).unwrap_or(0)
        }
    })
}

fn sum_files(directory: &Path, size: &dyn Fn(&Path) -> u64) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => sum_files(&entry.path(), size),
            Ok(kind) if kind.is_file() => size(&entry.path()),
            _ => 0,
        })
        .sum()
}

fn last_written(path: &Path) -> std::io::Result<u64> {
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let (mut at, mut last) = (0, 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(last);
        }
        if let Some(position) = buffer[..count].iter().rposition(|byte| *byte != 0) {
            last = at + position as u64 + 1;
        }
        at += count as u64;
    }
}

/// Waits until processes use less than a twentieth of a core each, at most `limit`: flushes and compactions are done then.
pub fn wait_until_quiet(ids: &[u32], limit: Duration) -> Outcome {
    const LOOK: Duration = Duration::from_secs(1);
    let began = Instant::now();
    for id in ids {
        let mut before = CpuTime::of(*id)?;
        while began.elapsed() < limit {
            std::thread::sleep(LOOK);
            let now = CpuTime::of(*id)?;
            if now.since(&before) < LOOK / 20 {
                break;
            }
            before = now;
        }
    }
    Ok(())
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| Failure::at(Path::new(path), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_can_be_read() {
        let id = std::process::id();
        let before = CpuTime::of(id).unwrap();
        assert!(resident_bytes(&[id]).unwrap() > 100_000);
        let after = CpuTime::of(id).unwrap();
        assert!(after.since(&before) < Duration::from_mins(1));
        assert!(machine_cpu_time().unwrap() > Duration::ZERO);
    }

    #[test]
    fn a_log_ends_where_its_zeros_begin() {
        let directory = std::env::temp_dir().join(format!("bench-log-{}", std::process::id()));
        fs::create_dir_all(directory.join("deep")).unwrap();
        fs::write(directory.join("deep/a"), [1, 0, 2, 0, 0]).unwrap();
        fs::write(directory.join("b"), [0; 10]).unwrap();
        assert_eq!(written_bytes(&directory), 3);
        assert!(disk_bytes(&directory) > 0);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(disk_bytes(&directory), 0);
    }
}
