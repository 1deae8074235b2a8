//! A small seeded generator for identifiers: SplitMix64 (Steele, Lea and Flood, 2014). Nothing secret is made with it.

use model::env::Random;
use model::time::Now;
use uuid::Uuid;

/// 100-nanosecond steps from 1582-10-15, where UUID time begins, to 1970.
pub(crate) const UUID_EPOCH_STEPS: u64 = 0x01b2_1dd2_1381_4000;

/// The generator.
#[derive(Debug, Clone)]
pub struct SplitMix {
    state: u64,
    node: u64,
    last_steps: u64,
}

impl SplitMix {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Self {
            state: seed,
            node: 0,
            last_steps: 0,
        };
        // The multicast bit marks a node id that is no network card's (RFC 9562, section 6.10).
        random.node =
            random.next_u64() & 0xffff_ffff_ffff | 0x0100_0000_0000 | 0x8000_0000_0000_0000 >> 2;
        random
    }

    /// A time UUID of now; later ones of this generator are greater.
    pub fn time_uuid(&mut self, now: Now) -> Uuid {
        let steps = (now.wall.0 as u64)
            .wrapping_mul(10)
            .wrapping_add(UUID_EPOCH_STEPS)
            .max(self.last_steps + 1);
        self.last_steps = steps;
        let sequence = (self.node >> 48) as u16 & 0x3fff;
        let node = self.node.to_be_bytes();
        let (low, middle, high) = (
            steps as u32,
            (steps >> 32) as u16,
            (steps >> 48) as u16 & 0x0fff | 0x1000,
        );
        let tail = [
            (sequence >> 8) as u8 | 0x80,
            sequence as u8,
            node[2],
            node[3],
            node[4],
            node[5],
            node[6],
            node[7],
        ];
        Uuid::from_fields(low, middle, high, &tail)
    }
}

impl Random for SplitMix {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
