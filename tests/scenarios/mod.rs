//! Each scenario of the simulated cluster makes exactly the expected tests fail, and no run hangs.
//!
//! Runs the program on a simulation in this process, with shorter limits and sync interval. `-- --ignored` runs the healthy
//! scenario twenty times.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use file_simulator_e2e::sim::scenario::{self, HEALTHY, Scenario};
use jiff::SignedDuration;
use libtest_mimic::{Failed, Trial};

use crate::support::simulated::Simulated;
use crate::support::speed;
use crate::support::workspace::{Running, Workspace};

mod judge;

const SUITES: [&str; 2] = ["phase2", "phase3"];
/// Replacements in suites, in this order.
const SHORTER: [(&str, &str); 4] = [
    ("within: 10s", "within: 4s"),
    ("within: 60s", "within: 8s"),
    ("tolerance: 3s", "tolerance: 1s"),
    ("within: 30s", "within: 8s"),
];
const SETTLE: Duration = Duration::from_secs(8);
/// On a usual machine.
const LIMIT: Duration = Duration::from_secs(100);

/// At most two runs copy many files at once: more would starve each other on few cores.
static COPY_SLOTS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);

pub fn tests() -> Vec<Trial> {
    let scenarios = scenario::all().unwrap();
    assert!(
        (40..60).contains(&scenarios.len()),
        "{} scenarios; test what you can on the real cluster",
        scenarios.len()
    );
    let healthy = scenarios.iter().find(|scenario| scenario.name == HEALTHY).unwrap().clone();
    let shared = healthy.clone();
    let two = Trial::test("scenarios::two-runs-at-once", move || two_runs(&shared));
    let again = (1..=20).map(|number| trial(format!("again::{number}"), healthy.clone()).with_ignored_flag(true));
    // The slowest scenarios are in the last file.
    let trials =
        scenarios.iter().rev().map(|scenario| trial(format!("scenarios::{}", scenario.name), scenario.clone()));
    trials.chain([two]).chain(again).collect()
}

fn trial(name: String, scenario: Scenario) -> Trial {
    Trial::test(name, move || {
        let copies_many_files = scenario.suites.iter().any(|suite| suite == "data-safety");
        let _slot = copies_many_files.then(copy_slot);
        let simulated = Simulated::new(scenario.clone());
        let (workspace, running) = start(&scenario, &simulated);
        judge::judge(&scenario, &workspace, &running.end(LIMIT))?;
        check_leftovers(&scenario, &simulated)
    })
}

pub fn copy_slot() -> MutexGuard<'static, ()> {
    COPY_SLOTS[NEXT_SLOT.fetch_add(1, Ordering::Relaxed) % COPY_SLOTS.len()]
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Neither run removes the other's files.
fn two_runs(healthy: &Scenario) -> Result<(), Failed> {
    let simulated = Simulated::new(healthy.clone());
    for (workspace, running) in [(); 2].map(|()| start(healthy, &simulated)) {
        judge::judge(healthy, &workspace, &running.end(LIMIT))?;
    }
    check_leftovers(healthy, &simulated)
}

fn start(scenario: &Scenario, simulated: &Simulated) -> (Workspace, Running) {
    let workspace = simulated.workspace();
    let mut suites: Vec<&str> = scenario.suites.iter().map(String::as_str).collect();
    if suites.is_empty() {
        suites.extend(SUITES);
    }
    let files: Vec<String> = suites.iter().map(|suite| workspace.suite(suite, &SHORTER)).collect();
    let settle = speed::duration(scenario.settle.map_or(SETTLE, SignedDuration::unsigned_abs));
    let mut arguments = vec!["--allow-disruption", "--timeout", &settle, "--report-dir", "reports"];
    arguments.extend(files.iter().flat_map(|file| ["--suite", file]));
    let running = workspace.start(workspace.command(&arguments));
    (workspace, running)
}

fn check_leftovers(scenario: &Scenario, simulated: &Simulated) -> Result<(), Failed> {
    let leftovers = simulated.leftovers();
    let is_right = leftovers.is_empty() || scenario.leaves_files;
    if is_right { Ok(()) } else { Err(format!("leftover files: {leftovers:?}").into()) }
}
