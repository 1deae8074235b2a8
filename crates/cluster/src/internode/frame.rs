//! Frames: what travels on a connection once both sides have agreed.
//!
//! A frame is a header of [`HEADER_BYTES`] and a payload: messages back to back, each behind its length. Whoever sends
//! appends the messages of a wake-up with an [`Encoder`] and writes them at once; whoever receives hands the bytes to a
//! [`Decoder`] as they come. Header and payload have checksums of their own, so that a length that is not what was sent
//! is never waited for. A payload may be compressed; the header says so, frame by frame.

mod decoder;
mod encoder;
mod header;

pub use decoder::{Decoder, FrameError, Messages};
pub use encoder::{Encoder, MessageTooLarge};
pub use header::HEADER_BYTES;

#[cfg(test)]
mod tests;
