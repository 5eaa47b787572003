//! The suites on a real cluster: green on a healthy release, and each fault makes exactly its own tests fail.
//!
//! `cargo test --test cluster -- --ignored lane::` runs what must be green, and a share of the rounds of faults. `ROUNDS=all`
//! runs all, `SHARE=1/4` that share, `ROUNDS=drifted,healthy` these alone; `upgraded` is what is said of upgrades.

use std::collections::BTreeSet;

use libtest_mimic::Trial;

use crate::support::catalogue::{Catalogue, Round, catalogue};
use crate::support::share;

mod faults;
mod odd_use;
mod patch;
mod refused;
mod restore;
mod run;
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
        match round.name.as_str() {
            "oddly-used" => stages.judge_odd_use(round),
            "upgraded" => stages.judge_upgrades(),
            OLDER => stages.judge_older_chart(),
            _ => stages.judge_faults(round),
        }
    }
    assert!(stages.problems.is_empty(), "\n{}", stages.problems.join("\n"));
}

fn chosen() -> Vec<Round> {
    let Catalogue { green, mut faulty, older: [older, _] } = catalogue();
    // What is dealt to landings: rounds of faults, and one of upgrades.
    faulty.push(Round { suites: vec!["release".to_owned()], ..Round::healthy("upgraded") });
    let named = std::env::var("ROUNDS").ok().filter(|rounds| rounds != "all");
    let Some(named) = named else {
        let dealt = share::deal("rounds", faulty, |round| round.name.clone());
        return green.into_iter().chain(dealt).chain([older]).collect();
    };
    let mut wanted: BTreeSet<&str> = named.split(',').collect();
    let mut all: Vec<Round> = green.into_iter().chain(faulty).chain([older]).collect();
    all.retain(|round| wanted.remove(round.name.as_str()));
    assert!(wanted.is_empty(), "no such rounds: {wanted:?}");
    all
}
