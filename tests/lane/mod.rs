//! The suites on the real cluster: all tests pass on a healthy release, and each fault makes exactly the expected tests fail.
//!
//! `cargo test --test cluster -- --ignored lane::` runs all healthy rounds and a share of the rounds of faults. `ROUNDS=all`
//! runs all rounds, `SHARE=1/4` another share, `ROUNDS=drifted,healthy` only these; `upgraded` is the round of upgrades.

use std::collections::BTreeSet;

use libtest_mimic::Trial;

use crate::support::catalogue::{Catalogue, Round, catalogue};
use crate::support::share;

mod faults;
mod patch;
mod refused;
mod restore;
mod run;
mod stages;
mod unusual_use;

use stages::Stages;

/// The round with the older chart, whose sync interval is the chart's default.
const OLDER: &str = "older-chart";

pub fn tests() -> Vec<Trial> {
    trials!("lane::real": exactly_the_expected_tests_fail)
}

fn exactly_the_expected_tests_fail() {
    let rounds = chosen();
    let mut stages = Stages::new();
    for round in &rounds {
        match round.name.as_str() {
            "oddly-used" => stages.judge_unusual_use(round),
            "upgraded" => stages.judge_upgrades(),
            OLDER => stages.judge_older_chart(),
            _ => stages.judge_faults(round),
        }
    }
    assert!(stages.problems.is_empty(), "\n{}", stages.problems.join("\n"));
}

fn chosen() -> Vec<Round> {
    let Catalogue { green, mut faulty, older: [older, _] } = catalogue();
    // Split into shares like the rounds of faults.
    faulty.push(Round { suites: vec!["release".to_owned()], ..Round::healthy("upgraded") });
    let named = std::env::var("ROUNDS").ok().filter(|rounds| rounds != "all");
    let Some(named) = named else {
        let dealt = share::deal("rounds", faulty, |round| round.name.clone());
        return green.into_iter().chain(dealt).chain([older]).collect();
    };
    let mut missing: BTreeSet<&str> = named.split(',').collect();
    let mut all: Vec<Round> = green.into_iter().chain(faulty).chain([older]).collect();
    all.retain(|round| missing.remove(round.name.as_str()));
    assert!(missing.is_empty(), "no such rounds: {missing:?}");
    all
}
