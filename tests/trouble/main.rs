//! What happens around a run: requests to stop at random moments, an API server that goes away, a tester's folder that
//! fills, turns read-only or vanishes.
//!
//! `cargo test` does it on simulated clusters. On the cluster of `fixtures/cluster`, with the release installed on it:
//! `cargo test --test trouble -- --ignored --nocapture --test-threads=1`. `SEED` repeats the moments of another time,
//! `MOMENTS` says how many there are for each suite, `TWICE` and `THRICE` how many with a second and a third request, and
//! `SUITES` which suites.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[path = "../catalogue/mod.rs"]
#[allow(dead_code, unused_imports, reason = "nothing is put into the chart here")]
mod catalogue;
mod folders;
#[path = "../cluster/harness.rs"]
#[allow(dead_code, reason = "reads reports; runs are started in another way")]
mod harness;
mod interrupts;
#[path = "../cluster/lab.rs"]
#[allow(dead_code, reason = "the chart stays as it is")]
mod lab;
mod outages;
mod program;
mod servers;

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

/// There is one real cluster, and nothing else may go wrong on it meanwhile.
fn alone() -> MutexGuard<'static, ()> {
    static CLUSTER: Mutex<()> = Mutex::new(());
    CLUSTER.lock().unwrap_or_else(PoisonError::into_inner)
}
