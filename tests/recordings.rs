//! What the real cluster said is judged again, as it is and bent in many ways.
//!
//! `GOLDEN=write` keeps what is judged otherwise now, and `MIGRATE=COMMAND` changes recordings before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use libtest_mimic::Arguments;

#[macro_use]
mod support;
mod perturbed;
mod recorded;
mod renewal;

fn main() {
    let arguments = Arguments::from_args();
    support::speed::slowness();
    if !arguments.list
        && let Err(failed) = renewal::renew()
    {
        eprintln!("{}", failed.message().unwrap_or_default());
        std::process::exit(101);
    }
    let trials = [renewal::tests(), recorded::tests(), perturbed::tests()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
