//! What the real cluster said is judged again, as it is and bent in many ways.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use libtest_mimic::Arguments;

#[macro_use]
mod support;
mod perturbed;
mod recorded;

fn main() {
    let trials = recorded::tests().into_iter().chain(perturbed::tests()).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
