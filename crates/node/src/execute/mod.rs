//! Statements: from a client's request to its answer.
//!
//! `connection` serves what is about the connection itself, `request` finds the plan of a request; then `modify`,
//! `select`, `rmw` and `scattered` (what reads before it writes) or `schema` carry it out. A request that is being begun is
//! a `call`; one that waits is a machine in [`operation`].

pub mod acceptor;
pub mod admin;
pub(crate) mod alarms;
mod away;
mod batch;
pub(crate) mod batchlog;
mod call;
mod committing;
mod conditional;
mod connection;
mod coordinate;
mod counter;
mod decide;
mod describe;
pub mod farewell;
mod gather;
mod group;
mod modify;
pub mod operation;
mod own_shards;
mod page;
pub(crate) mod partition_queue;
mod read_repair;
pub(crate) mod replicas;
mod request;
mod rmw;
mod rows;
mod scattered;
pub mod schema;
mod select;
pub mod serial;
mod work;
