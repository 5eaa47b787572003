//! The program and its documents, without any cluster but a simulated one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[macro_use]
mod support;
mod documents;
mod program;
mod reports;
