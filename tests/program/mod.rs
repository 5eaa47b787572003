//! The program from outside.

mod cli;
mod connecting;
mod edges;
mod simulate;
mod sweep;
