//! The program from outside.

mod cli;
mod connecting;
mod simulate;
mod sweep;
