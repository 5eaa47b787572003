//! Judges recordings of the real cluster again; `GOLDEN=write` saves changed verdicts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use libtest_mimic::Arguments;

#[macro_use]
mod support;
mod recorded;

fn main() {
    let arguments = Arguments::from_args();
    support::speed::slowness();
    libtest_mimic::run(&arguments, recorded::tests()).exit();
}
