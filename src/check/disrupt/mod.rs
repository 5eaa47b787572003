//! What is done to a server on purpose, and only if that was allowed.

mod judge;
pub mod parameters;
mod replacement;
mod restart;
mod seen;
mod sound;
