//! Roles, as the metadata log keeps them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who may log in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Role {
    /// Name.
    pub name: String,
    /// Whether everything is permitted.
    pub superuser: bool,
    /// Whether the role may log in.
    pub login: bool,
    /// bcrypt hash of the password, if one is set.
    pub salted_hash: Option<String>,
    /// Roles granted to it.
    pub member_of: BTreeSet<String>,
    /// The data centres it may log in to; `None` for all.
    pub datacenters: Option<BTreeSet<String>>,
}
