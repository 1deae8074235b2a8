//! How fast a node that joins takes its data: one node has it, a second one joins and gets all of it.

use crate::failure::{Failure, Outcome};
use crate::options::Options;
use crate::orders::{Pool, ROW_BYTES};
use crate::process::{CpuTime, disk_bytes};
use crate::session::{RateRule, Rates, Session};
use crate::target::{Cache, Target, start};
use serde::{Deserialize, Serialize};

/// Orders in each of two tables, in a whole run and in a quick one.
const ORDERS: [u64; 2] = [1_800_000, 240_000];

/// What was seen.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Join {
    /// Bytes of the rows that were taken, as they stand in uncompressed blocks.
    pub bytes: u64,
    /// Bytes of the SSTables that the node that joined has.
    pub disk_bytes: u64,
    /// From its launch until it served clients, in seconds.
    pub took_s: f64,
    /// Processor time of both nodes meanwhile, in seconds.
    pub cpu_s: f64,
}

impl Join {
    /// Bytes of rows for each second of a processor.
    pub fn bytes_per_core_s(&self) -> f64 {
        self.bytes as f64 / self.cpu_s
    }
}

/// Fills the first node and has the second join it; both are left running.
pub fn join(
    first: &mut dyn Target,
    second: &mut dyn Target,
    options: &Options,
    pool: &Pool,
) -> Outcome<Join> {
    let options = Options {
        nodes: 1,
        replicas: 2,
        orders: ORDERS[usize::from(options.quick)],
        ..options.clone()
    };
    second.wipe()?;
    let rates = Rates::new();
    let mut session = Session::new(first, &options, pool, RateRule::Given(&rates));
    session.begin()?;
    session.flush()?;
    let source = first.processes()?;
    let before: Vec<CpuTime> = source
        .iter()
        .map(|id| CpuTime::of(*id))
        .collect::<Outcome<_>>()?;
    let took = start(second, Cache::Ample, options.version)?;
    let mut cpu_s = 0.0;
    for (id, before) in source.iter().zip(&before) {
        cpu_s += CpuTime::of(*id)?.since(before).as_secs_f64();
    }
    for id in second.processes()? {
        cpu_s += CpuTime::of(id)?.since(&CpuTime::default()).as_secs_f64();
    }
    let taken = second.directories().map(|all| disk_bytes(&all.data));
    let join = Join {
        bytes: options.orders * 2 * ROW_BYTES,
        disk_bytes: taken.unwrap_or(0),
        took_s: took.as_secs_f64(),
        cpu_s,
    };
    if join.disk_bytes < join.bytes / 10 {
        return Err(Failure::new(format!(
            "the node that joined has {} bytes of {}",
            join.disk_bytes, join.bytes
        )));
    }
    eprintln!(
        "join: {} MB of rows in {:.1} s, {:.1} s of processor: {:.0} MB/s a core",
        join.bytes / 1_000_000,
        join.took_s,
        join.cpu_s,
        join.bytes_per_core_s() / 1e6
    );
    Ok(join)
}
