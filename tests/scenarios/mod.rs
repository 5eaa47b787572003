//! Every scenario of a simulated cluster makes exactly the tests fail that it says, and none hangs.
//!
//! A run is the program itself on a simulation in this process. Its suites' limits are scaled down with the interval.
//! `-- --ignored` runs the healthy scenario twenty times.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use file_simulator_e2e::sim::scenario::{self, HEALTHY, Scenario};
use libtest_mimic::{Failed, Trial};

use crate::support::junit::Results;
use crate::support::place::{Place, Running};
use crate::support::root;
use crate::support::simulated::Simulated;

mod judge;
mod names;

/// The suites of scenarios that name none.
const SUITES: [&str; 2] = ["phase2", "phase3"];
/// What is scaled down with the interval of sidecars: limits for a file, and for a rollout.
const SCALED: [(&str, &str); 4] = [
    ("within: 60s", "within: 8s"),
    ("within: 10s", "within: 4s"),
    ("tolerance: 3s", "tolerance: 1s"),
    ("within: 30s", "within: 8s"),
];
const SETTLE: &str = "8s";
/// No run takes longer than this, whatever is broken.
const LIMIT: Duration = Duration::from_secs(100);

/// Turns of runs that copy much: more than two at once would starve each other where there are few cores.
static TURNS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The tests.
pub fn tests() -> Vec<Trial> {
    let scenarios = scenario::all().unwrap();
    assert!(scenarios.len() >= 40);
    let healthy = scenarios.iter().find(|scenario| scenario.name == HEALTHY).unwrap().clone();
    let twice = healthy.clone();
    let two = Trial::test("scenarios::two-runs-at-once", move || two_runs(&twice));
    let again = (1..=20).map(|number| trial(format!("again::{number}"), healthy.clone()).with_ignored_flag(true));
    // The last file has those that take longest.
    let trials =
        scenarios.iter().rev().map(|scenario| trial(format!("scenarios::{}", scenario.name), scenario.clone()));
    trials.chain([two]).chain(again).collect()
}

fn trial(name: String, scenario: Scenario) -> Trial {
    Trial::test(name, move || {
        let copies_much = scenario.suites.iter().any(|suite| suite == "data-safety");
        let _turn = copies_much.then(turn);
        let simulated = Simulated::new(scenario.clone());
        judge::judge(&scenario, Run::start(&scenario, &simulated).end())?;
        nothing_left(&scenario, &simulated)
    })
}

/// Waits for the turn of a run that copies much.
pub fn turn() -> MutexGuard<'static, ()> {
    TURNS[NEXT.fetch_add(1, Ordering::Relaxed) % TURNS.len()].lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each of two runs is green, and neither takes the other's files for its own.
fn two_runs(healthy: &Scenario) -> Result<(), Failed> {
    let simulated = Simulated::new(healthy.clone());
    let runs = [Run::start(healthy, &simulated), Run::start(healthy, &simulated)];
    for run in runs {
        judge::judge(healthy, run.end())?;
    }
    nothing_left(healthy, &simulated)
}

/// The program at work.
struct Run {
    running: Running,
    suites: Vec<String>,
    place: Place,
}

/// What it did.
struct Ended {
    code: i32,
    out: String,
    results: Results,
    /// The servers of which more is said; none if there is no folder for it.
    diagnosed: Option<BTreeSet<String>>,
}

impl Run {
    fn start(scenario: &Scenario, simulated: &Simulated) -> Self {
        let suites =
            if scenario.suites.is_empty() { SUITES.map(str::to_owned).into() } else { scenario.suites.clone() };
        let place = simulated.place();
        let files: Vec<String> = suites.iter().map(|suite| scaled(suite, &place)).collect();
        let mut arguments = vec!["--allow-disruption", "--timeout", SETTLE, "--report-dir", "reports"];
        arguments.extend(files.iter().flat_map(|file| ["--suite", file]));
        let running = place.start(place.command(&arguments));
        Self { running, suites, place }
    }

    fn end(self) -> Ended {
        let ended = self.running.end(LIMIT);
        let diagnosed = std::fs::read_dir(self.place.path("reports/diagnostics")).ok().map(|files| {
            files.map(|file| file.unwrap().file_name().into_string().unwrap().replace(".txt", "")).collect()
        });
        Ended { code: ended.code, out: ended.all(), results: self.place.results(&self.suites), diagnosed }
    }
}

/// A built-in suite with scaled limits: a file in the place.
fn scaled(suite: &str, place: &Place) -> String {
    let file = format!("{suite}.yaml");
    let text = std::fs::read_to_string(root("suites").join(&file)).unwrap();
    let text = SCALED.iter().fold(text, |text, (long, short)| text.replace(long, short));
    std::fs::write(place.path(&file), text).unwrap();
    file
}

/// No file of a run is left anywhere, unless the cluster was not there to remove it from.
fn nothing_left(scenario: &Scenario, simulated: &Simulated) -> Result<(), Failed> {
    let left = simulated.files("e2e-");
    if left.is_empty() || scenario.leaves_files { Ok(()) } else { Err(format!("left behind: {left:?}").into()) }
}
