//! The program on simulated clusters: all scenarios and all built-in tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::num::NonZero;
use std::thread::available_parallelism;

use libtest_mimic::Arguments;

#[macro_use]
mod support;
mod scenarios;
mod suites;

fn main() {
    let mut arguments = Arguments::from_args();
    // Runs mostly wait, but more of them would starve each other.
    let runs = 4 * available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads = arguments.test_threads.or(Some(runs));
    // Scenarios first: all tests of `suites` wait for one run, which competes with runs that copy many files.
    let trials = [scenarios::tests(), suites::tests(&arguments)];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
