//! End-to-end tests of the file simulator: seven simulated NAS servers on Kubernetes that share files with a host folder.
//! Suites are data. A check observes the system through the Kubernetes API and the host folder, then judges what it observed.
//!
//! Dependencies: `cli → commands → run → check → cluster`, `check → host`, `suite → check`. `run` sends `event`s to `report`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod check;
pub mod cli;
pub mod cluster;
pub mod commands;
mod diagnose;
pub mod digest;
pub mod error;
pub mod event;
pub mod exit_code;
pub mod host;
pub mod input;
pub mod output;
pub mod profile;
mod random;
pub mod recording;
mod redact;
mod replace;
pub mod replay;
pub mod report;
pub mod run;
mod run_id;
pub mod sim;
pub mod suite;
pub mod values;
mod yaml;
