//! A seeded fuzzer: valid statements cut, spliced and sprinkled with odd bytes must never panic the parser.

use super::parse;
use super::tests::accepted;

/// The generator of Steele and others' SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

const SPICES: [&str; 32] = [
    "(", ")", "[", "]", "{", "}", "<", ">", "'", "\"", "$$", "--", "/*", "*/", ":", "?", "..", ".",
    "-", "1", "0x", "P1Y", "\u{0}", "é", "😀", "\n", " IN ", " NULL ", " AS ", "expr(", ",", ";",
];

fn mutate(text: &str, other: &str, random: &mut Random) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(4) {
        let at = random.below(characters.len() + 1);
        let end = (at + random.below(12)).min(characters.len());
        match random.below(5) {
            0 => drop(characters.drain(at..end)),
            1 => {
                let spice = SPICES[random.below(SPICES.len())];
                characters.splice(at..at, spice.chars());
            }
            2 => {
                let tail: Vec<char> = other.chars().skip(random.below(other.len())).collect();
                characters.truncate(at);
                characters.extend(tail);
            }
            3 => {
                let copy: Vec<char> = characters[at..end].to_vec();
                characters.splice(at..at, copy);
            }
            _ => characters.truncate(at),
        }
    }
    characters.into_iter().collect()
}

#[test]
fn mutated_statements_never_panic() {
    let corpus: Vec<String> = accepted().collect();
    let mut random = Random(7);
    let (mut valid, mut invalid) = (0, 0);
    for _ in 0..40_000 {
        let text = &corpus[random.below(corpus.len())];
        let other = &corpus[random.below(corpus.len())];
        match parse(&mutate(text, other, &mut random)) {
            Ok(parsed) => {
                valid += 1;
                // Printing walks the whole tree.
                let _ = format!("{:?}", parsed.statement);
            }
            Err(error) => {
                invalid += 1;
                assert!(!error.message.is_empty());
            }
        }
    }
    assert!(
        valid > 1_000 && invalid > 10_000,
        "{valid} valid, {invalid} invalid"
    );
}
