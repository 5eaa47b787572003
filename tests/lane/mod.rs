//! The suites on a real cluster: green on a healthy release, and each fault makes exactly its own tests fail.
//!
//! `cargo test --test cluster -- --ignored lane::` runs what must be green, and a share of the rounds of faults. `ROUNDS=all`
//! runs all, `ROUNDS=drifted,healthy` these alone; `upgraded` is what is said of upgrades.

use std::collections::BTreeSet;

use libtest_mimic::Trial;

use crate::support::catalogue::{self, Change, Fault, Round};
use crate::support::share;

mod faults;
mod odd_use;
mod refused;
mod stages;

use stages::Stages;

/// The release in which the interval is the usual one.
const OLDER: &str = "older-chart";

pub fn tests() -> Vec<Trial> {
    trials!("lane::real": the_suites_on_a_real_cluster)
}

fn the_suites_on_a_real_cluster() {
    let rounds = chosen();
    let mut stages = Stages::new();
    for round in &rounds {
        match round.name {
            "oddly-used" => stages.judge_odd_use(round),
            "upgraded" => stages.judge_upgrades(round),
            OLDER => stages.judge_older_chart(),
            _ => stages.judge_faults(round),
        }
    }
    assert!(stages.problems.is_empty(), "\n{}", stages.problems.join("\n"));
}

fn chosen() -> Vec<Round> {
    let (before, after) = (catalogue::green(), catalogue::older().into_iter().take(1));
    let named = std::env::var("ROUNDS").ok().filter(|rounds| rounds != "all");
    let Some(named) = named else {
        let dealt = share::deal("rounds", faulty(), |round| round.name.to_owned());
        return before.into_iter().chain(dealt).chain(after).collect();
    };
    let mut wanted: BTreeSet<&str> = named.split(',').collect();
    let mut all: Vec<Round> = before.into_iter().chain(faulty()).chain(after).collect();
    all.retain(|round| wanted.remove(round.name));
    assert!(wanted.is_empty(), "no such rounds: {wanted:?}");
    all
}

/// What is dealt to landings: rounds of faults, and an upgrade for whose pods helm does not wait long enough: they become Ready,
/// so only what helm says is wrong then.
fn faulty() -> Vec<Round> {
    let change = Change::FailedUpgrade(&[
        "--set",
        "nasDefaults.resources.limits.memory=192Mi",
        "--set",
        "nasDefaults.sidecar.resources.limits.memory=96Mi",
        "--timeout",
        "1s",
    ]);
    let given_up = Fault {
        id: "an upgrade that helm gave up",
        server: "",
        change,
        wrong: &[("FAIL", &["phase2::release", "release::release"])],
    };
    let suites = &["phase2", "phase3", "release"];
    let upgraded = Round { suites, ..Round::usual("upgraded", vec![given_up]) };
    catalogue::rounds().into_iter().chain([upgraded]).collect()
}
