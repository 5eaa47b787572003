//! The program, its reports and its documentation, without a real cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[macro_use]
mod support;
mod documents;
mod program;
mod reports;
