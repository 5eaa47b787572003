//! What happens around a run: requests to stop at random moments, an API server that goes away, a tester's folder that
//! fills, turns read-only or vanishes.
//!
//! On the real cluster `SEED` repeats the moments of another time, `MOMENTS` says how many there are for each suite,
//! `TWICE` and `THRICE` how many with a second and a third request, and `SUITES` which suites.

use std::time::Duration;

use libtest_mimic::Trial;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

mod folders;
mod interrupts;
mod outages;
mod program;
mod servers;

/// The tests; those that need root or the real cluster are ignored unless they are asked for.
pub fn tests() -> Vec<Trial> {
    let asked = [folders::as_root(), interrupts::real(), outages::real(), folders::real()].into_iter().flatten();
    interrupts::simulated().into_iter().chain(asked.map(|trial| trial.with_ignored_flag(true))).collect()
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
        let seed = number("SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
        println!("SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    /// Any one before that many milliseconds.
    fn before(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.0.random_range(0..millis))
    }
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap())
}

/// The suites that the environment chooses, else all.
fn suites() -> Vec<(&'static str, u64)> {
    let chosen = std::env::var("SUITES").ok();
    let is_chosen = |suite: &str| chosen.as_ref().is_none_or(|chosen| chosen.split(',').any(|name| name == suite));
    SUITES.into_iter().filter(|(suite, _)| is_chosen(suite)).collect()
}
