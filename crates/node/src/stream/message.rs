//! What nodes say to each other when data moves, and its bytes (docs/protocols/internode.md, "Streams"). Decoding never panics.

use cluster::internode::Class;
use cluster::stream::chunk::Checked;
use cluster::topology::NodeId;
use model::read::{ReadCommand, ReadResponse};
use model::varint;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamMessage {
    /// Give a chunk of what one of your shards has.
    Pull(Pull),
    /// That chunk, or why there is none.
    Chunk {
        /// Which question it answers.
        number: u64,
        /// The epoch that was asked with.
        epoch: u64,
        /// What was read, with its checksum.
        result: Result<Checked, String>,
    },
    /// A change of the ring is at this step: do you know it, and are you done with it?
    Step {
        /// Whose tokens change.
        node: NodeId,
        /// The epoch at which the change came to the step it is at.
        since: u64,
        /// Whether everybody knows it, so that what the receiver gains can be taken.
        known: bool,
    },
    /// That.
    Stepped {
        /// Whose tokens change.
        node: NodeId,
        /// The epoch that was asked about.
        since: u64,
        /// The epoch in force on all shards of the sender.
        epoch: u64,
        /// Whether the sender has everything that it gains.
        is_done: bool,
        /// Whether the receiver is no member any more.
        is_gone: bool,
    },
}

/// What is asked of a shard of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// Names the question.
    pub number: u64,
    /// Which shard.
    pub shard: u16,
    /// How many the source is believed to have.
    pub shards: u16,
    /// The epoch that the asking node knows: what the source reads has to be as of that at least.
    pub epoch: u64,
    /// The epoch from which on everybody writes to the asking node too: what was planned before comes too late.
    pub since: u64,
    /// Whether it will do although the source may lack what other replicas have.
    pub as_it_is: bool,
    /// What to read.
    pub command: Box<ReadCommand>,
}

const PULL: u8 = 1;
const CHUNK: u8 = 2;
const NO_CHUNK: u8 = 3;
const STEP: u8 = 4;
const STEPPED: u8 = 5;

impl StreamMessage {
    /// As what it travels.
    pub fn class(&self) -> Class {
        match self {
            Self::Pull(_) | Self::Chunk { .. } => Class::Bulk,
            Self::Step { .. } | Self::Stepped { .. } => Class::Small,
        }
    }

    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Pull(pull) => {
                out.push(PULL);
                varint::put(out, pull.number);
                varint::put(out, u64::from(pull.shard));
                varint::put(out, u64::from(pull.shards));
                varint::put(out, pull.epoch);
                varint::put(out, pull.since);
                out.push(u8::from(pull.as_it_is));
                pull.command.encode(out);
            }
            Self::Chunk {
                number,
                epoch,
                result: Ok(checked),
            } => {
                out.push(CHUNK);
                varint::put(out, *number);
                varint::put(out, *epoch);
                out.extend_from_slice(&checked.crc.to_le_bytes());
                checked.response.encode(out);
            }
            Self::Chunk {
                number,
                epoch,
                result: Err(reason),
            } => {
                out.push(NO_CHUNK);
                varint::put(out, *number);
                varint::put(out, *epoch);
                varint::put_bytes(out, reason.as_bytes());
            }
            Self::Step { node, since, known } => {
                out.push(STEP);
                varint::put(out, u64::from(node.0));
                varint::put(out, *since);
                out.push(u8::from(*known));
            }
            Self::Stepped {
                node,
                since,
                epoch,
                is_done,
                is_gone,
            } => {
                out.push(STEPPED);
                varint::put(out, u64::from(node.0));
                varint::put(out, *since);
                varint::put(out, *epoch);
                out.push(u8::from(*is_done) | u8::from(*is_gone) << 1);
            }
        }
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let kind = *varint::take(input, 1)?.first()?;
        let message = match kind {
            PULL => Self::Pull(Pull {
                number: varint::get(input)?,
                shard: u16::try_from(varint::get(input)?).ok()?,
                shards: u16::try_from(varint::get(input)?).ok()?,
                epoch: varint::get(input)?,
                since: varint::get(input)?,
                as_it_is: match varint::take(input, 1)? {
                    [0] => false,
                    [1] => true,
                    _ => return None,
                },
                command: Box::new(ReadCommand::decode(input)?),
            }),
            CHUNK => Self::Chunk {
                number: varint::get(input)?,
                epoch: varint::get(input)?,
                result: Ok(Checked {
                    crc: u32::from_le_bytes(varint::take(input, 4)?.try_into().ok()?),
                    response: ReadResponse::decode(input)?,
                }),
            },
            NO_CHUNK => Self::Chunk {
                number: varint::get(input)?,
                epoch: varint::get(input)?,
                result: Err(String::from_utf8(varint::get_bytes(input)?.to_vec()).ok()?),
            },
            STEP => Self::Step {
                node: node(input)?,
                since: varint::get(input)?,
                known: flags(input, 1)? != 0,
            },
            STEPPED => {
                let (node, since) = (node(input)?, varint::get(input)?);
                let epoch = varint::get(input)?;
                let flags = flags(input, 3)?;
                Self::Stepped {
                    node,
                    since,
                    epoch,
                    is_done: flags & 1 != 0,
                    is_gone: flags & 2 != 0,
                }
            }
            _ => return None,
        };
        input.is_empty().then_some(message)
    }
}

fn node(input: &mut &[u8]) -> Option<NodeId> {
    Some(NodeId(u32::try_from(varint::get(input)?).ok()?))
}

fn flags(input: &mut &[u8], most: u8) -> Option<u8> {
    let flags = *varint::take(input, 1)?.first()?;
    (flags <= most).then_some(flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::stream::chunk;
    use model::read::KeyRange;
    use model::schema::TableId;
    use uuid::Uuid;

    #[test]
    fn messages_survive_their_bytes_and_no_part_of_them_does() {
        let response = ReadResponse {
            bytes: vec![1, 2, 3],
            more: true,
            rows: 1,
            tombstones: 2,
        };
        let command = chunk::command(
            TableId(Uuid::from_u128(7)),
            KeyRange::all(),
            None,
            usize::MAX,
        );
        let messages = [
            StreamMessage::Pull(Pull {
                number: u64::MAX,
                shard: 1,
                shards: 2,
                epoch: 400,
                since: 300,
                as_it_is: true,
                command: Box::new(command),
            }),
            StreamMessage::Chunk {
                number: 9,
                epoch: 400,
                result: Ok(Checked::new(response)),
            },
            StreamMessage::Chunk {
                number: 9,
                epoch: 400,
                result: Err("busy".into()),
            },
            StreamMessage::Step {
                node: NodeId(3),
                since: 300,
                known: true,
            },
            StreamMessage::Stepped {
                node: NodeId(3),
                since: 300,
                epoch: 301,
                is_done: true,
                is_gone: false,
            },
        ];
        for message in messages {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(
                StreamMessage::decode(&mut bytes.as_slice()).as_ref(),
                Some(&message)
            );
            for length in 0..bytes.len() {
                let part = StreamMessage::decode(&mut &bytes[..length]);
                assert_ne!(part.as_ref(), Some(&message));
            }
        }
    }
}
