//! What happens around a run: requests to stop at random moments, an API server that goes away, a host folder that
//! fills, turns read-only or vanishes, and a node that is short of CPU.
//!
//! On the real cluster four landings in a row see all of it; `ROUNDS=all` and `SHARE=1/4` choose another part. `SEED` repeats the
//! moments of another time, in the same part.

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
        folders::a_folder_that_is_full_or_read_only_and_a_file_that_cannot_be_touched_are_named);
    let real = trials!("trouble::real":
        interrupts::a_run_on_a_real_cluster_can_be_stopped_at_any_moment,
        outages::an_api_server_that_goes_away_makes_no_test_fail,
        folders::a_real_folder_that_fills_turns_read_only_or_vanishes_is_named,
        short_of_cpu::a_node_short_of_cpu_is_green);
    [always, as_root, real].into_iter().flatten().collect()
}

/// The suites, and about how long each takes on the real cluster, in milliseconds.
const SUITES: [(&str, u64); 7] = [
    ("phase2", 2000),
    ("phase3", 14_500),
    ("nfs", 700),
    ("data-safety", 17_000),
    ("release", 150),
    ("smoke", 900),
    ("restarts", 43_000),
];

/// Moments that can be had again.
struct Moments(StdRng);

impl Moments {
    /// By the seed of the environment, or another one; it is printed.
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
