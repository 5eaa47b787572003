//! The program on simulated clusters: every scenario, and every built-in suite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::num::NonZero;
use std::thread::available_parallelism;

use file_simulator_e2e::suite::load::BUILT_IN;
use libtest_mimic::Arguments;

#[macro_use]
mod support;
mod scenarios;

use support::place::Place;

fn main() {
    let mut arguments = Arguments::from_args();
    // Runs wait more than they work; more of them starve each other.
    let runs = 4 * available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads = arguments.test_threads.or(Some(runs));
    let trials = [scenarios::tests(), trials!("suites": every_built_in_suite_is_green_as_it_is)];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

/// By the program alone, with the limits of the suites themselves.
fn every_built_in_suite_is_green_as_it_is() {
    let (_turn, place) = (scenarios::turn(), Place::new());
    let files: Vec<String> = BUILT_IN.iter().map(|(name, _)| place.suite(name, &[])).collect();
    let suites = files.iter().flat_map(|file| ["--suite", file]);
    let arguments: Vec<&str> = ["--simulate"].into_iter().chain(suites).collect();
    let ended = place.says(&arguments, 0, &["SIMULATED"]);
    assert_eq!(ended.missing(&BUILT_IN.map(|(name, _)| name)), Vec::<String>::new());
}
