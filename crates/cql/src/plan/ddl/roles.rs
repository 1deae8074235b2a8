//! Statements about roles: CREATE, ALTER and DROP ROLE and USER, GRANT and REVOKE, LIST.
//!
//! A role is part of the schema, so a change of one is a [`SchemaEdit`]; clients hear no event of it. A password is hashed
//! by whoever carries the plan out, on a thread that may take its time: the plan names the work.
//!
//! As in Cassandra, what the user may do is checked first, then the options, then whether anybody is logged in at all,
//! and only then what exists, so that nobody learns of roles by asking.

mod list;
mod permission;

use crate::ast::{AccessSet, AlterRole, CreateRole, DropRole, GrantRole, RoleOptions, Statement};
use model::error::RequestError;
use model::schema::{Role, Schema, SchemaEdit};
use model::staleness;
use model::types::CqlType;
use std::sync::Arc;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User<'a> {
    /// Nobody logged in: the authenticator lets everyone in.
    Anonymous,
    /// The role that logged in.
    Role(&'a str),
}

/// Whether an authorizer decides what a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    /// `AllowAllAuthorizer`: only superuser status is guarded.
    None,
    /// Superusers may do everything, others only what was granted; and nothing can be granted yet.
    Required,
}

/// What a statement about roles is planned with, beside the schema and the [`super::DdlContext`].
#[derive(Debug, Clone, Copy)]
pub struct RoleContext<'a> {
    /// Who asks.
    pub user: User<'a>,
    /// Whether roles log in with passwords (`PasswordAuthenticator`).
    pub passwords: bool,
    /// Whether permissions are looked at.
    pub authorization: Authorization,
}

/// What a statement about roles comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolePlan {
    /// Nothing changes; the answer is a void result.
    Nothing,
    /// The metadata log stores these; the answer is a void result.
    Change(Vec<SchemaEdit>),
    /// The password is hashed with bcrypt first, on a worker thread, and [`PasswordChange::edits`] stored then.
    HashPassword(PasswordChange),
    /// The answer.
    Rows(Listing),
}

/// A role that gets a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordChange {
    role: Role,
    /// What to hash.
    pub password: String,
}

impl PasswordChange {
    /// What the metadata log stores, once the password is hashed.
    pub fn edits(mut self, salted_hash: String) -> Vec<SchemaEdit> {
        self.role.salted_hash = Some(salted_hash);
        vec![SchemaEdit::PutRole(Arc::new(self.role))]
    }
}

/// Without the password, which belongs in no log.
impl std::fmt::Debug for PasswordChange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PasswordChange")
            .field("role", &self.role.name)
            .finish_non_exhaustive()
    }
}

/// Rows of an answer, with values as the protocol carries them. The keyspace is `system_auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The table the columns are said to be of.
    pub table: &'static str,
    /// Names and types of the columns.
    pub columns: Vec<(&'static str, CqlType)>,
    /// The rows, a value a column.
    pub rows: Vec<Vec<Vec<u8>>>,
}

/// Plans a statement about roles or permissions; `None` if the statement is of another kind.
pub fn plan_role(
    statement: &Statement,
    schema: &Schema,
    context: &super::DdlContext<'_>,
    roles: &RoleContext<'_>,
) -> Option<Result<RolePlan, RequestError>> {
    let planner = RolePlanner {
        schema,
        context,
        roles,
    };
    Some(match statement {
        Statement::CreateRole(create) => planner.create(create),
        Statement::AlterRole(alter) => planner.alter(alter),
        Statement::DropRole(drop) => planner.drop(drop),
        Statement::GrantRole(grant) => planner.grant(grant),
        Statement::RevokeRole(revoke) => planner.revoke(revoke),
        Statement::ListRoles(list) => planner.list_roles(list),
        Statement::ListUsers => planner.list_users(),
        Statement::GrantPermissions(grant) => planner.permissions(grant, "GRANT"),
        Statement::RevokePermissions(revoke) => planner.permissions(revoke, "REVOKE"),
        Statement::ListPermissions(list) => planner.list_permissions(list),
        Statement::AddIdentity(add) => planner.add_identity(add),
        Statement::DropIdentity(drop) => planner.drop_identity(drop),
        _ => return None,
    })
}

const ROLE_MANAGER: &str = "org.apache.cassandra.auth.CassandraRoleManager";

fn invalid<T>(message: String) -> Result<T, RequestError> {
    Err(RequestError::Invalid(message))
}

fn unauthorized<T>(message: &str) -> Result<T, RequestError> {
    Err(RequestError::Unauthorized(message.to_owned()))
}

struct RolePlanner<'a> {
    schema: &'a Schema,
    context: &'a super::DdlContext<'a>,
    roles: &'a RoleContext<'a>,
}

impl RolePlanner<'_> {
    fn create(&self, create: &CreateRole) -> Result<RolePlan, RequestError> {
        self.check_privilege()?;
        if create.options.superuser == Some(true) && !self.is_superuser() {
            return unauthorized("Only superusers can create a role with superuser status");
        }
        self.check_options(&create.options)?;
        self.user()?;
        if create.name.is_empty() {
            return invalid("Role name can't be an empty string".to_owned());
        }
        if self.schema.roles.contains_key(&create.name) {
            return if create.if_not_exists {
                Ok(RolePlan::Nothing)
            } else {
                invalid(format!("{} already exists", create.name))
            };
        }
        let role = Role {
            name: create.name.clone(),
            ..Role::default()
        };
        Ok(put(role, &create.options))
    }

    fn alter(&self, alter: &AlterRole) -> Result<RolePlan, RequestError> {
        self.check_alteration(alter)?;
        let options = &alter.options;
        self.check_options(options)?;
        if *options == RoleOptions::default() {
            return invalid("ALTER [ROLE|USER] can't be empty".into());
        }
        self.user()?;
        let Some(role) = self.schema.roles.get(&alter.name) else {
            return if alter.if_exists {
                Ok(RolePlan::Nothing)
            } else {
                invalid(format!("Role {} doesn't exist", alter.name))
            };
        };
        if options.datacenters.is_some() {
            return invalid(
                "ACCESS TO DATACENTERS operations not supported by AllowAllNetworkAuthorizer"
                    .into(),
            );
        }
        Ok(put(Role::clone(role), options))
    }

    /// Whether the user may make the change at all. Superusers may nearly everything, others may change their password.
    fn check_alteration(&self, alter: &AlterRole) -> Result<(), RequestError> {
        let options = &alter.options;
        let own = match self.roles.user {
            User::Role(user) => self.schema.roles_of(user).contains(alter.name.as_str()),
            User::Anonymous => false,
        };
        if options.superuser.is_some() && own {
            return unauthorized(
                "You aren't allowed to alter your own superuser status or that of a role granted to you",
            );
        }
        if self.is_superuser() {
            return Ok(());
        }
        if options.superuser.is_some() {
            return unauthorized("Only superusers are allowed to alter superuser status");
        }
        if options.datacenters.is_some() {
            return unauthorized("Only superusers are allowed to alter access to datacenters.");
        }
        if options.cidr_groups.is_some() {
            return unauthorized("Only superusers are allowed to alter access from CIDR groups.");
        }
        if self.roles.user != User::Role(&alter.name) {
            return self.check_privilege();
        }
        if options.login.is_some() {
            return unauthorized("You aren't allowed to alter LOGIN");
        }
        if options.custom.is_some() {
            return unauthorized("You aren't allowed to alter OPTIONS");
        }
        Ok(())
    }

    fn drop(&self, drop: &DropRole) -> Result<RolePlan, RequestError> {
        self.check_privilege()?;
        if self.schema.is_superuser(&drop.name)
            && self.roles.user != User::Anonymous
            && !self.is_superuser()
        {
            return unauthorized("Only superusers can drop a role with superuser status");
        }
        let user = self.user()?;
        if !self.schema.roles.contains_key(&drop.name) {
            return if drop.if_exists {
                Ok(RolePlan::Nothing)
            } else {
                invalid(format!("{} doesn't exist", drop.name))
            };
        }
        if user == drop.name {
            return invalid("Cannot DROP primary role for current login".into());
        }
        let edit = SchemaEdit::DropRole {
            name: drop.name.clone(),
        };
        Ok(RolePlan::Change(vec![edit]))
    }

    fn grant(&self, grant: &GrantRole) -> Result<RolePlan, RequestError> {
        self.check_privilege()?;
        self.user()?;
        let grantee = self.grantee(grant)?;
        let member_of = |member: &str, role: &str| self.schema.roles_of(member).contains(role);
        if member_of(&grant.grantee, &grant.role) {
            return invalid(format!("{} is a member of {}", grant.grantee, grant.role));
        }
        if member_of(&grant.role, &grant.grantee) {
            return invalid(format!("{} is a member of {}", grant.role, grant.grantee));
        }
        let mut grantee = grantee.clone();
        grantee.member_of.insert(grant.role.clone());
        Ok(RolePlan::Change(vec![SchemaEdit::PutRole(Arc::new(
            grantee,
        ))]))
    }

    fn revoke(&self, revoke: &GrantRole) -> Result<RolePlan, RequestError> {
        self.check_privilege()?;
        self.user()?;
        let mut grantee = self.grantee(revoke)?.clone();
        if !grantee.member_of.remove(&revoke.role) {
            return invalid(format!(
                "{} is not a member of {}",
                revoke.grantee, revoke.role
            ));
        }
        Ok(RolePlan::Change(vec![SchemaEdit::PutRole(Arc::new(
            grantee,
        ))]))
    }

    /// The role that gets or loses another, when both exist.
    fn grantee(&self, grant: &GrantRole) -> Result<&Role, RequestError> {
        if !self.schema.roles.contains_key(&grant.role) {
            return invalid(format!("{} doesn't exist", grant.role));
        }
        match self.schema.roles.get(&grant.grantee) {
            Some(role) => Ok(role),
            None => invalid(format!("{} doesn't exist", grant.grantee)),
        }
    }

    fn is_superuser(&self) -> bool {
        match self.roles.user {
            User::Anonymous => false,
            User::Role(user) => self.schema.is_superuser(user),
        }
    }

    /// The name of who is logged in.
    fn user(&self) -> Result<&str, RequestError> {
        match self.roles.user {
            User::Role(user) => Ok(user),
            User::Anonymous => {
                unauthorized("You have to be logged in and not anonymous to perform this request")
            }
        }
    }

    /// Whether the user may create, alter, drop and grant roles of others.
    fn check_privilege(&self) -> Result<(), RequestError> {
        match self.roles.user {
            User::Role(user)
                if self.roles.authorization == Authorization::Required && !self.is_superuser() =>
            {
                unauthorized(&format!(
                    "User {user} does not have sufficient privileges to perform the requested operation"
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_options(&self, options: &RoleOptions) -> Result<(), RequestError> {
        let no_passwords = !self.roles.passwords;
        let unknown = [
            (options.password.is_some() && no_passwords, "PASSWORD"),
            (
                options.custom.is_some() && own_options(options).is_none(),
                "OPTIONS",
            ),
            (
                options.hashed_password.is_some() && no_passwords,
                "HASHED_PASSWORD",
            ),
        ];
        if let Some((_, option)) = unknown.iter().find(|(written, _)| *written) {
            return invalid(format!("{ROLE_MANAGER} doesn't support {option}"));
        }
        if options
            .hashed_password
            .as_deref()
            .is_some_and(|hash| !is_bcrypt(hash))
        {
            return invalid("Invalid hashed password value. Please use jBcrypt.".into());
        }
        if let Some(AccessSet::Named(names)) = &options.datacenters
            && !names
                .iter()
                .all(|name| self.context.datacenters.contains_key(name))
        {
            return invalid(format!(
                "Invalid value(s) for DATACENTERS '[{}]',All values must be valid datacenters",
                names.join(", ")
            ));
        }
        match &options.cidr_groups {
            Some(AccessSet::Named(names)) if !names.is_empty() => invalid(format!(
                "Invalid CIDR group(s): [{}]. Available CIDR Groups are: []",
                names.join(", ")
            )),
            _ => Ok(()),
        }
    }
}

/// The bound of staleness that `OPTIONS = {'max_staleness': …}` sets, or takes away by `off`; `None` if the options are anything
/// else. Cassandra's role manager knows none.
fn own_options(options: &RoleOptions) -> Option<Option<u64>> {
    match options.custom.as_deref()? {
        [(name, value)] if name == "max_staleness" => match value.as_str() {
            "off" => Some(None),
            bound => staleness::parse(bound).map(Some),
        },
        _ => None,
    }
}

/// The plan that gives `role` the options.
fn put(mut role: Role, options: &RoleOptions) -> RolePlan {
    role.superuser = options.superuser.unwrap_or(role.superuser);
    role.login = options.login.unwrap_or(role.login);
    role.max_staleness_ms = own_options(options).unwrap_or(role.max_staleness_ms);
    if let Some(hash) = &options.hashed_password {
        role.salted_hash = Some(hash.clone());
    }
    match &options.password {
        Some(password) => RolePlan::HashPassword(PasswordChange {
            role,
            password: password.clone(),
        }),
        None => RolePlan::Change(vec![SchemaEdit::PutRole(Arc::new(role))]),
    }
}

/// Whether it looks like what jBCrypt writes: `$2a$`, two digits of cost, `$`, 22 characters of salt, 31 of hash.
fn is_bcrypt(hash: &str) -> bool {
    let Some((cost, salted)) = hash
        .strip_prefix("$2a$")
        .and_then(|rest| rest.split_once('$'))
    else {
        return false;
    };
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    cost.len() == 2
        && cost
            .parse::<u8>()
            .is_ok_and(|cost| (4..=30).contains(&cost))
        && salted.len() == 53
        && salted.bytes().all(in_alphabet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_one_option() {
        let options = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let custom = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            own_options(&RoleOptions {
                custom: Some(custom.collect()),
                ..RoleOptions::default()
            })
        };
        assert_eq!(options(&[("max_staleness", "5s")]), Some(Some(5_000)));
        assert_eq!(options(&[("max_staleness", "off")]), Some(None));
        assert_eq!(options(&[("max_staleness", "soon")]), None);
        assert_eq!(options(&[("max_staleness", "5s"), ("a", "b")]), None);
        assert_eq!(options(&[]), None);
        assert_eq!(own_options(&RoleOptions::default()), None);
    }
}
