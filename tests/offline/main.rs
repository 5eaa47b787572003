//! Tests of the program and its documents that need no cluster.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chart;
mod cli;
mod docs;
mod junit;
mod support;
