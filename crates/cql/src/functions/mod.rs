//! The native functions of Cassandra 5.0 as pure functions over the bytes of values.
//!
//! A function is found by name and by what is known of its arguments ([`resolve`]); what comes back is a [`Scalar`] or
//! an [`Aggregate`], whose argument and result types are concrete. Calling one takes and gives values in the protocol's
//! bytes, `None` for null. Nothing here knows tables, rows or where an argument came from: a planner describes
//! arguments as [`Argument`]s and evaluates them itself.
//!
//! - `argument`: what is known of an argument, and which types it could be given to;
//! - `resolve`: the overload rules, in Cassandra's words when they fail;
//! - `native`: the functions with fixed types; `factory`: those whose types follow from their arguments;
//! - `arithmetic`, `cast`, `math`, `time`, `bytes`, `collection`, `vector`, `mask`: what the functions do;
//! - `aggregate`: `count`, `min`, `max`, `sum`, `avg`;
//! - `number`, `decimal`, `text`, `calendar`: numbers, their promotion and their texts as Java makes them.
//!
//! What must stay true: only `now`, `uuid` and the `current_…` functions are not deterministic, and those take time and
//! entropy from the [`CallContext`] alone, so that a simulated run repeats.

mod aggregate;
mod argument;
mod arithmetic;
mod bytes;
pub mod calendar;
mod cast;
mod collection;
mod context;
mod decimal;
mod factory;
mod mask;
mod math;
mod native;
mod number;
mod resolve;
mod scalar;
pub mod text;
mod time;
mod vector;

pub use aggregate::{Accumulator, Aggregate};
pub use argument::{Argument, Assignment, value_assignment};
pub use context::{CallContext, CallSite};
pub use resolve::{
    Function, cast, cast_name, count_rows, negation_name, operator_name, resolve, resolve_scalar,
    token,
};
pub use scalar::Scalar;

/// The keyspace of the native functions.
pub const SYSTEM: &str = "system";

#[cfg(test)]
mod tests;
