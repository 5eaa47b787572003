//! The programs that a container runs, as far as its spec tells: its command, or what that script of a shell runs. Pure.
//!
//! Reads commands and assignments, but not in which order they come: what a variable is at a command is not known, only what
//! it may be. What the spec does not tell is said, and never guessed.

mod delete;
mod programs;
mod split;
#[cfg(test)]
mod tests;
mod value;

pub use delete::{delete_flag, delete_flag_or_mention, may_read_target};
pub use programs::runs;
