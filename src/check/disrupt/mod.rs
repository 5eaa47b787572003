//! What is done to a server on purpose, and only if that was allowed.

pub mod restart;

mod judge;
mod replacement;
mod seen;
mod sound;
