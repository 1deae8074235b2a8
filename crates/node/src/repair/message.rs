//! What nodes say to each other of repairs beside reads, and its bytes (docs/protocols/internode.md, "Repair"). Decoding never panics.

use crate::track::facts::GroupReport;
use cluster::internode::Class;
use model::schema::TableId;
use model::varint;
use uuid::Uuid;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepairMessage {
    /// The receiver lacks these: make them durable, synced, and say so.
    Mend {
        /// The sender's number for it.
        number: u64,
        /// The epoch at which they were read.
        epoch: u64,
        /// The table that they are of.
        table: TableId,
        /// Encoded mutations.
        mutations: Vec<Vec<u8>>,
    },
    /// That is done, or why it is not.
    Mended {
        /// The receiver's number for it.
        number: u64,
        /// How it ended.
        result: Result<(), String>,
    },
    /// What do your homes know of their groups?
    AskGroups {
        /// The sender's number for it.
        number: u64,
    },
    /// That.
    Groups {
        /// The receiver's number for it.
        number: u64,
        /// What they know.
        reports: Vec<GroupReport>,
    },
}

const MEND: u8 = 1;
const MENDED: u8 = 2;
const NOT_MENDED: u8 = 3;
const ASK_GROUPS: u8 = 4;
const GROUPS: u8 = 5;

impl RepairMessage {
    /// As what it travels.
    pub fn class(&self) -> Class {
        match self {
            Self::Mend { .. } => Class::Bulk,
            Self::Mended { .. } | Self::AskGroups { .. } | Self::Groups { .. } => Class::Small,
        }
    }

    /// Appends its bytes: kind, fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mend {
                number,
                epoch,
                table,
                mutations,
            } => {
                out.push(MEND);
                varint::put(out, *number);
                varint::put(out, *epoch);
                out.extend_from_slice(table.0.as_bytes());
                varint::put(out, mutations.len() as u64);
                mutations
                    .iter()
                    .for_each(|mutation| varint::put_bytes(out, mutation));
            }
            Self::Mended {
                number,
                result: Ok(()),
            } => {
                out.push(MENDED);
                varint::put(out, *number);
            }
            Self::Mended {
                number,
                result: Err(reason),
            } => {
                out.push(NOT_MENDED);
                varint::put(out, *number);
                varint::put_bytes(out, reason.as_bytes());
            }
            Self::AskGroups { number } => {
                out.push(ASK_GROUPS);
                varint::put(out, *number);
            }
            Self::Groups { number, reports } => {
                out.push(GROUPS);
                varint::put(out, *number);
                let text = serde_json::to_vec(reports).expect("plain records");
                varint::put_bytes(out, &text);
            }
        }
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let kind = *varint::take(input, 1)?.first()?;
        let number = varint::get(input)?;
        let message = match kind {
            MEND => {
                let epoch = varint::get(input)?;
                let table = TableId(Uuid::from_slice(varint::take(input, 16)?).ok()?);
                let count = varint::get(input)?;
                // Each takes a byte at least, so that a false count ends with the input.
                let mutations = (0..count).map(|_| Some(varint::get_bytes(input)?.to_vec()));
                Self::Mend {
                    number,
                    epoch,
                    table,
                    mutations: mutations.collect::<Option<_>>()?,
                }
            }
            MENDED => Self::Mended {
                number,
                result: Ok(()),
            },
            NOT_MENDED => {
                let reason = String::from_utf8(varint::get_bytes(input)?.to_vec()).ok()?;
                Self::Mended {
                    number,
                    result: Err(reason),
                }
            }
            ASK_GROUPS => Self::AskGroups { number },
            GROUPS => Self::Groups {
                number,
                reports: serde_json::from_slice(varint::get_bytes(input)?).ok()?,
            },
            _ => return None,
        };
        input.is_empty().then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_their_bytes_and_no_part_of_them_does() {
        let messages = [
            RepairMessage::Mend {
                number: u64::MAX,
                epoch: 400,
                table: TableId(Uuid::from_u128(7)),
                mutations: vec![vec![1, 2, 3], Vec::new()],
            },
            RepairMessage::Mended {
                number: 9,
                result: Ok(()),
            },
            RepairMessage::Mended {
                number: 9,
                result: Err("no room".into()),
            },
            RepairMessage::AskGroups { number: 7 },
            RepairMessage::Groups {
                number: 7,
                reports: vec![GroupReport {
                    members: vec![1, 2],
                    proved_age_ms: Some(400),
                    gone: 3,
                    of: Vec::new(),
                }],
            },
        ];
        for message in messages {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            let decoded = RepairMessage::decode(&mut bytes.as_slice());
            assert_eq!(decoded.as_ref(), Some(&message));
            for length in 0..bytes.len() {
                assert_eq!(RepairMessage::decode(&mut &bytes[..length]), None);
            }
        }
    }
}
