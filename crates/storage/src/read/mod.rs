//! Answering a [`model::read::ReadCommand`] from memtables and SSTables.
//!
//! A read of one row looks at its sources newest first and stops when older ones cannot matter ([`point`]); any other
//! is a [`crate::merge::Walk`] whose sink ([`responder`]) filters, projects, counts and encodes.

mod point;
mod projection;
mod responder;

pub(crate) use point::{Point, point};
pub(crate) use projection::{Projection, known_columns};
pub(crate) use responder::{Answer, Responder};
