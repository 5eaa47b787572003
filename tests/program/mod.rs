//! The program from outside.

mod cli;
mod connecting;
mod edges;
#[cfg(target_os = "linux")]
mod plugins;
mod simulate;
mod sweep;
