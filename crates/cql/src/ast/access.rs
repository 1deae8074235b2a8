//! Roles, identities and permissions.

use super::{QualifiedName, Type};

/// `CREATE ROLE …` or `CREATE USER …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRole {
    /// Its name.
    pub name: String,
    /// Nothing happens if it exists.
    pub if_not_exists: bool,
    /// Its options; USER sets LOGIN to true and always says SUPERUSER.
    pub options: RoleOptions,
}

/// `ALTER ROLE …` or `ALTER USER …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterRole {
    /// Its name.
    pub name: String,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
    /// The options that change.
    pub options: RoleOptions,
}

/// `DROP ROLE …` or `DROP USER …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropRole {
    /// Its name.
    pub name: String,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
}

/// The options of a role that were written; password and hashed password never both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleOptions {
    /// `PASSWORD`
    pub password: Option<String>,
    /// `HASHED PASSWORD`
    pub hashed_password: Option<String>,
    /// `SUPERUSER`
    pub superuser: Option<bool>,
    /// `LOGIN`
    pub login: Option<bool>,
    /// `OPTIONS`
    pub custom: Option<Vec<(String, String)>>,
    /// `ACCESS TO DATACENTERS`
    pub datacenters: Option<AccessSet>,
    /// `ACCESS FROM CIDRS`
    pub cidr_groups: Option<AccessSet>,
}

/// All, or the named ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessSet {
    /// `ALL`
    All,
    /// `{'a', 'b'}`
    Named(Vec<String>),
}

/// `LIST ROLES …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRoles {
    /// `OF role`
    pub of: Option<String>,
    /// Whether roles of roles count; `NORECURSIVE` says no.
    pub recursive: bool,
}

/// GRANT or REVOKE of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRole {
    /// What is granted.
    pub role: String,
    /// Who gets it.
    pub grantee: String,
}

/// GRANT or REVOKE of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantPermissions {
    /// The permissions that were written and apply to the resource, at least one.
    pub permissions: Vec<Permission>,
    /// On what.
    pub resource: Resource,
    /// To whom.
    pub grantee: String,
}

/// `LIST permissions …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPermissions {
    /// Which permissions.
    pub permissions: Vec<Permission>,
    /// `ON resource`
    pub resource: Option<Resource>,
    /// `OF role`
    pub of: Option<String>,
    /// Whether wider resources and roles of roles count; `NORECURSIVE` says no.
    pub recursive: bool,
}

/// A permission, in Cassandra's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the CQL word it is named after")]
pub enum Permission {
    Create,
    Alter,
    Drop,
    Select,
    Modify,
    Authorize,
    Describe,
    Execute,
    Unmask,
    SelectMasked,
}

impl Permission {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Alter,
        Self::Drop,
        Self::Select,
        Self::Modify,
        Self::Authorize,
        Self::Describe,
        Self::Execute,
        Self::Unmask,
        Self::SelectMasked,
    ];

    /// Its name as LIST PERMISSIONS prints it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Alter => "ALTER",
            Self::Drop => "DROP",
            Self::Select => "SELECT",
            Self::Modify => "MODIFY",
            Self::Authorize => "AUTHORIZE",
            Self::Describe => "DESCRIBE",
            Self::Execute => "EXECUTE",
            Self::Unmask => "UNMASK",
            Self::SelectMasked => "SELECT_MASKED",
        }
    }
}

/// What a permission is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// `ALL KEYSPACES`
    AllKeyspaces,
    /// `KEYSPACE name`
    Keyspace(String),
    /// `ALL TABLES IN KEYSPACE name`
    AllTables(String),
    /// `[TABLE] name`
    Table(QualifiedName),
    /// `ALL ROLES`
    AllRoles,
    /// `ROLE name`
    Role(String),
    /// `ALL FUNCTIONS`
    AllFunctions,
    /// `ALL FUNCTIONS IN KEYSPACE name`
    FunctionsIn(String),
    /// `FUNCTION name(types)`
    Function {
        /// Its name.
        name: QualifiedName,
        /// The types of its arguments.
        arguments: Vec<Type>,
    },
    /// `ALL MBEANS`
    AllMbeans,
    /// `MBEAN 'name'` or `MBEANS 'pattern'`
    Mbean(String),
}

impl Resource {
    /// The kind of the resource as Cassandra names it in messages, and the permissions that it knows.
    pub fn applicable(&self) -> (&'static str, &'static [Permission]) {
        use Permission::*;
        match self {
            Self::AllKeyspaces | Self::Keyspace(_) | Self::AllTables(_) => (
                "DataResource",
                &[
                    Create,
                    Alter,
                    Drop,
                    Select,
                    Modify,
                    Authorize,
                    Unmask,
                    SelectMasked,
                ],
            ),
            Self::Table(_) => (
                "DataResource",
                &[Alter, Drop, Select, Modify, Authorize, Unmask, SelectMasked],
            ),
            Self::AllRoles => ("RoleResource", &[Create, Alter, Drop, Authorize, Describe]),
            Self::Role(_) => ("RoleResource", &[Alter, Drop, Authorize, Describe]),
            Self::AllFunctions | Self::FunctionsIn(_) => (
                "FunctionResource",
                &[Create, Alter, Drop, Authorize, Execute],
            ),
            Self::Function { .. } => ("FunctionResource", &[Alter, Drop, Authorize, Execute]),
            Self::AllMbeans | Self::Mbean(_) => (
                "JMXResource",
                &[Authorize, Describe, Execute, Modify, Select],
            ),
        }
    }
}

/// `ADD IDENTITY …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddIdentity {
    /// The identity of a client certificate.
    pub identity: String,
    /// The role it logs in as.
    pub role: String,
    /// Nothing happens if it exists.
    pub if_not_exists: bool,
}

/// `DROP IDENTITY …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIdentity {
    /// The identity of a client certificate.
    pub identity: String,
    /// Nothing happens if it does not exist.
    pub if_exists: bool,
}
