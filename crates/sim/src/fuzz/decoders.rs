//! Fuzzers of what storage reads from disk.

use crate::random::Rng;
use crate::storage;
use model::env::Random;
use std::sync::OnceLock;

/// No check panics on any bytes, however they came about.
pub fn any_bytes(rng: &mut Rng) -> Result<(), String> {
    let length = rng.index(300);
    let mut bytes = rng.bytes(length);
    // Small numbers are what lengths and counts look like.
    for _ in 0..rng.index(20) {
        if !bytes.is_empty() {
            let at = rng.index(bytes.len());
            bytes[at] = rng.below(4) as u8;
        }
    }
    for (_, check) in ::storage::formats::ALL {
        check(&bytes);
    }
    Ok(())
}

/// Files of a few runs, each made once.
fn samples(rng: &mut Rng) -> &'static [(String, Vec<u8>)] {
    static SAMPLES: [OnceLock<Vec<(String, Vec<u8>)>>; 8] = [const { OnceLock::new() }; 8];
    let seed = rng.index(SAMPLES.len());
    SAMPLES[seed].get_or_init(|| storage::sample_files(seed as u64))
}

/// Real files of a run, cut, spliced and flipped: no check panics, and none that has a checksum believes them.
pub fn damaged_files(rng: &mut Rng) -> Result<(), String> {
    let files = samples(rng);
    let (path, bytes) = rng.pick(files).clone();
    if bytes.is_empty() {
        return Ok(());
    }
    let mut damaged = bytes.clone();
    match rng.below(4) {
        0 => damaged.truncate(rng.index(bytes.len())),
        1 => {
            let at = rng.index(bytes.len());
            damaged[at] ^= 1 << rng.below(8);
        }
        2 => {
            let (from, to) = (rng.index(bytes.len()), rng.index(bytes.len()));
            let length = rng.index(64).min(bytes.len() - from.max(to));
            let part = bytes[from..from + length].to_vec();
            damaged[to..to + length].copy_from_slice(&part);
        }
        _ => {
            let at = rng.index(bytes.len());
            let length = rng.index(64);
            let part = rng.bytes(length);
            damaged.splice(at..at, part);
        }
    }
    for (name, check) in ::storage::formats::ALL {
        let believed = check(&damaged);
        if believed && damaged != bytes && *name == "manifest" {
            return Err(format!("a damaged {path} passes as {name}"));
        }
    }
    Ok(())
}

/// [`storage::rot`].
pub fn rot(rng: &mut Rng) -> Result<(), String> {
    storage::rot(rng.next_u64())
        .map(|_| ())
        .map_err(|failure| failure.to_string())
}

/// [`storage::run`].
pub fn crashes(rng: &mut Rng) -> Result<(), String> {
    storage::run(rng.next_u64(), 150)
        .map(|_| ())
        .map_err(|failure| failure.to_string())
}
