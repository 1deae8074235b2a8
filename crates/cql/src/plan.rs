//! Plans: what a statement means against a schema, before anything is read or written.

pub mod ddl;
pub mod literal;
pub mod temporal;
pub mod types;
