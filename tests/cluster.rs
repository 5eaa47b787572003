//! Tests on clusters: the suites on healthy and broken releases, the contract between the program and a cluster, least
//! privilege, and trouble during a run.
//!
//! Tests named `real` need the cluster of `fixtures/cluster` with the release installed, those named `root` need root; both
//! are ignored by default. All others use simulated clusters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use libtest_mimic::Arguments;

#[macro_use]
mod support;
mod access;
mod contract;
#[cfg(unix)]
mod jobs;
mod lane;
#[cfg(unix)]
mod trouble;

const NOT_RUN: &str = "
not run: tests that need root or a real cluster (faults in the release, the contract, least privilege, outages, CI jobs);
`fixtures/cluster/up && cargo test --test cluster -- --ignored` runs a share of them, and all with ROUNDS=all
";

fn main() {
    let mut arguments = Arguments::from_args();
    support::speed::slowness();
    if arguments.ignored || arguments.include_ignored {
        // There is only one real cluster, and each test changes it.
        arguments.test_threads = Some(1);
    } else if !arguments.list {
        print!("{NOT_RUN}");
    }
    let themes = [
        lane::tests(),
        #[cfg(unix)]
        trouble::tests(),
        contract::tests(),
        access::tests(),
        #[cfg(unix)]
        jobs::tests(),
    ];
    let trials = themes.into_iter().flatten().map(|trial| {
        let is_ignored = ["::real::", "::root::"].iter().any(|part| trial.name().contains(part));
        trial.with_ignored_flag(is_ignored)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
