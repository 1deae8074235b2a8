//! Who may be an operator where the admin API listens off loopback: superusers, by their passwords, which a thread of
//! its own checks.

use super::{AdminAnswer, AdminError};
use crate::auth;
use crate::effects::{Effects, SlowWork};
use crate::execute::work::AfterWork;
use crate::shard::Shard;
use model::time::Now;
use std::fmt;

/// A password, which belongs in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How long a password may wait to be checked, in milliseconds.
const LOGIN_MS: u64 = 10_000;

impl Shard {
    pub(super) fn check_operator(
        &mut self,
        id: u64,
        user: &str,
        password: &Password,
        now: Now,
        out: &mut Effects,
    ) {
        let attempt = auth::attempt_of(user.to_owned(), password.0.clone(), &self.schema);
        let work = SlowWork::VerifyPassword {
            password: attempt.password,
            hash: attempt.hash,
        };
        let user = attempt.user;
        let then = AfterWork::LogInOperator { id, user };
        let deadline = now.boot.plus_millis(LOGIN_MS);
        self.order_work(work, then, deadline, out);
    }

    /// The password is checked.
    pub(in crate::execute) fn operator_checked(
        &mut self,
        id: u64,
        user: &str,
        password_fits: bool,
        out: &mut Effects,
    ) {
        let is_superuser = || {
            self.schema
                .roles
                .get(user)
                .is_some_and(|role| role.superuser)
        };
        let result = match auth::finish(user, password_fits, &self.schema) {
            Err(error) => Err(AdminError::NotAllowed(error.to_string())),
            Ok(()) if is_superuser() => Ok(AdminAnswer::Done),
            Ok(()) => Err(AdminError::NotAllowed(format!("{user} is not a superuser"))),
        };
        out.admin.push((id, result));
    }
}
