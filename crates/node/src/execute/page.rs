//! The paging state: where a page ended, as an opaque value the client hands back.
//!
//! ```text
//! state := version:u8=1 check:u32be key:bytes has clustering:u8 [clustering:bytes] left in partition:varint left:varint
//! ```
//! The check is over everything after it, so that a value that is not ours is told from one that is. It is no secret
//! and no signature: it names rows the client could name itself.

use model::key::DecoratedKey;
use model::murmur;
use model::read::Resume;
use model::varint;

const VERSION: u8 = 1;

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagingState {
    /// The last row.
    pub resume: Resume,
    /// Rows that LIMIT still allows.
    pub left: u64,
}

impl PagingState {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        varint::put_bytes(&mut body, &self.resume.key.key);
        body.push(u8::from(self.resume.clustering.is_some()));
        if let Some(clustering) = &self.resume.clustering {
            varint::put_bytes(&mut body, clustering);
        }
        varint::put(&mut body, self.resume.left_in_partition);
        varint::put(&mut body, self.left);
        let mut out = vec![VERSION];
        out.extend_from_slice(&(murmur::hash(&body) as u32).to_be_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut body = bytes.strip_prefix(&[VERSION])?;
        let check = varint::take(&mut body, 4)?;
        if (murmur::hash(body) as u32).to_be_bytes() != check {
            return None;
        }
        let key = DecoratedKey::new(varint::get_bytes(&mut body)?);
        let clustering = match varint::take(&mut body, 1)? {
            [0] => None,
            _ => Some(varint::get_bytes(&mut body)?.to_vec()),
        };
        let left_in_partition = varint::get(&mut body)?;
        let left = varint::get(&mut body)?;
        Some(Self {
            resume: Resume {
                key,
                clustering,
                left_in_partition,
                gave_rows: true,
            },
            left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was_and_nothing_else_does() {
        let resume = Resume {
            key: DecoratedKey::new(*b"key"),
            clustering: Some(vec![1, 2]),
            left_in_partition: u64::MAX,
            gave_rows: true,
        };
        let state = PagingState { resume, left: 7 };
        let bytes = state.encode();
        assert_eq!(PagingState::decode(&bytes), Some(state));
        for index in 0..bytes.len() {
            let mut other = bytes.clone();
            other[index] ^= 1;
            assert_eq!(PagingState::decode(&other), None);
            assert_eq!(PagingState::decode(&bytes[..index]), None);
        }
    }
}
