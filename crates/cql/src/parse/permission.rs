//! GRANT, REVOKE and LIST of permissions and roles.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{GrantPermissions, GrantRole, ListPermissions, Permission, Resource, Statement};
use crate::lexer::{Keyword as K, Kind};

fn permission(kind: Kind) -> Option<Permission> {
    let Kind::Keyword(keyword) = kind else {
        return None;
    };
    Some(match keyword {
        K::Create => Permission::Create,
        K::Alter => Permission::Alter,
        K::Drop => Permission::Drop,
        K::Select => Permission::Select,
        K::Modify => Permission::Modify,
        K::Authorize => Permission::Authorize,
        K::Describe => Permission::Describe,
        K::Execute => Permission::Execute,
        K::Unmask => Permission::Unmask,
        K::SelectMasked => Permission::SelectMasked,
        _ => return None,
    })
}

impl Parser<'_> {
    /// What follows GRANT.
    pub fn grant(&mut self) -> Result<Statement, SyntaxError> {
        if self.at_permissions() {
            return Ok(Statement::GrantPermissions(self.permission_change(K::To)?));
        }
        Ok(Statement::GrantRole(self.role_change(K::To)?))
    }

    /// What follows REVOKE.
    pub fn revoke(&mut self) -> Result<Statement, SyntaxError> {
        if self.at_permissions() {
            return Ok(Statement::RevokePermissions(
                self.permission_change(K::From)?,
            ));
        }
        Ok(Statement::RevokeRole(self.role_change(K::From)?))
    }

    /// Whether permissions follow and not a role whose name is such a word.
    fn at_permissions(&self) -> bool {
        match self.kind() {
            Kind::Keyword(K::All | K::Unmask | K::SelectMasked) => {
                !matches!(self.kind_at(1), Kind::Keyword(K::To | K::From))
            }
            kind => permission(kind).is_some(),
        }
    }

    fn role_change(&mut self, preposition: K) -> Result<GrantRole, SyntaxError> {
        let role = self.role_name()?;
        self.expect_keyword(preposition)?;
        let grantee = self.role_name()?;
        Ok(GrantRole { role, grantee })
    }

    fn permission_change(&mut self, preposition: K) -> Result<GrantPermissions, SyntaxError> {
        let mut permissions = self.permissions()?;
        self.expect_keyword(K::On)?;
        let resource = self.resource()?;
        self.expect_keyword(preposition)?;
        let grantee = self.role_name()?;
        let (kind, applicable) = resource.applicable();
        permissions.retain(|permission| applicable.contains(permission));
        if permissions.is_empty() {
            return Err(SyntaxError::new(format!(
                "Resource type {kind} does not support any of the requested permissions"
            )));
        }
        Ok(GrantPermissions {
            permissions,
            resource,
            grantee,
        })
    }

    /// `ALL [PERMISSIONS]` or `SELECT [PERMISSION], …`, in order and each once.
    fn permissions(&mut self) -> Result<Vec<Permission>, SyntaxError> {
        if self.accept_keyword(K::All) {
            self.accept_keyword(K::Permissions);
            return Ok(Permission::ALL.to_vec());
        }
        let mut permissions = self.separated(Kind::Comma, |parser| {
            let found = permission(parser.kind()).ok_or_else(|| parser.no_alternative())?;
            parser.advance();
            parser.accept_keyword(K::Permission);
            Ok(found)
        })?;
        permissions.sort_unstable();
        permissions.dedup();
        Ok(permissions)
    }

    /// What follows LIST when it is neither ROLES nor USERS.
    pub fn list_permissions(&mut self, start: usize) -> Result<Statement, SyntaxError> {
        if self.kind() != Kind::Keyword(K::All) && permission(self.kind()).is_none() {
            return Err(self.no_alternative_since(start));
        }
        let permissions = self.permissions()?;
        let resource = if self.accept_keyword(K::On) {
            Some(self.resource()?)
        } else {
            None
        };
        let of = if self.accept_keyword(K::Of) {
            Some(self.role_name()?)
        } else {
            None
        };
        let recursive = !self.accept_keyword(K::Norecursive);
        Ok(Statement::ListPermissions(ListPermissions {
            permissions,
            resource,
            of,
            recursive,
        }))
    }

    fn resource(&mut self) -> Result<Resource, SyntaxError> {
        let Kind::Keyword(keyword) = self.kind() else {
            return Ok(Resource::Table(self.table_name()?));
        };
        // These words may also name a table; then a dot, or what follows a resource, comes next.
        let is_table = matches!(
            self.kind_at(1),
            Kind::Dot
                | Kind::End
                | Kind::Semicolon
                | Kind::Keyword(K::To | K::From | K::Of | K::Norecursive)
        );
        match keyword {
            K::Keyspace => {
                self.advance();
                Ok(Resource::Keyspace(self.keyspace_name()?))
            }
            K::Columnfamily => {
                self.advance();
                Ok(Resource::Table(self.table_name()?))
            }
            _ if is_table => Ok(Resource::Table(self.table_name()?)),
            K::All => self.all_of_a_kind(),
            K::Role => {
                self.advance();
                Ok(Resource::Role(self.role_name()?))
            }
            K::Function => {
                self.advance();
                let name = self.function_name()?;
                let arguments = self.argument_types()?;
                Ok(Resource::Function { name, arguments })
            }
            K::Mbean => {
                self.advance();
                Ok(Resource::Mbean(canonical_mbean(
                    &self.string()?,
                    Plural::No,
                )?))
            }
            K::Mbeans => {
                self.advance();
                Ok(Resource::Mbean(canonical_mbean(
                    &self.string()?,
                    Plural::Yes,
                )?))
            }
            _ => Ok(Resource::Table(self.table_name()?)),
        }
    }

    fn all_of_a_kind(&mut self) -> Result<Resource, SyntaxError> {
        self.advance();
        match self.kind() {
            Kind::Keyword(K::Keyspaces) => {
                self.advance();
                Ok(Resource::AllKeyspaces)
            }
            Kind::Keyword(K::Roles) => {
                self.advance();
                Ok(Resource::AllRoles)
            }
            Kind::Keyword(K::Mbeans) => {
                self.advance();
                Ok(Resource::AllMbeans)
            }
            Kind::Keyword(K::Tables) => {
                self.advance();
                self.expect_keyword(K::In)?;
                self.expect_keyword(K::Keyspace)?;
                Ok(Resource::AllTables(self.keyspace_name()?))
            }
            Kind::Keyword(K::Functions) => {
                self.advance();
                if !self.accept_keyword(K::In) {
                    return Ok(Resource::AllFunctions);
                }
                self.expect_keyword(K::Keyspace)?;
                Ok(Resource::FunctionsIn(self.keyspace_name()?))
            }
            _ => Err(self.no_alternative()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plural {
    No,
    Yes,
}

/// A JMX object name (`domain:key=value,…`) with its properties sorted by key.
fn canonical_mbean(name: &str, plural: Plural) -> Result<String, SyntaxError> {
    if name.is_empty() {
        return Err(SyntaxError::new("Empty JMX object name supplied"));
    }
    if name == "*:*" {
        return Err(SyntaxError::new(
            "Please use ALL MBEANS instead of wildcard pattern",
        ));
    }
    let invalid = || SyntaxError::new(format!("{name} is not a valid JMX object name"));
    let (domain, list) = name.split_once(':').ok_or_else(invalid)?;
    let mut properties = Vec::new();
    for property in list.split(',') {
        let is_wildcard = property == "*";
        let is_pair = property
            .split_once('=')
            .is_some_and(|(key, value)| !key.is_empty() && !value.is_empty());
        if !is_wildcard && !is_pair {
            return Err(invalid());
        }
        properties.push(property);
    }
    if plural == Plural::Yes && !name.contains(['*', '?']) {
        return Err(SyntaxError::new(format!(
            "Plural form used, but non-pattern JMX object name specified ({name})"
        )));
    }
    // A bare `*` comes last.
    properties.sort_unstable_by_key(|property| (*property == "*", *property));
    Ok(format!("{domain}:{}", properties.join(",")))
}
