//! All a client can see: protocol frames, lexer, parser, binding, plans, DESCRIBE text. No I/O.

pub mod ast;
pub mod describe;
pub mod frame;
pub mod functions;
pub mod json;
pub mod lexer;
pub mod parse;
pub mod plan;
