//! LIST ROLES and LIST USERS.

use super::{Authorization, Listing, RolePlan, RolePlanner, invalid, unauthorized};
use crate::ast::ListRoles;
use model::error::RequestError;
use model::schema::Role;
use model::staleness;
use model::types::CqlType;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The options of a role's own, as a map of texts.
fn options(role: &Role) -> Vec<u8> {
    let bound = role.max_staleness_ms.map(staleness::show);
    let mut map = i32::from(bound.is_some()).to_be_bytes().to_vec();
    for text in bound.iter().flat_map(|bound| ["max_staleness", bound]) {
        map.extend_from_slice(&(text.len() as i32).to_be_bytes());
        map.extend_from_slice(text.as_bytes());
    }
    map
}

impl RolePlanner<'_> {
    pub(super) fn list_roles(&self, list: &ListRoles) -> Result<RolePlan, RequestError> {
        let user = self.user()?;
        if let Some(of) = &list.of
            && !self.schema.roles.contains_key(of)
        {
            return invalid(format!("<role {of}> doesn't exist"));
        }
        let shown: BTreeSet<&str> = match &list.of {
            None if self.sees_all() => self.schema.roles.keys().map(String::as_str).collect(),
            None => self.schema.roles_of(user),
            Some(of) if self.sees_all() || self.schema.roles_of(user).contains(of.as_str()) => {
                self.granted(of, list.recursive)
            }
            Some(of) => {
                return unauthorized(&format!(
                    "You are not authorized to view roles granted to {of} "
                ));
            }
        };
        let row = |role: &Role| {
            vec![
                role.name.clone().into_bytes(),
                vec![u8::from(self.schema.is_superuser(&role.name))],
                vec![u8::from(role.login)],
                options(role),
                // There is nothing to set access to data centres with.
                b"ALL".to_vec(),
            ]
        };
        let text = || Arc::new(CqlType::Text);
        let columns = vec![
            ("role", CqlType::Text),
            ("super", CqlType::Boolean),
            ("login", CqlType::Boolean),
            (
                "options",
                CqlType::Map(text(), text(), model::types::Frozen::No),
            ),
            ("datacenters", CqlType::Text),
        ];
        let roles = shown.iter().filter_map(|name| self.schema.roles.get(*name));
        Ok(RolePlan::Rows(Listing {
            table: "roles",
            columns,
            rows: roles.map(|role| row(role)).collect(),
        }))
    }

    pub(super) fn list_users(&self) -> Result<RolePlan, RequestError> {
        let user = self.user()?;
        let visible = self.schema.roles_of(user);
        let seen = |role: &&Arc<Role>| self.sees_all() || visible.contains(role.name.as_str());
        let row = |role: &Arc<Role>| {
            vec![
                role.name.clone().into_bytes(),
                vec![u8::from(self.schema.is_superuser(&role.name))],
                b"ALL".to_vec(),
            ]
        };
        let users = self.schema.roles.values().filter(|role| role.login);
        Ok(RolePlan::Rows(Listing {
            table: "users",
            columns: vec![
                ("name", CqlType::Text),
                ("super", CqlType::Boolean),
                ("datacenters", CqlType::Text),
            ],
            rows: users.filter(seen).map(row).collect(),
        }))
    }

    fn granted<'r>(&'r self, of: &'r str, recursive: bool) -> BTreeSet<&'r str> {
        if recursive {
            return self.schema.roles_of(of);
        }
        let direct = self
            .schema
            .roles
            .get(of)
            .into_iter()
            .flat_map(|role| &role.member_of);
        direct.map(String::as_str).chain([of]).collect()
    }

    /// Whether the user may see roles that are not its own.
    fn sees_all(&self) -> bool {
        self.roles.authorization == Authorization::None || self.is_superuser()
    }
}
