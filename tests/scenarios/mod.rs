//! Every scenario of a simulated cluster makes exactly the tests fail that it says, and none hangs.
//!
//! A run is the program itself on a simulation in this process. Its suites' limits are shorter, as the interval is.
//! `-- --ignored` runs the healthy scenario twenty times.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use file_simulator_e2e::sim::scenario::{self, HEALTHY, Scenario};
use jiff::SignedDuration;
use libtest_mimic::{Failed, Trial};

use crate::support::place::{Place, Running};
use crate::support::simulated::Simulated;
use crate::support::speed;

mod judge;

/// The suites of scenarios that name none.
const SUITES: [&str; 2] = ["phase2", "phase3"];
/// What is shorter, as the interval of sidecars is: limits for a file, and for a rollout. Replaced one after the other.
const SHORTER: [(&str, &str); 4] = [
    ("within: 10s", "within: 4s"),
    ("within: 60s", "within: 8s"),
    ("tolerance: 3s", "tolerance: 1s"),
    ("within: 30s", "within: 8s"),
];
const SETTLE: Duration = Duration::from_secs(8);
/// No run takes longer than this on a usual machine, whatever is broken.
const LIMIT: Duration = Duration::from_secs(100);

/// Turns of runs that copy much: more than two at once would starve each other where there are few cores.
static TURNS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
static NEXT: AtomicUsize = AtomicUsize::new(0);

pub fn tests() -> Vec<Trial> {
    let scenarios = scenario::all().unwrap();
    assert!((40..60).contains(&scenarios.len()), "{}: the real cluster proves what it can", scenarios.len());
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
        let (place, running) = start(&scenario, &simulated);
        judge::judge(&scenario, &place, &running.end(LIMIT))?;
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
    for (place, running) in [(); 2].map(|()| start(healthy, &simulated)) {
        judge::judge(healthy, &place, &running.end(LIMIT))?;
    }
    nothing_left(healthy, &simulated)
}

/// Starts a run of what the scenario is tried with.
fn start(scenario: &Scenario, simulated: &Simulated) -> (Place, Running) {
    let place = simulated.place();
    let mut suites: Vec<&str> = scenario.suites.iter().map(String::as_str).collect();
    if suites.is_empty() {
        suites.extend(SUITES);
    }
    let files: Vec<String> = suites.iter().map(|suite| place.suite(suite, &SHORTER)).collect();
    let settle = speed::duration(scenario.settle.map_or(SETTLE, SignedDuration::unsigned_abs));
    let mut arguments = vec!["--allow-disruption", "--timeout", &settle, "--report-dir", "reports"];
    arguments.extend(files.iter().flat_map(|file| ["--suite", file]));
    let running = place.start(place.command(&arguments));
    (place, running)
}

/// No file of a run is left anywhere, unless the cluster was not there to remove it from.
fn nothing_left(scenario: &Scenario, simulated: &Simulated) -> Result<(), Failed> {
    let left = simulated.left();
    if left.is_empty() || scenario.leaves_files { Ok(()) } else { Err(format!("left behind: {left:?}").into()) }
}
