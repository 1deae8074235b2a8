//! Fuzzers of what storage reads from disk.

use super::damage;
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

/// Real files of a run, cut, spliced and flipped: no check panics. What a checksum is good for, [`checksums`] and [`rot`] see.
pub fn damaged_files(rng: &mut Rng) -> Result<(), String> {
    let files = samples(rng);
    let (_, bytes) = rng.pick(files);
    let damaged = damage::damaged(rng, bytes);
    for (_, check) in ::storage::formats::ALL {
        check(&damaged);
    }
    Ok(())
}

/// The formats whose checksums cover all of them are believed as written, and not damaged. The others are parts of these, or,
/// as the commit log, are right up to where they are damaged.
pub fn checksums(rng: &mut Rng) -> Result<(), String> {
    let files = samples(rng);
    let (path, file) = rng.pick(files);
    let foot = file.len().saturating_sub(FOOTER_BYTES);
    let length = rng.index(200);
    let contents = rng.bytes(length);
    for (name, bytes) in [
        ("manifest", file.clone()),
        ("sstable footer", file[foot..].to_vec()),
        ("sstable block envelope", envelope(&contents)),
    ] {
        let all = ::storage::formats::ALL;
        let check = all.iter().find(|(known, _)| *known == name);
        let (_, check) = check.ok_or(format!("there is no format {name}"))?;
        let is_one = match name {
            "manifest" => path.contains("manifest"),
            "sstable footer" => bytes.starts_with(b"HELNSSTB"),
            _ => true,
        };
        if is_one && !check(&bytes) {
            return Err(format!("{path} is no {name}"));
        }
        let damaged = damage::damaged(rng, &bytes);
        // What follows a footer is not looked at: it ends its file.
        let same = damaged == bytes || name == "sstable footer" && damaged.starts_with(&bytes);
        if !same && check(&damaged) {
            return Err(format!("a damaged {path} passes as {name}"));
        }
    }
    Ok(())
}

/// Bytes of an SSTable's footer (docs/formats).
const FOOTER_BYTES: usize = 64;

/// An uncompressed block with its checksum, of the file with number zero at its beginning.
fn envelope(contents: &[u8]) -> Vec<u8> {
    let length = (contents.len() as u32).to_le_bytes();
    let mut rest = [length, length, [0; 4]].concat();
    rest.extend_from_slice(contents);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[0; 16]);
    hasher.update(&rest);
    let mut bytes = hasher.finalize().to_le_bytes().to_vec();
    bytes.append(&mut rest);
    bytes
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
