//! Roles, users and identities.

use super::cursor::Parser;
use super::error::SyntaxError;
use crate::ast::{
    AccessSet, AddIdentity, AlterRole, CreateRole, DropIdentity, DropRole, ListRoles, RoleOptions,
    Statement,
};
use crate::lexer::{Keyword as K, Kind};

/// Keeps the value of an option that may be written once.
fn set_once<T>(option: &mut Option<T>, name: &str, value: T) -> Result<(), SyntaxError> {
    if option.is_some() {
        return Err(SyntaxError::new(format!(
            "Multiple definition for property '{name}'"
        )));
    }
    *option = Some(value);
    Ok(())
}

impl Parser<'_> {
    pub fn create_role(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let name = self.role_name()?;
        let options = self.role_options()?;
        Ok(Statement::CreateRole(CreateRole {
            name,
            if_not_exists,
            options,
        }))
    }

    pub fn alter_role(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.role_name()?;
        let options = self.role_options()?;
        Ok(Statement::AlterRole(AlterRole {
            name,
            if_exists,
            options,
        }))
    }

    fn role_options(&mut self) -> Result<RoleOptions, SyntaxError> {
        let mut options = RoleOptions::default();
        if self.accept_keyword(K::With) {
            self.role_option(&mut options)?;
            while self.accept_keyword(K::And) {
                self.role_option(&mut options)?;
            }
        }
        refuse_two_passwords(&options)?;
        Ok(options)
    }

    fn role_option(&mut self, options: &mut RoleOptions) -> Result<(), SyntaxError> {
        let Kind::Keyword(option) = self.kind() else {
            return Err(self.no_alternative());
        };
        match option {
            K::Password => {
                self.advance();
                self.expect(Kind::Equal)?;
                set_once(&mut options.password, "PASSWORD", self.string()?)
            }
            K::Hashed => {
                self.advance();
                self.expect_keyword(K::Password)?;
                self.expect(Kind::Equal)?;
                set_once(
                    &mut options.hashed_password,
                    "HASHED_PASSWORD",
                    self.string()?,
                )
            }
            K::Options => {
                self.advance();
                self.expect(Kind::Equal)?;
                set_once(&mut options.custom, "OPTIONS", self.property_map()?)
            }
            K::Superuser => {
                self.advance();
                self.expect(Kind::Equal)?;
                set_once(&mut options.superuser, "SUPERUSER", self.boolean()?)
            }
            K::Login => {
                self.advance();
                self.expect(Kind::Equal)?;
                set_once(&mut options.login, "LOGIN", self.boolean()?)
            }
            K::Access => self.access_option(options),
            _ => Err(self.no_alternative()),
        }
    }

    /// `ACCESS TO … DATACENTERS …` and `ACCESS FROM … CIDRS …`.
    fn access_option(&mut self, options: &mut RoleOptions) -> Result<(), SyntaxError> {
        self.advance();
        let (keyword, granted) = match self.kind() {
            Kind::Keyword(K::To) => (K::Datacenters, &mut options.datacenters),
            Kind::Keyword(K::From) => (K::Cidrs, &mut options.cidr_groups),
            _ => return Err(self.no_alternative()),
        };
        self.advance();
        if self.accept_keyword(K::All) {
            self.expect_keyword(keyword)?;
            *granted = Some(AccessSet::All);
            return Ok(());
        }
        self.expect_keyword(keyword)?;
        self.expect(Kind::LeftBrace)?;
        let names = self.separated(Kind::Comma, Self::string)?;
        self.expect(Kind::RightBrace)?;
        *granted = Some(AccessSet::Named(names));
        Ok(())
    }

    fn boolean(&mut self) -> Result<bool, SyntaxError> {
        if self.kind() != Kind::Boolean {
            return Err(self.expected(Kind::Boolean));
        }
        let value = self.slice().eq_ignore_ascii_case("true");
        self.advance();
        Ok(value)
    }

    pub fn create_user(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_not_exists = self.if_not_exists()?;
        let name = self.user_name()?;
        let mut options = self.user_options()?;
        options.login = Some(true);
        options.superuser.get_or_insert(false);
        Ok(Statement::CreateRole(CreateRole {
            name,
            if_not_exists,
            options,
        }))
    }

    pub fn alter_user(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let name = self.user_name()?;
        let options = self.user_options()?;
        Ok(Statement::AlterRole(AlterRole {
            name,
            if_exists,
            options,
        }))
    }

    fn user_options(&mut self) -> Result<RoleOptions, SyntaxError> {
        let mut options = RoleOptions::default();
        if self.accept_keyword(K::With) {
            if self.accept_keyword(K::Hashed) {
                self.expect_keyword(K::Password)?;
                options.hashed_password = Some(self.string()?);
            } else if self.accept_keyword(K::Password) {
                options.password = Some(self.string()?);
            } else {
                return Err(self.no_alternative());
            }
        }
        if self.accept_keyword(K::Superuser) {
            options.superuser = Some(true);
        } else if self.accept_keyword(K::Nosuperuser) {
            options.superuser = Some(false);
        }
        Ok(options)
    }

    /// A user keeps its case, quoted or not; a keyword or a name in double quotes is none.
    fn user_name(&mut self) -> Result<String, SyntaxError> {
        match self.kind() {
            Kind::Ident => {
                let name = self.slice().to_owned();
                self.advance();
                Ok(name)
            }
            Kind::String | Kind::DollarString => self.string(),
            Kind::QuotedName => Err(SyntaxError::new(
                "Quoted strings are are not supported for user names and USER is deprecated, please use ROLE",
            )),
            _ => Err(self.no_alternative()),
        }
    }

    /// An identity, or the role of one: as [`Self::user_name`].
    fn identity(&mut self) -> Result<String, SyntaxError> {
        match self.kind() {
            Kind::QuotedName => Err(SyntaxError::new(
                "Quoted strings are are not supported for identity",
            )),
            _ => self.user_name(),
        }
    }

    pub fn drop_role(&mut self) -> Result<Statement, SyntaxError> {
        let is_user = self.kind() == Kind::Keyword(K::User);
        self.advance();
        let if_exists = self.if_exists()?;
        let name = if is_user {
            self.user_name()?
        } else {
            self.role_name()?
        };
        Ok(Statement::DropRole(DropRole { name, if_exists }))
    }

    /// What follows ADD.
    pub fn add_identity(&mut self) -> Result<Statement, SyntaxError> {
        self.expect_keyword(K::Identity)?;
        let if_not_exists = self.if_not_exists()?;
        let identity = self.identity()?;
        self.expect_keyword(K::To)?;
        self.expect_keyword(K::Role)?;
        let role = self.identity()?;
        Ok(Statement::AddIdentity(AddIdentity {
            identity,
            role,
            if_not_exists,
        }))
    }

    pub fn drop_identity(&mut self) -> Result<Statement, SyntaxError> {
        self.advance();
        let if_exists = self.if_exists()?;
        let identity = self.identity()?;
        Ok(Statement::DropIdentity(DropIdentity {
            identity,
            if_exists,
        }))
    }

    /// What follows LIST.
    pub fn list(&mut self, start: usize) -> Result<Statement, SyntaxError> {
        match self.kind() {
            Kind::Keyword(K::Users) => {
                self.advance();
                Ok(Statement::ListUsers)
            }
            Kind::Keyword(K::Roles) => {
                self.advance();
                let of = if self.accept_keyword(K::Of) {
                    Some(self.role_name()?)
                } else {
                    None
                };
                let recursive = !self.accept_keyword(K::Norecursive);
                Ok(Statement::ListRoles(ListRoles { of, recursive }))
            }
            _ => self.list_permissions(start),
        }
    }
}

fn refuse_two_passwords(options: &RoleOptions) -> Result<(), SyntaxError> {
    if options.password.is_some() && options.hashed_password.is_some() {
        return Err(SyntaxError::new(
            "Options 'password' and 'hashed password' are mutually exclusive",
        ));
    }
    Ok(())
}
