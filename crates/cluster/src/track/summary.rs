//! What members of a group tell each other, and its bytes (docs/protocols/internode.md).
//!
//! A summary brings the receiver from the version of the sender's state that it has acknowledged (`since`) to `version`. Whole
//! sets of the logs that changed are sent, so that one that is lost, doubled or late does no harm: sets only grow.

#[cfg(test)]
mod tests;

use super::gate::Freshness;
use super::{Boot, GroupId};
use crate::topology::NodeId;
use model::track::{Intervals, LogId};
use model::varint;

/// One member's state of a group, for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Which group.
    pub group: GroupId,
    /// The sender's disk.
    pub incarnation: u64,
    /// The sender's boot.
    pub boot: Boot,
    /// Version of the sender's state that this brings the receiver to.
    pub version: u64,
    /// Version it starts from: one the receiver had acknowledged.
    pub since: u64,
    /// The receiver's boot, as the sender knows it, and the version of its state that the sender has.
    pub seen: (Boot, u64),
    /// Asks for an answer; grows. The sender remembers when it asked.
    pub nonce: u64,
    /// The receiver's last nonce that this answers: everything in here is as of a moment after it was asked.
    pub echo: u64,
    /// Boots of the members as the sender knows them. Of earlier ones it takes in nothing any more.
    pub boots: Vec<(NodeId, Boot)>,
    /// Of logs of these origins up to these boots the sender holds everything that anybody ever held.
    pub retired: Vec<(NodeId, Boot)>,
    /// For which reads the sender may be trusted.
    pub fresh: Freshness,
    /// Logs that changed since `since`.
    pub logs: Vec<LogSummary>,
}

/// What a member holds of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSummary {
    /// Which.
    pub log: LogId,
    /// The boot of its origin that it belongs to.
    pub boot: Boot,
    /// The last sequence that was assigned, if the sender is the origin; else the last that it has heard of.
    pub end: u64,
    /// What the sender holds, durably.
    pub held: Intervals,
}

impl Summary {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.group.0.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        let (seen_boot, seen) = self.seen;
        for number in [
            u64::from(self.boot),
            self.version,
            self.since,
            u64::from(seen_boot),
            seen,
            self.nonce,
            self.echo,
            u64::from(self.fresh.all)
                | u64::from(self.fresh.local) << 1
                | u64::from(self.fresh.behind) << 2,
        ] {
            varint::put(out, number);
        }
        put_boots(out, &self.boots);
        put_boots(out, &self.retired);
        varint::put(out, self.logs.len() as u64);
        for log in &self.logs {
            varint::put(out, log.log.0);
            varint::put(out, u64::from(log.boot));
            varint::put(out, log.end);
            log.held.encode(out);
        }
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(mut input: &[u8]) -> Option<Self> {
        let input = &mut input;
        let summary = Self {
            group: GroupId(fixed(input)?),
            incarnation: fixed(input)?,
            boot: boot(input)?,
            version: varint::get(input)?,
            since: varint::get(input)?,
            seen: (boot(input)?, varint::get(input)?),
            nonce: varint::get(input)?,
            echo: varint::get(input)?,
            fresh: match varint::get(input)? {
                bits @ 0..=7 => Freshness {
                    all: bits & 1 != 0,
                    local: bits & 2 != 0,
                    behind: bits & 4 != 0,
                },
                _ => return None,
            },
            boots: boots(input)?,
            retired: boots(input)?,
            logs: {
                let count = varint::get(input)?;
                (0..count)
                    .map(|_| {
                        Some(LogSummary {
                            log: LogId(varint::get(input)?),
                            boot: boot(input)?,
                            end: varint::get(input)?,
                            held: Intervals::decode(input)?,
                        })
                    })
                    .collect::<Option<_>>()?
            },
        };
        input.is_empty().then_some(summary)
    }
}

fn fixed(input: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = input.split_first_chunk::<8>()?;
    *input = rest;
    Some(u64::from_le_bytes(*bytes))
}

fn boot(input: &mut &[u8]) -> Option<Boot> {
    Boot::try_from(varint::get(input)?).ok()
}

fn put_boots(out: &mut Vec<u8>, boots: &[(NodeId, Boot)]) {
    varint::put(out, boots.len() as u64);
    for (node, boot) in boots {
        varint::put(out, u64::from(node.0));
        varint::put(out, u64::from(*boot));
    }
}

fn boots(input: &mut &[u8]) -> Option<Vec<(NodeId, Boot)>> {
    let count = varint::get(input)?;
    (0..count)
        .map(|_| {
            let node = u32::try_from(varint::get(input)?).ok()?;
            Some((NodeId(node), boot(input)?))
        })
        .collect()
}
