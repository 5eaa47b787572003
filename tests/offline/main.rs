//! Tests of the program and its documents that need no cluster.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../catalogue/mod.rs"]
#[allow(dead_code, reason = "replays apply no faults")]
mod catalogue;
mod chart;
mod cli;
mod docs;
mod junit;
mod page;
mod perturbed;
mod replay;
mod reports;
mod simulate;
mod stream;
mod suites;
mod support;
mod sweep;
