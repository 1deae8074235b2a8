//! Entries of the metadata log: what the node is, and every change of the schema and the roles, in order.
//!
//! An entry is JSON with a version, so that a newer node reads what an older one wrote; the log around it has the
//! checksums. Replaying all entries from the start gives the schema in force.

use model::key::Token;
use model::schema::{Schema, SchemaEdit};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a node is, from its first start on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// As tools show it.
    pub host_id: Uuid,
    /// Tokens it owns the ranges up to, ascending.
    pub tokens: Vec<Token>,
}

impl Identity {
    /// A new identity with `count` tokens, evenly spread from a random start: with one node there is nothing else to
    /// balance against.
    pub fn new(count: u32, random: &mut impl model::env::Random) -> Self {
        let high = u128::from(random.next_u64()) << 64;
        let host_id =
            uuid::Builder::from_random_bytes((high | u128::from(random.next_u64())).to_be_bytes())
                .into_uuid();
        let step = u64::MAX / u64::from(count.max(1));
        let offset = random.next_u64() % step.max(1);
        let mut tokens: Vec<Token> = (0..u64::from(count.max(1)))
            .map(|index| Token((offset + index * step).wrapping_add(1 << 63) as i64))
            .collect();
        tokens.sort_unstable();
        Self { host_id, tokens }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// The node's first start.
    Identity(Identity),
    /// A change of the schema.
    Schema(Vec<SchemaEdit>),
    /// The schema as it was when the log was cut short.
    Snapshot(Box<Schema>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Versioned {
    version: u32,
    entry: Entry,
}

const VERSION: u32 = 1;

/// Why an entry cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} of the metadata log: {reason}")]
pub struct ReplayError {
    index: usize,
    reason: String,
}

/// The bytes of an entry.
pub fn encode(entry: Entry) -> Vec<u8> {
    serde_json::to_vec(&Versioned {
        version: VERSION,
        entry,
    })
    .expect("entries have string keys only")
}

/// What all entries come to.
pub fn replay<'a>(
    entries: impl Iterator<Item = &'a [u8]>,
) -> Result<(Schema, Option<Identity>), ReplayError> {
    let mut schema = Schema::default();
    let mut identity = None;
    for (index, bytes) in entries.enumerate() {
        let fail = |reason: String| ReplayError { index, reason };
        let Versioned { version, entry } =
            serde_json::from_slice(bytes).map_err(|error| fail(error.to_string()))?;
        if version > VERSION {
            return Err(fail(format!(
                "is of version {version}, newer than this one knows"
            )));
        }
        match entry {
            Entry::Identity(own) => identity = Some(own),
            Entry::Schema(edits) => schema = schema.apply_all(&edits),
            Entry::Snapshot(whole) => schema = *whole,
        }
    }
    Ok((schema, identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;

    #[test]
    fn an_identity_survives_the_log() {
        let identity = Identity::new(16, &mut SplitMix::new(7));
        assert_eq!(identity.tokens.len(), 16);
        assert!(identity.tokens.windows(2).all(|pair| pair[0] < pair[1]));
        let bytes = encode(Entry::Identity(identity.clone()));
        assert_eq!(
            replay(std::iter::once(bytes.as_slice())).map(|(_, own)| own),
            Ok(Some(identity))
        );
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused() {
        let text = br#"{"version":2,"entry":{"Schema":[]}}"#;
        assert!(replay(std::iter::once(&text[..])).is_err());
    }
}
