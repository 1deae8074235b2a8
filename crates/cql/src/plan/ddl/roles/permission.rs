//! GRANT, REVOKE and LIST of permissions, and identities of client certificates: what exists is checked, then said that
//! they are not supported.

use super::{Authorization, RolePlan, RolePlanner, User, invalid};
use crate::ast::{AddIdentity, DropIdentity, GrantPermissions, ListPermissions, Resource};
use crate::plan::ddl::{Planner, modifiable};
use model::error::RequestError;

impl RolePlanner<'_> {
    pub(super) fn permissions(
        &self,
        change: &GrantPermissions,
        verb: &str,
    ) -> Result<RolePlan, RequestError> {
        if self.roles.authorization == Authorization::Required
            && let User::Role(user) = self.roles.user
            && !self.is_superuser()
        {
            return Err(RequestError::Unauthorized(format!(
                "User {user} has no AUTHORIZE permission on {} or any of its parents",
                self.resource(&change.resource)?.0
            )));
        }
        self.user()?;
        if !self.schema.roles.contains_key(&change.grantee) {
            return invalid(format!("Role {} doesn't exist", change.grantee));
        }
        let (shown, exists) = self.resource(&change.resource)?;
        if !exists {
            return invalid(format!("Resource {shown} doesn't exist"));
        }
        match self.roles.authorization {
            Authorization::None => invalid(format!(
                "{verb} operation is not supported by AllowAllAuthorizer"
            )),
            Authorization::Required => Err(RequestError::not_supported("Permissions are")),
        }
    }

    pub(super) fn list_permissions(
        &self,
        list: &ListPermissions,
    ) -> Result<RolePlan, RequestError> {
        self.user()?;
        if let Some(resource) = &list.resource {
            let (shown, exists) = self.resource(resource)?;
            if !exists {
                return invalid(format!("{shown} doesn't exist"));
            }
        }
        if let Some(of) = &list.of
            && !self.schema.roles.contains_key(of)
        {
            return invalid(format!("<role {of}> doesn't exist"));
        }
        match self.roles.authorization {
            Authorization::None => {
                invalid("LIST PERMISSIONS operation is not supported by AllowAllAuthorizer".into())
            }
            Authorization::Required => Err(RequestError::not_supported("Permissions are")),
        }
    }

    /// A resource as Cassandra prints it, and whether it exists.
    fn resource(&self, resource: &Resource) -> Result<(String, bool), RequestError> {
        let planner = Planner {
            schema: self.schema,
            context: self.context,
        };
        Ok(match resource {
            Resource::AllKeyspaces => ("<all keyspaces>".into(), true),
            Resource::Keyspace(name) => (
                format!("<keyspace {name}>"),
                planner.keyspace(name).is_some(),
            ),
            Resource::AllTables(keyspace) => (
                format!("<all tables in {keyspace}>"),
                planner.keyspace(keyspace).is_some(),
            ),
            Resource::Table(name) => {
                let keyspace = planner.keyspace_of(name)?;
                let exists = planner.table(keyspace, &name.name).is_some();
                (format!("<table {keyspace}.{}>", name.name), exists)
            }
            Resource::AllRoles => ("<all roles>".into(), true),
            Resource::Role(name) => (
                format!("<role {name}>"),
                self.schema.roles.contains_key(name),
            ),
            Resource::AllFunctions => ("<all functions>".into(), true),
            Resource::FunctionsIn(keyspace) => (
                format!("<all functions in {keyspace}>"),
                planner.keyspace(keyspace).is_some(),
            ),
            Resource::Function { name, .. } => {
                let keyspace = planner.keyspace_of(name)?;
                if modifiable::is_system(keyspace) {
                    return invalid(
                        "Altering permissions on builtin functions is not supported".into(),
                    );
                }
                (format!("<function {keyspace}.{}>", name.name), false)
            }
            Resource::AllMbeans => ("<all mbeans>".into(), true),
            Resource::Mbean(name) => (format!("<mbean {name}>"), true),
        })
    }

    pub(super) fn add_identity(&self, add: &AddIdentity) -> Result<RolePlan, RequestError> {
        self.check_privilege()?;
        self.user()?;
        if !self.schema.roles.contains_key(&add.role) {
            return invalid(format!(
                "Can not add identity for non-existent role '{}'",
                add.role
            ));
        }
        Err(RequestError::not_supported(
            "Identities of client certificates are",
        ))
    }

    pub(super) fn drop_identity(&self, drop: &DropIdentity) -> Result<RolePlan, RequestError> {
        self.check_privilege()?;
        self.user()?;
        if drop.if_exists {
            return Ok(RolePlan::Nothing);
        }
        invalid(format!("identity '{}' doesn't exist", drop.identity))
    }
}
