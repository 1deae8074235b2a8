//! The two checksums of protocol 5's segments.
//!
//! CRC24 guards the header: polynomial 0x1974F0B, initial value 0x875060, chosen for its Hamming distance at that
//! length (Koopman). CRC32 is the usual one, fed with four fixed bytes before the payload so that a run of zeros is no
//! valid segment.

const CRC24_INITIAL: u32 = 0x0087_5060;
const CRC24_POLYNOMIAL: u32 = 0x0197_4F0B;
const CRC32_PREFIX: [u8; 4] = [0xFA, 0x2D, 0x55, 0xCA];

const CRC24_TABLE: [u32; 256] = crc24_table();

const fn crc24_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 16;
        let mut bit = 0;
        while bit < 8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= CRC24_POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// CRC24 of a segment's header.
pub fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(CRC24_INITIAL, |crc, byte| {
        let index = ((crc >> 16) as u8 ^ byte) as usize;
        ((crc << 8) ^ CRC24_TABLE[index]) & 0x00FF_FFFF
    })
}

/// CRC32 of a segment's payload.
pub fn crc32(payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&CRC32_PREFIX);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, as the specification states it.
    fn crc24_slow(bytes: &[u8]) -> u32 {
        let mut crc = CRC24_INITIAL;
        for byte in bytes {
            crc ^= u32::from(*byte) << 16;
            for _ in 0..8 {
                crc <<= 1;
                if crc & 0x0100_0000 != 0 {
                    crc ^= CRC24_POLYNOMIAL;
                }
            }
        }
        crc
    }

    #[test]
    fn the_table_is_the_polynomial() {
        for seed in 0..1000_u32 {
            let bytes = (seed.wrapping_mul(2_654_435_761)).to_le_bytes();
            assert_eq!(crc24(&bytes[..3]), crc24_slow(&bytes[..3]));
        }
    }

    #[test]
    fn a_header_as_cassandra_sends_it() {
        // Header of a segment of 113 self-contained bytes, taken from an answer of Cassandra 5.0.
        assert_eq!(
            crc24(&[0x71, 0x00, 0x02]).to_le_bytes()[..3],
            [0x2b, 0x37, 0x14]
        );
    }
}
