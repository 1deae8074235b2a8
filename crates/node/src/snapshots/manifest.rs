//! `manifest.json` of a snapshot, with Cassandra's fields: which files it has, when it was taken, when it is to go.

use cql::functions::text;
use cql::plan::temporal::parse_timestamp;
use serde_json::{Value, json};

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Names of the files the shards linked.
    pub files: Vec<String>,
    /// When it was taken, in milliseconds.
    pub created_millis: i64,
    /// When it is to go, in milliseconds.
    pub expires_millis: Option<i64>,
}

impl Manifest {
    pub(super) fn encode(&self) -> String {
        let moment = |millis| text::timestamp(millis, 'T');
        let manifest = json!({
            "files": self.files,
            "created_at": moment(self.created_millis),
            "expires_at": self.expires_millis.map(moment),
            "ephemeral": false,
        });
        format!("{manifest:#}\n")
    }

    /// Reads what [`Self::encode`] wrote; `None` if it is no such thing.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let manifest: Value = serde_json::from_slice(bytes).ok()?;
        let moment = |name: &str| parse_timestamp(manifest.get(name)?.as_str()?).ok();
        let files = manifest.get("files")?.as_array()?.iter();
        Some(Self {
            files: files
                .map(|file| file.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
            created_millis: moment("created_at")?,
            expires_millis: moment("expires_at"),
        })
    }
}
