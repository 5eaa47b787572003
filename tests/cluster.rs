//! What a cluster does: the suites and faults on it, the contract between it and the harness, least privilege, and what
//! goes wrong around a run. Where it can be, on simulated clusters always.
//!
//! The tests called `real` are ignored unless they are asked for, and need the cluster of `fixtures/cluster` with the
//! release installed on it; those called `root` need root.
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

/// What is not run here, and how it is.
const LEFT_OUT: &str = "
not run: what needs root or a real cluster: the suites with faults in the chart, the contract, least privilege,
outages, the CI jobs in docs/ci.
`fixtures/cluster/up && cargo test --test cluster -- --ignored` runs a share of it, with ROUNDS=all in front all.
";

fn main() {
    let mut arguments = Arguments::from_args();
    support::speed::slowness();
    if arguments.ignored || arguments.include_ignored {
        // There is one real cluster, and nothing else may go wrong on it meanwhile.
        arguments.test_threads = Some(1);
    } else if !arguments.list {
        print!("{LEFT_OUT}");
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
        let is_asked_for = ["::real::", "::root::"].iter().any(|part| trial.name().contains(part));
        trial.with_ignored_flag(is_asked_for)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
