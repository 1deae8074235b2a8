//! Bytes there and back, and bytes that nobody wrote.

use super::{LogSummary, Summary};
use crate::topology::NodeId;
use crate::track::{Boot, Freshness, GroupId};
use model::track::{Intervals, LogId};
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

fn boots() -> impl Strategy<Value = Vec<(NodeId, Boot)>> {
    proptest::collection::vec((any::<u32>().prop_map(NodeId), any::<u32>()), 0..4)
}

proptest! {
    #[test]
    fn summaries_survive_their_bytes(
        numbers in proptest::collection::vec(any::<u64>(), 8),
        boot in any::<u32>(),
        known in boots(),
        retired in boots(),
        fresh in (any::<bool>(), any::<bool>(), any::<bool>()),
        logs in proptest::collection::vec((any::<u64>(), any::<u32>(), 0u64..1_000, 0u64..1_000), 0..4),
    ) {
        let summary = Summary {
            group: GroupId(numbers[0]),
            incarnation: numbers[1],
            boot,
            version: numbers[2],
            since: numbers[3],
            seen: (boot, numbers[4]),
            nonce: numbers[5],
            echo: numbers[6],
            boots: known,
            retired,
            fresh: Freshness { all: fresh.0, local: fresh.1, behind: fresh.2 },
            logs: logs.into_iter().map(|(log, boot, first, more)| LogSummary {
                log: LogId(log),
                boot,
                end: first,
                held: Intervals::run(first, first + more),
            }).collect(),
        };
        let mut bytes = Vec::new();
        summary.encode(&mut bytes);
        prop_assert_eq!(Summary::decode(&bytes), Some(summary));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Summary::decode(&bytes);
    }
}
