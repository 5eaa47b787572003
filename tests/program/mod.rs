//! The program from outside.

mod cli;
mod simulate;
mod sweep;
