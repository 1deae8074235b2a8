//! Every fuzzer of the product, in one registry.
//!
//! A fuzzer is a function of a seed: it makes an input, hands it to a parser or decoder, and compares what comes back
//! with something simpler. It fails by returning an error or by panicking. One that must fail is kept beside them
//! ([`check_canary`]): if it passes, the harness is blind and the run fails.

mod consensus;
mod damage;
mod decoders;
mod files;
mod frames;
mod members;
mod peers;
mod requests;
mod rows;
mod text;

use crate::random::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A fuzzer.
#[derive(Debug, Clone, Copy)]
pub struct Fuzzer {
    /// Its name, `area: what`.
    pub name: &'static str,
    /// Tries one input.
    pub run: fn(&mut Rng) -> Result<(), String>,
}

/// All of them: whatever is read from disks, clients and other members, with the machines behind it. Not here is what an operator
/// writes (`server::config`), and the JSON that lies in a snapshot: names of files, and moments. Whoever adds a parser or
/// decoder adds its fuzzer here.
pub const REGISTRY: &[Fuzzer] = &[
    Fuzzer {
        name: "storage: every format takes any bytes",
        run: decoders::any_bytes,
    },
    Fuzzer {
        name: "storage: every format takes damaged bytes of its own",
        run: decoders::damaged_files,
    },
    Fuzzer {
        name: "storage: a flipped byte is found",
        run: decoders::rot,
    },
    Fuzzer {
        name: "storage: promises hold over crashes",
        run: decoders::crashes,
    },
    Fuzzer {
        name: "storage: whatever is checksummed is not believed damaged",
        run: decoders::checksums,
    },
    Fuzzer {
        name: "storage: the metadata log reads what was written",
        run: files::metadata_log,
    },
    Fuzzer {
        name: "storage: the metadata log takes any bytes",
        run: files::metadata_log_of_any_bytes,
    },
    Fuzzer {
        name: "storage: the layout file says what was written",
        run: files::layout,
    },
    Fuzzer {
        name: "cql: requests in any pieces",
        run: frames::requests,
    },
    Fuzzer {
        name: "cql: the parser takes any text",
        run: text::statements,
    },
    Fuzzer {
        name: "cql: JSON reads back as printed",
        run: text::json_values,
    },
    Fuzzer {
        name: "model: rows take any bytes",
        run: rows::any_bytes,
    },
    Fuzzer {
        name: "model: rows read back as written",
        run: rows::read_back,
    },
    Fuzzer {
        name: "model: rows merge in any order",
        run: rows::merge_order,
    },
    Fuzzer {
        name: "model: mutations take any bytes",
        run: rows::mutations,
    },
    Fuzzer {
        name: "model: clustering keys order as their values",
        run: rows::clustering_order,
    },
    Fuzzer {
        name: "cluster: consensus takes any messages",
        run: consensus::members,
    },
    Fuzzer {
        name: "cluster: metadata takes any proposals",
        run: consensus::proposals,
    },
    Fuzzer {
        name: "cluster: gossip takes any messages",
        run: members::gossips,
    },
    Fuzzer {
        name: "cluster: tracking takes any summaries",
        run: members::summaries,
    },
    Fuzzer {
        name: "node: messages of other nodes take any bytes",
        run: peers::any_bytes,
    },
    Fuzzer {
        name: "node: what repairs bring is read as written",
        run: peers::repairs,
    },
    Fuzzer {
        name: "node: a start takes any records",
        run: consensus::records,
    },
    Fuzzer {
        name: "node: every request is answered",
        run: requests::answered,
    },
];

/// The fuzzer that must fail: its decoder trusts a length that is wrong in one input of some hundreds.
pub const CANARY: Fuzzer = Fuzzer {
    name: "canary",
    run: |rng| {
        let length = usize::from(rng.below(256) as u8);
        let body = vec![0u8; length];
        // The defect: an empty body has no last byte.
        match body[length.wrapping_sub(1)] {
            0 => Ok(()),
            other => Err(format!("the body ends in {other}")),
        }
    },
};

/// Tries a fuzzer with a seed; a panic is a failure.
pub fn run(fuzzer: &Fuzzer, seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let caught = catch_unwind(AssertUnwindSafe(|| (fuzzer.run)(&mut rng)));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// Whether the harness sees the canary's defect within ten thousand seeds.
pub fn check_canary() -> Result<(), String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let seen = (0..10_000).any(|seed| run(&CANARY, seed).is_err());
    std::panic::set_hook(hook);
    if seen {
        Ok(())
    } else {
        Err("the canary lives: the fuzzers see nothing".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fuzzer_passes_a_few_seeds_and_the_canary_does_not() {
        check_canary().unwrap();
        for fuzzer in REGISTRY {
            let slow = ["crashes", "flipped", "node: every"];
            let slow = slow.iter().any(|part| fuzzer.name.contains(part));
            for seed in 0..if slow { 1 } else { 200 } {
                if let Err(what) = run(fuzzer, seed) {
                    panic!("{} with seed {seed}: {what}", fuzzer.name);
                }
            }
        }
    }
}
