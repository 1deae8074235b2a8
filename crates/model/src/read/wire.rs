//! The bytes of reads and their answers between nodes (docs/protocols/internode.md). Decoding never panics.

use super::{
    Columns, Dead, Direction, KeyBound, KeyRange, Limits, Partitions, ReadCommand, ReadResponse,
    Resume,
};
use crate::clustering::Slice;
use crate::filter::{Condition, Operator, RowFilter, Target};
use crate::key::{DecoratedKey, Token};
use crate::row::ColumnId;
use crate::schema::TableId;
use crate::varint;
use uuid::Uuid;

const OPERATORS: [Operator; 11] = [
    Operator::Equal,
    Operator::NotEqual,
    Operator::Less,
    Operator::LessOrEqual,
    Operator::Greater,
    Operator::GreaterOrEqual,
    Operator::In,
    Operator::Contains,
    Operator::ContainsKey,
    Operator::Entry,
    Operator::Like,
];

impl ReadCommand {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.table.0.as_bytes());
        let flags = u8::from(self.direction == Direction::Backward)
            | u8::from(self.static_counts) << 1
            | u8::from(self.dead == Dead::Kept) << 2
            | u8::from(self.resume.is_some()) << 3
            | u8::from(matches!(self.columns, Columns::Only(_))) << 4
            | u8::from(matches!(self.partitions, Partitions::Range(_))) << 5;
        out.push(flags);
        match &self.partitions {
            Partitions::Key(key) => varint::put_bytes(out, &key.key),
            Partitions::Range(range) => {
                put_bound(out, &range.start);
                put_bound(out, &range.end);
            }
        }
        varint::put(out, self.slices.len() as u64);
        for slice in &self.slices {
            varint::put_bytes(out, &slice.start);
            varint::put_bytes(out, &slice.end);
        }
        if let Columns::Only(ids) = &self.columns {
            varint::put(out, ids.len() as u64);
            ids.iter().for_each(|id| varint::put(out, u64::from(id.0)));
        }
        varint::put(out, self.filter.conditions.len() as u64);
        for condition in &self.filter.conditions {
            put_condition(out, condition);
        }
        for limit in [
            self.limits.rows,
            self.limits.per_partition,
            self.limits.bytes as u64,
            self.limits.tombstones,
        ] {
            // Without a limit is the commonest, and is one byte so.
            varint::put(out, limit.wrapping_add(1));
        }
        if let Some(resume) = &self.resume {
            varint::put_bytes(out, &resume.key.key);
            put_optional(out, resume.clustering.as_deref());
            varint::put(out, resume.left_in_partition.wrapping_add(1));
            out.push(u8::from(resume.gave_rows));
        }
        varint::put_signed(out, self.now_seconds);
        varint::put_signed(out, self.purge_before);
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let table = TableId(Uuid::from_slice(varint::take(input, 16)?).ok()?);
        let flags = byte(input)?;
        if flags >> 6 != 0 {
            return None;
        }
        let flag = |bit: u8| flags >> bit & 1 == 1;
        let partitions = if flag(5) {
            Partitions::Range(KeyRange {
                start: bound(input)?,
                end: bound(input)?,
            })
        } else {
            Partitions::Key(key(input)?)
        };
        let slices = many(input, |input| {
            Some(Slice {
                start: varint::get_bytes(input)?.to_vec(),
                end: varint::get_bytes(input)?.to_vec(),
            })
        })?;
        let columns = if flag(4) {
            Columns::Only(many(input, column)?)
        } else {
            Columns::All
        };
        let conditions = many(input, condition)?;
        let mut limit = || Some(varint::get(input)?.wrapping_sub(1));
        let limits = Limits {
            rows: limit()?,
            per_partition: limit()?,
            bytes: usize::try_from(limit()?).ok()?,
            tombstones: limit()?,
        };
        let resume = if flag(3) {
            Some(Resume {
                key: key(input)?,
                clustering: optional(input)?,
                left_in_partition: varint::get(input)?.wrapping_sub(1),
                gave_rows: flag_byte(input)?,
            })
        } else {
            None
        };
        Some(Self {
            table,
            partitions,
            slices,
            direction: if flag(0) {
                Direction::Backward
            } else {
                Direction::Forward
            },
            columns,
            static_counts: flag(1),
            filter: RowFilter { conditions },
            limits,
            resume,
            now_seconds: varint::get_signed(input)?,
            purge_before: varint::get_signed(input)?,
            dead: if flag(2) { Dead::Kept } else { Dead::Dropped },
        })
    }
}

impl ReadResponse {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.more));
        varint::put(out, self.rows);
        varint::put(out, self.tombstones);
        varint::put_bytes(out, &self.bytes);
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(input: &mut &[u8]) -> Option<Self> {
        let more = flag_byte(input)?;
        let (rows, tombstones) = (varint::get(input)?, varint::get(input)?);
        Some(Self {
            bytes: varint::get_bytes(input)?.to_vec(),
            more,
            rows,
            tombstones,
        })
    }

    /// What stands for its rows when answers of replicas are compared: two murmur3 hashes of 64 bits with different beginnings.
    pub fn digest(&self) -> u128 {
        let low = crate::murmur::hash(&self.bytes) as u64;
        let mut seeded = Vec::with_capacity(self.bytes.len() + 8);
        seeded.extend_from_slice(&low.to_le_bytes());
        seeded.extend_from_slice(&self.bytes);
        let high = crate::murmur::hash(&seeded) as u64;
        u128::from(high) << 64 | u128::from(low)
    }
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    varint::take(input, 1)?.first().copied()
}

fn flag_byte(input: &mut &[u8]) -> Option<bool> {
    match byte(input)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// A count and so many items; a false count ends with the input, since every item takes a byte.
fn many<T>(input: &mut &[u8], mut item: impl FnMut(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = varint::get(input)?;
    (0..count).map(|_| item(input)).collect()
}

fn key(input: &mut &[u8]) -> Option<DecoratedKey> {
    Some(DecoratedKey::new(varint::get_bytes(input)?))
}

fn column(input: &mut &[u8]) -> Option<ColumnId> {
    Some(ColumnId(u32::try_from(varint::get(input)?).ok()?))
}

fn put_bound(out: &mut Vec<u8>, bound: &KeyBound) {
    match bound {
        KeyBound::Before(token) | KeyBound::After(token) => {
            out.push(u8::from(matches!(bound, KeyBound::After(_))));
            out.extend_from_slice(&token.0.to_be_bytes());
        }
        KeyBound::BeforeKey(key) | KeyBound::AfterKey(key) => {
            out.push(2 + u8::from(matches!(bound, KeyBound::AfterKey(_))));
            varint::put_bytes(out, &key.key);
        }
    }
}

fn bound(input: &mut &[u8]) -> Option<KeyBound> {
    let kind = byte(input)?;
    Some(match kind {
        0 | 1 => {
            let token = Token(i64::from_be_bytes(varint::take(input, 8)?.try_into().ok()?));
            if kind == 0 {
                KeyBound::Before(token)
            } else {
                KeyBound::After(token)
            }
        }
        2 => KeyBound::BeforeKey(key(input)?),
        3 => KeyBound::AfterKey(key(input)?),
        _ => return None,
    })
}

fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        varint::put_bytes(out, bytes);
    }
}

fn optional(input: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    Some(match byte(input)? {
        0 => None,
        1 => Some(varint::get_bytes(input)?.to_vec()),
        _ => return None,
    })
}

fn put_condition(out: &mut Vec<u8>, condition: &Condition) {
    let (kind, number) = match condition.target {
        Target::PartitionKey(index) => (0, index as u64),
        Target::Clustering(index) => (1, index as u64),
        Target::Static(id) => (2, u64::from(id.0)),
        Target::Regular(id) => (3, u64::from(id.0)),
    };
    out.push(kind);
    varint::put(out, number);
    let place = OPERATORS
        .iter()
        .position(|operator| *operator == condition.operator);
    out.push(place.expect("every operator has a place") as u8);
    let ctype = serde_json::to_vec(&condition.ctype).expect("types have names only");
    varint::put_bytes(out, &ctype);
    varint::put(out, condition.operands.len() as u64);
    for operand in &condition.operands {
        varint::put_bytes(out, operand);
    }
}

fn condition(input: &mut &[u8]) -> Option<Condition> {
    let (kind, number) = (byte(input)?, varint::get(input)?);
    let index = usize::try_from(number).ok();
    let id = u32::try_from(number).ok().map(ColumnId);
    let target = match kind {
        0 => Target::PartitionKey(index?),
        1 => Target::Clustering(index?),
        2 => Target::Static(id?),
        3 => Target::Regular(id?),
        _ => return None,
    };
    let operator = *OPERATORS.get(usize::from(byte(input)?))?;
    let ctype = serde_json::from_slice(varint::get_bytes(input)?).ok()?;
    let operands = many(input, |input| Some(varint::get_bytes(input)?.to_vec()))?;
    Some(Condition {
        target,
        ctype,
        operator,
        operands,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::CqlType;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..6)
    }

    fn keys() -> impl Strategy<Value = DecoratedKey> {
        bytes().prop_map(DecoratedKey::new)
    }

    fn bounds() -> impl Strategy<Value = KeyBound> {
        prop_oneof![
            any::<i64>().prop_map(|token| KeyBound::Before(Token(token))),
            any::<i64>().prop_map(|token| KeyBound::After(Token(token))),
            keys().prop_map(KeyBound::BeforeKey),
            keys().prop_map(KeyBound::AfterKey),
        ]
    }

    fn conditions() -> impl Strategy<Value = Condition> {
        let target = prop_oneof![
            (0..9usize).prop_map(Target::PartitionKey),
            (0..9usize).prop_map(Target::Clustering),
            any::<u32>().prop_map(|id| Target::Static(ColumnId(id))),
            any::<u32>().prop_map(|id| Target::Regular(ColumnId(id))),
        ];
        let ctype = prop_oneof![
            Just(CqlType::Int),
            Just(CqlType::Vector(Arc::new(CqlType::Float), 3)),
        ];
        let operands = prop::collection::vec(bytes(), 0..3);
        (target, ctype, 0..OPERATORS.len(), operands).prop_map(
            |(target, ctype, place, operands)| Condition {
                target,
                ctype,
                operator: OPERATORS[place],
                operands,
            },
        )
    }

    fn commands() -> impl Strategy<Value = ReadCommand> {
        let partitions = prop_oneof![
            keys().prop_map(Partitions::Key),
            (bounds(), bounds())
                .prop_map(|(start, end)| Partitions::Range(KeyRange { start, end })),
        ];
        let slices = prop::collection::vec((bytes(), bytes()), 0..3);
        let columns = prop::option::of(prop::collection::vec(any::<u32>(), 0..3));
        let limits = (any::<u64>(), any::<u64>(), any::<usize>(), any::<u64>());
        let resume = prop::option::of((keys(), prop::option::of(bytes()), any::<u64>()));
        let times = (any::<i64>(), any::<i64>());
        let flags = (any::<bool>(), any::<bool>(), any::<bool>());
        let rest = (limits, resume, times, flags);
        (
            partitions,
            slices,
            columns,
            prop::collection::vec(conditions(), 0..3),
            rest,
        )
            .prop_map(
                |(partitions, slices, columns, conditions, (limits, resume, times, flags))| {
                    ReadCommand {
                        table: TableId(Uuid::from_u128(7)),
                        partitions,
                        slices: slices
                            .into_iter()
                            .map(|(start, end)| Slice { start, end })
                            .collect(),
                        direction: if flags.0 {
                            Direction::Forward
                        } else {
                            Direction::Backward
                        },
                        columns: columns.map_or(Columns::All, |ids| {
                            Columns::Only(ids.into_iter().map(ColumnId).collect())
                        }),
                        static_counts: flags.1,
                        filter: RowFilter { conditions },
                        limits: Limits {
                            rows: limits.0,
                            per_partition: limits.1,
                            bytes: limits.2,
                            tombstones: limits.3,
                        },
                        resume: resume.map(|(key, clustering, left_in_partition)| Resume {
                            key,
                            clustering,
                            left_in_partition,
                            gave_rows: left_in_partition % 2 == 0,
                        }),
                        now_seconds: times.0,
                        purge_before: times.1,
                        dead: if flags.2 { Dead::Kept } else { Dead::Dropped },
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn commands_survive_their_bytes(command in commands()) {
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            let mut input = bytes.as_slice();
            prop_assert_eq!(ReadCommand::decode(&mut input), Some(command));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn responses_survive_their_bytes(bytes in bytes(), more in any::<bool>(), rows in any::<u64>(), tombstones in any::<u64>()) {
            let response = ReadResponse { bytes, more, rows, tombstones };
            let mut bytes = Vec::new();
            response.encode(&mut bytes);
            prop_assert_eq!(ReadResponse::decode(&mut bytes.as_slice()), Some(response));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (ReadCommand::decode(&mut bytes.as_slice()), ReadResponse::decode(&mut bytes.as_slice()));
        }
    }

    #[test]
    fn digests_tell_rows_apart() {
        let response = |bytes: &[u8]| ReadResponse {
            bytes: bytes.to_vec(),
            ..ReadResponse::default()
        };
        assert_eq!(response(b"a").digest(), response(b"a").digest());
        assert_ne!(response(b"a").digest(), response(b"b").digest());
    }
}
