//! End-to-end tests of the file simulator: seven simulated NAS servers on Kubernetes that share files with a tester's
//! folder. Suites are data; a check observes through the Kubernetes API and the folder, then judges.
//!
//! Arrows: `cli → commands → run → check → cluster`, `check → host`, `suite → check`; `event` stands between `run` and `report`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod check;
pub mod cli;
pub mod cluster;
pub mod commands;
mod diagnose;
pub mod digest;
pub mod error;
pub mod event;
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
