//! The suites on a real cluster: green on a healthy release, and each fault makes exactly its own tests fail.
//!
//! `cargo test --test cluster -- --ignored lane::` runs what must be green, and a share of the rounds of faults. `ROUNDS=all`
//! runs all, `SHARE=1/4` that share, `ROUNDS=drifted,healthy` these alone; `upgraded` is what is said of upgrades.

use std::collections::BTreeSet;

use libtest_mimic::Trial;

use crate::support::catalogue::{self, Round};
use crate::support::share::Share;

mod faults;
mod odd_use;
mod refused;
mod restore;
mod run;
mod stages;
mod upgrade;

use stages::Stages;

/// For `find`: files and folders that a run makes.
const FILES_OF_RUNS: [&str; 6] = ["-name", "*e2e-*", "-not", "-name", OF_A_KILLED_RUN, "-prune"];
/// What a run left that was killed before it could tidy up.
const OF_A_KILLED_RUN: &str = "e2e-00000000-phase3-latency-nas-output-2-sync.txt";
/// How the name of a server's folder begins while it is moved away.
const MOVED: &str = "moved-away-";
/// The release in which the interval is the usual one.
const OLDER: &str = "older-chart";
/// Rounds that take much longer or shorter than others, with about how many seconds that is.
const SECONDS: [(&str, u64); 5] = [("no-copies", 75), ("cycles", 70), ("rights", 70), ("silent", 70), ("upgraded", 50)];
/// The others.
const OTHERS: u64 = 40;

pub fn tests() -> Vec<Trial> {
    let shares = trials!("lane::shares": four_shares_have_every_round);
    shares.into_iter().chain(trials!("lane::real": the_suites_on_a_real_cluster)).collect()
}

fn the_suites_on_a_real_cluster() {
    let rounds = chosen();
    let mut stages = Stages::new();
    for round in &rounds {
        match round.name {
            "oddly-used" => stages.judge_odd_use(round),
            "upgraded" => stages.judge_upgrades(),
            OLDER => stages.judge_older_chart(),
            _ => stages.judge_faults(round),
        }
    }
    assert!(stages.problems.is_empty(), "\n{}", stages.problems.join("\n"));
}

/// The rounds that the environment chooses.
fn chosen() -> Vec<Round> {
    let (before, after) = (catalogue::green(), catalogue::older().into_iter().take(1));
    let named = std::env::var("ROUNDS").ok().filter(|rounds| rounds != "all");
    let Some(named) = named else {
        let dealt = Share::chosen().deal("rounds", faulty(), cost);
        return before.into_iter().chain(dealt).chain(after).collect();
    };
    let mut wanted: BTreeSet<&str> = named.split(',').collect();
    let mut all: Vec<Round> = before.into_iter().chain(faulty()).chain(after).collect();
    all.retain(|round| wanted.remove(round.name));
    assert!(wanted.is_empty(), "no such rounds: {wanted:?}");
    all
}

/// What is dealt to landings: rounds of faults, and one of upgrades.
fn faulty() -> Vec<Round> {
    let upgraded = Round { suites: &["release"], ..Round::usual("upgraded", Vec::new()) };
    catalogue::rounds().into_iter().chain([upgraded]).collect()
}

fn cost(round: &Round) -> (String, u64) {
    let known = SECONDS.iter().find(|(name, _)| *name == round.name);
    (round.name.to_owned(), known.map_or(OTHERS, |(_, seconds)| *seconds))
}

fn four_shares_have_every_round() {
    let names = |rounds: Vec<Round>| rounds.into_iter().map(|round| round.name).collect::<Vec<_>>();
    let shares = (0..4).map(|number| names(Share::One(number).deal("rounds", faulty(), cost)));
    let (mut dealt, mut all) = (shares.flatten().collect::<Vec<_>>(), names(faulty()));
    dealt.sort_unstable();
    all.sort_unstable();
    assert_eq!(dealt, all);
    assert!(SECONDS.iter().all(|(name, _)| all.contains(name)));
}
