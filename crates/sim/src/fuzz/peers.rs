//! Fuzzers of what nodes say to each other of data: any message of any bytes, and what repairs bring.

use super::damage;
use crate::random::Rng;
use model::schema::TableId;
use node::peers::message::PeerMessage;
use node::repair::message::RepairMessage;
use node::track::facts::{GroupReport, MemberReport};
use uuid::Uuid;

/// The largest kind of a message.
const LAST_KIND: u64 = 24;

/// No message panics, whatever its bytes are.
pub fn any_bytes(rng: &mut Rng) -> Result<(), String> {
    let length = rng.index(200);
    let mut bytes = vec![rng.below(LAST_KIND) as u8];
    // Small numbers are what kinds, lengths and counts look like.
    bytes.extend((0..length).map(|_| match rng.below(3) {
        0 => rng.below(256) as u8,
        _ => rng.below(8) as u8,
    }));
    let _ = PeerMessage::decode(&bytes);
    Ok(())
}

/// What a repair says is read as it was written; damaged, it is anything but a panic.
pub fn repairs(rng: &mut Rng) -> Result<(), String> {
    let number = rng.below(1 << 40);
    let message = match rng.below(5) {
        0 => RepairMessage::Mend {
            number,
            epoch: rng.below(1_000),
            table: TableId(Uuid::from_u128(u128::from(rng.below(1 << 60)))),
            mutations: (0..rng.index(4))
                .map(|_| {
                    let length = rng.index(40);
                    rng.bytes(length)
                })
                .collect(),
        },
        1 => RepairMessage::Mended {
            number,
            result: Ok(()),
        },
        2 => RepairMessage::Mended {
            number,
            result: Err("no room".to_owned()),
        },
        3 => RepairMessage::AskGroups { number },
        _ => RepairMessage::Groups {
            number,
            reports: vec![GroupReport {
                members: (0..rng.below(4) as u32).collect(),
                proved_age_ms: rng.chance(50).then(|| rng.below(1 << 50)),
                gone: rng.below(1 << 60),
                of: vec![MemberReport {
                    node: 7,
                    lacks: rng.below(1 << 60),
                    fresh: rng.chance(50),
                }],
            }],
        },
    };
    let message = PeerMessage::Repair(message);
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    if PeerMessage::decode(&bytes).as_ref() != Some(&message) {
        return Err(format!("{message:?} is not read as written"));
    }
    let _ = PeerMessage::decode(&damage::damaged(rng, &bytes));
    Ok(())
}
