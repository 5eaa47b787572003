//! Trouble during a run: interrupts at random moments, outages of the API server, a host folder that fills, turns read-only
//! or vanishes, and a node short of CPU.
//!
//! On the real cluster, each CI run runs a share; `ROUNDS=all` runs all, `SHARE=1/4` another share. `SEED` repeats the random
//! moments of an earlier run of the same share.

use std::time::Duration;

use libtest_mimic::Trial;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

mod folders;
mod interrupts;
mod outages;
mod program;
mod short_of_cpu;

pub fn tests() -> Vec<Trial> {
    let always = trials!("trouble::simulated": interrupts::a_run_can_be_stopped_at_any_moment);
    let as_root = trials!("trouble::root":
        folders::full_and_read_only_folders_and_immutable_files_are_reported);
    let real = trials!("trouble::real":
        interrupts::a_run_on_a_real_cluster_can_be_stopped_at_any_moment,
        outages::an_api_server_outage_makes_no_test_fail,
        folders::a_real_folder_that_fills_turns_read_only_or_vanishes_is_reported,
        short_of_cpu::a_healthy_release_passes_on_a_node_short_of_cpu);
    [always, as_root, real].into_iter().flatten().collect()
}

/// The suites, and their approximate durations on the real cluster in milliseconds.
const SUITES: [(&str, u64); 7] = [
    ("phase2", 2000),
    ("phase3", 14_500),
    ("nfs", 700),
    ("data-safety", 17_000),
    ("release", 150),
    ("smoke", 900),
    ("restarts", 43_000),
];

/// Reproducible random moments.
struct Moments(StdRng);

impl Moments {
    /// Seeded from the environment or randomly; prints the seed.
    fn new() -> Self {
        let seed = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
        println!("SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    fn before(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.0.random_range(0..millis))
    }
}
