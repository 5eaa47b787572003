//! The program as a process: command line, output, exit codes.

mod cli;
mod connecting;
mod edges;
#[cfg(target_os = "linux")]
mod plugins;
mod simulate;
mod sweep;
