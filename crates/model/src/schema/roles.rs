//! Roles, as the metadata log keeps them.

use super::Schema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

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
    /// How old an answer to a read of one replica may be, in milliseconds, where a request says nothing of it.
    pub max_staleness_ms: Option<u64>,
}

impl Schema {
    /// The roles a role has: itself, those granted to it, and those granted to these. Empty if there is no such role.
    pub fn roles_of(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Role> = self.roles.get(name).map(Arc::as_ref).into_iter().collect();
        while let Some(role) = open.pop() {
            if found.insert(role.name.as_str()) {
                let granted = role
                    .member_of
                    .iter()
                    .filter_map(|name| self.roles.get(name));
                open.extend(granted.map(Arc::as_ref));
            }
        }
        found
    }

    /// Whether everything is permitted to a role, by itself or by a role it has.
    pub fn is_superuser(&self, name: &str) -> bool {
        self.roles_of(name)
            .into_iter()
            .filter_map(|role| self.roles.get(role))
            .any(|role| role.superuser)
    }
}
