//! Tests of the program and its documents that need no cluster.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chart;
mod cli;
mod docs;
mod junit;
mod support;
