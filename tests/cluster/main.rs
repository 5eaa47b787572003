//! The suites on a real cluster: green on a healthy release, and each fault makes exactly its own tests
//! fail.
//!
//! Needs the cluster of `fixtures/cluster` and installs the release anew, more than once:
//! `fixtures/cluster/up && cargo test --test cluster -- --ignored --nocapture`
//! `ROUNDS=drifted,healthy` runs these alone; `upgraded` is what `--changes` says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of a test")]

use std::collections::BTreeMap;
use std::time::Instant;

#[path = "../catalogue/mod.rs"]
mod catalogue;
mod harness;
mod lab;
mod upgrade;

use catalogue::Round;
use harness::Run;
use lab::{Chart, Lab};

/// The tests that say where something else is tested.
const SKIPPED: &str = "phase3::win-02::";
/// Those that need to be allowed.
const DISTURBS: &str = "data-safety::reserved-names::";

#[test]
#[ignore = "needs the cluster of fixtures/cluster"]
fn the_suites_on_a_real_cluster() {
    let only = std::env::var("ROUNDS").ok();
    let mut stages = Stages { lab: Lab::new(), started: Instant::now(), problems: Vec::new() };
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|wanted| wanted == name));
    let usual = |name| Round::usual(name, Vec::new());
    stages.do_to_the_lab("install", Lab::install_anew);
    for round in catalogue::green().iter().filter(|round| wanted(round.name)) {
        match round.name {
            "oddly-used" => stages.judge_odd_use(round),
            // At the end, because it replaces the release.
            "older-chart" => {}
            _ => stages.judge(round),
        }
    }
    for round in catalogue::rounds().into_iter().filter(|round| wanted(round.name)) {
        let ids = round.faults.iter().map(|fault| fault.id).collect::<Vec<_>>().join(", ");
        stages.do_to_the_lab(&format!("apply {ids}"), |lab| lab.apply(&round.faults));
        stages.judge(&round);
        stages.do_to_the_lab(&format!("undo {}", round.name), |lab| lab.undo(&round.faults));
    }
    if wanted("upgraded") {
        let found = upgrade::differences(&stages.lab);
        stages.problems.extend(found);
        stages.do_to_the_lab("say what upgrades changed, and install anew", Lab::install_anew);
    }
    if wanted("older-chart") {
        stages.judge(&usual("healthy again"));
        stages.do_to_the_lab("install the older chart", |lab| lab.install(Chart::Older));
        stages.judge(&usual("older-chart"));
        stages.do_to_the_lab("install the chart again", |lab| lab.install(Chart::Current));
        stages.judge(&usual("the chart again"));
    }
    assert!(stages.problems.is_empty(), "\n{}", stages.problems.join("\n"));
}

/// The stages of the test. A stage that is not as expected does not keep later ones from being looked at.
struct Stages {
    lab: Lab,
    started: Instant,
    problems: Vec<String>,
}

impl Stages {
    /// Does one thing to the cluster.
    fn do_to_the_lab(&mut self, name: &str, what: impl FnOnce(&Lab)) {
        what(&self.lab);
        self.time(name);
    }

    /// Runs a round's suites and compares what is wrong with what its faults should make wrong.
    fn judge(&mut self, round: &Round) {
        let name = round.name;
        let run = Run::of(&self.lab, round);
        let expected: BTreeMap<_, _> =
            round.faults.iter().flat_map(|fault| catalogue::wrong(fault, &run.listed)).collect();
        let mut found = differences(&run, round, &expected);
        // Whatever became of the tests.
        found.extend(self.lab.leftovers().iter().map(|file| format!("left behind: {file}")));
        if !found.is_empty() {
            println!("{}", run.output);
        }
        self.problems.extend(found.iter().map(|what| format!("{name}: {what}")));
        self.time(&format!("judge {name}"));
    }

    /// The same for a healthy release that is used oddly.
    fn judge_odd_use(&mut self, round: &Round) {
        let client = self.lab.use_oddly();
        self.judge(round);
        if !self.lab.use_plainly(client) {
            self.problems.push("oddly used: another run's file was removed".to_owned());
        }
        self.do_to_the_lab("use it plainly again", Lab::install_anew);
    }

    fn time(&mut self, name: &str) {
        println!("{:6.1}s  {name}", self.started.elapsed().as_secs_f64());
        self.started = Instant::now();
    }
}

/// What the run says otherwise than expected, in a line each.
fn differences(run: &Run, round: &Round, expected: &BTreeMap<String, &str>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, outcome) in &run.outcomes {
        let is_skipped = name.starts_with(SKIPPED) || !round.disrupts && name.starts_with(DISTURBS);
        let healthy = if is_skipped { "SKIP" } else { "PASS" };
        let expected = expected.get(name).copied().unwrap_or(healthy);
        if expected != *outcome {
            found.push(format!("{name}: expected {expected}, was {outcome}"));
        }
    }
    let is_reported = |name: &str| run.outcomes.contains_key(name);
    let missing = run.listed.iter().chain(expected.keys()).filter(|name| !is_reported(name));
    found.extend(missing.map(|name| format!("{name}: missing")));
    let exit = i32::from(!expected.is_empty());
    if run.exit != Some(exit) {
        found.push(format!("expected exit code {exit}, was {:?}", run.exit));
    }
    found
}
