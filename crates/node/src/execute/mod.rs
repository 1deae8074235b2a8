//! Statements: from a client's request to its answer.
//!
//! `connection` serves what is about the connection itself, `request` finds the plan of a request; then `modify`,
//! `select`, `rmw` and `scattered` (what reads before it writes) or `schema` carry it out. Each is a machine in [`operation`].

// A failure hands the reply back with its error, so that whoever dispatched the statement answers; it is moved once, on
// the path that is rare.
#![allow(clippy::result_large_err)]

pub mod admin;
mod batch;
pub(crate) mod batchlog;
mod conditional;
mod connection;
mod counter;
mod deadline;
mod describe;
pub mod farewell;
mod group;
mod merge;
mod modify;
pub mod operation;
mod page;
mod request;
mod rmw;
mod rows;
mod scattered;
pub mod schema;
mod select;
pub mod serial;
mod snapshot;
