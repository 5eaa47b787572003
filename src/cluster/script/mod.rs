//! Finds the programs that a container runs: its command, and the commands of its shell script. Pure.
//!
//! Reads commands and assignments regardless of their order: not which value a variable has at a command, but which values
//! it may have. Never guesses what the spec does not show, but returns the doubt.

mod delete;
mod programs;
mod split;
#[cfg(test)]
mod tests;
mod value;

pub use delete::{delete_flag, may_read_target, strict_delete_flag};
pub use programs::invocations;
