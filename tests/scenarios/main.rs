//! Every scenario of a simulated cluster makes exactly the tests fail that it says, and none hangs.
//!
//! A run is the program itself on a simulation in this process. Its suites' limits are scaled down with the interval.
//! `-- --ignored` runs the healthy scenario a hundred times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use file_simulator_e2e::sim::Simulation;
use file_simulator_e2e::sim::scenario::{self, HEALTHY, Scenario};
use file_simulator_e2e::suite::load::{BUILT_IN, load};
use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The suites of scenarios that name none.
const SUITES: [&str; 2] = ["phase2", "phase3"];
/// What sidecars sleep, in seconds.
const INTERVAL: u64 = 2;
/// What is scaled down with it: limits for a file, and for a rollout.
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

fn main() {
    let mut arguments = Arguments::from_args();
    // Runs wait more than they work.
    let runs = 8 * available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads = arguments.test_threads.or(Some(runs));
    let scenarios = scenario::all().unwrap();
    assert!(scenarios.len() >= 40);
    let healthy = scenarios.iter().find(|scenario| scenario.name == HEALTHY).unwrap().clone();
    let twice = healthy.clone();
    let two = Trial::test("two-runs-at-once", move || two_runs(&twice));
    let again = (1..=100).map(|number| trial(format!("again::{number}"), healthy.clone()).with_ignored_flag(true));
    // The last file has those that take longest.
    let trials = scenarios.iter().rev().map(|scenario| trial(scenario.name.clone(), scenario.clone()));
    libtest_mimic::run(&arguments, trials.chain([two]).chain(again).collect()).exit();
}

fn trial(name: String, scenario: Scenario) -> Trial {
    Trial::test(name, move || {
        let copies_much = scenario.suites.iter().any(|suite| suite == "data-safety");
        let turn = copies_much.then(|| &TURNS[NEXT.fetch_add(1, Ordering::Relaxed) % TURNS.len()]);
        let _turn = turn.map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        let (_runtime, simulation) = simulation(&scenario);
        let run = Run::start(&scenario, &simulation);
        judge(&scenario, run.end())?;
        nothing_left(&scenario, &simulation)
    })
}

/// Each of two runs is green, and neither takes the other's files for its own.
fn two_runs(healthy: &Scenario) -> Result<(), Failed> {
    let (_runtime, simulation) = simulation(healthy);
    let runs = [Run::start(healthy, &simulation), Run::start(healthy, &simulation)];
    for run in runs {
        judge(healthy, run.end())?;
    }
    nothing_left(healthy, &simulation)
}

fn simulation(scenario: &Scenario) -> (Runtime, Simulation) {
    let runtime = Runtime::new().unwrap();
    let simulation = runtime.block_on(Simulation::start(scenario.clone(), INTERVAL)).unwrap();
    (runtime, simulation)
}

/// The program at work.
struct Run {
    child: std::process::Child,
    suites: Vec<String>,
    folder: TempDir,
    started: Instant,
}

/// What it did.
struct Ended {
    code: i32,
    out: String,
    /// By test: PASS, FAIL, ERROR or SKIP, and why.
    results: BTreeMap<String, (String, String)>,
    /// The servers of which more is said; none if there is no folder for it.
    diagnosed: Option<BTreeSet<String>>,
}

impl Run {
    fn start(scenario: &Scenario, simulation: &Simulation) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let suites =
            if scenario.suites.is_empty() { SUITES.map(str::to_owned).into() } else { scenario.suites.clone() };
        let target = simulation.target();
        let mut command = Command::new(env!("CARGO_BIN_EXE_file-simulator-e2e"));
        for suite in &suites {
            command.arg("--suite").arg(scaled(suite, folder.path()));
        }
        command
            .args(["--allow-disruption", "--context", &target.context, "--timeout", SETTLE, "--report-dir"])
            .arg(folder.path())
            .arg("--kubeconfig")
            .arg(target.kubeconfig.unwrap())
            .arg("--host-data")
            .arg(simulation.data());
        let out = std::fs::File::create(folder.path().join("out")).unwrap();
        let child = command.stderr(out.try_clone().unwrap()).stdout(out).stdin(Stdio::null()).spawn().unwrap();
        Self { child, suites, folder, started: Instant::now() }
    }

    fn end(mut self) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() > LIMIT {
                self.child.kill().unwrap();
                panic!("it hangs: {}", self.out());
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let results = self.suites.iter().flat_map(|suite| results(&self.folder.path().join(format!("{suite}.xml"))));
        let diagnosed = std::fs::read_dir(self.folder.path().join("diagnostics")).ok().map(|files| {
            files.map(|file| file.unwrap().file_name().into_string().unwrap().replace(".txt", "")).collect()
        });
        Ended { code: status.code().unwrap_or(-1), results: results.collect(), diagnosed, out: self.out() }
    }

    fn out(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap()
    }
}

/// A built-in suite with scaled limits.
fn scaled(suite: &str, folder: &Path) -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("suites/{suite}.yaml"));
    let text = std::fs::read_to_string(own).unwrap();
    let text = SCALED.iter().fold(text, |text, (long, short)| text.replace(long, short));
    let path = folder.join(format!("{suite}.yaml"));
    std::fs::write(&path, text).unwrap();
    path
}

/// The results that a report has.
fn results(report: &Path) -> Vec<(String, (String, String))> {
    let text = std::fs::read_to_string(report).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let result = |case: roxmltree::Node| {
        let name = format!("{}::{}", case.attribute("classname").unwrap(), case.attribute("name").unwrap());
        let child = case.children().find_map(|child| {
            let outcome = match child.tag_name().name() {
                "failure" => "FAIL",
                "error" => "ERROR",
                "skipped" => "SKIP",
                _ => return None,
            };
            let why = [child.attribute("message"), child.text()].into_iter().flatten().collect::<Vec<_>>().join("\n");
            Some((outcome.to_owned(), why))
        });
        (name, child.unwrap_or_else(|| ("PASS".to_owned(), String::new())))
    };
    cases.map(result).collect()
}

/// Whether exactly the tests did not pass of which the scenario says so, and the exit code says the same.
fn judge(scenario: &Scenario, ended: Ended) -> Result<(), Failed> {
    let Ended { code, out, results, diagnosed } = ended;
    if scenario.refused {
        let is_refused =
            code == 3 && results.values().all(|(outcome, why)| outcome == "ERROR" && why.contains("could not start"));
        return if is_refused { Ok(()) } else { Err(format!("exit code {code}, and not refused:\n{out}").into()) };
    }
    let names: Vec<String> = results.keys().cloned().collect();
    let mut expected: BTreeMap<String, String> =
        scenario.wrong(&names).into_iter().map(|(name, outcome)| (name, outcome.to_owned())).collect();
    let wrong = results.iter().filter(|(_, (outcome, _))| outcome != "PASS" && outcome != "SKIP");
    let mut wrong: BTreeMap<String, String> =
        wrong.map(|(name, (outcome, _))| (name.clone(), outcome.clone())).collect();
    if !scenario.errors_among.is_empty() {
        // Which of them the moment decides: at least one, none of them FAIL.
        let among = |name: &String| scenario.errors_among.iter().any(|part| name.contains(part));
        let moved = wrong.iter().filter(|(name, outcome)| among(name) && *outcome == "ERROR").count();
        wrong.retain(|name, outcome| !(among(name) && outcome == "ERROR"));
        if moved == 0 && !scenario.may_pass {
            expected.insert(format!("one of {:?}", scenario.errors_among), "ERROR".to_owned());
        }
    }
    let with = |outcome: &str| results.values().any(|(its, _)| its == outcome);
    let right = if with("FAIL") {
        1
    } else if with("ERROR") {
        3
    } else {
        0
    };
    if wrong == expected && code == right {
        skipped(scenario, &results)?;
        return looked_at(&results, diagnosed);
    }
    let lines = |these: &BTreeMap<String, String>, others: &BTreeMap<String, String>| {
        let only = these.iter().filter(|(name, outcome)| others.get(*name) != Some(outcome));
        let line = |(name, outcome): (&String, &String)| {
            format!("  {outcome} {name}: {}", results.get(name).map_or("", |(_, why)| why.as_str()))
        };
        only.map(line).collect::<Vec<_>>().join("\n")
    };
    let notices: Vec<&str> = out.lines().rev().take(5).collect();
    Err(format!(
        "exit code {code}, expected {right}\nnot expected:\n{}\nmissing:\n{}\n{}",
        lines(&wrong, &expected),
        lines(&expected, &wrong),
        notices.join("\n")
    )
    .into())
}

/// Exactly those tests are SKIP of which the scenario says so, for its reason; besides those that never judge anything.
fn skipped(scenario: &Scenario, results: &BTreeMap<String, (String, String)>) -> Result<(), Failed> {
    let suites = BUILT_IN.iter().map(|(name, _)| load(name).unwrap());
    let cases = suites.flat_map(|suite| suite.cases).filter(|case| case.check.kind() == "skip");
    let never: BTreeSet<String> = cases.map(|case| case.id.to_string()).collect();
    let skipped = results.iter().filter(|(name, (outcome, _))| outcome == "SKIP" && !never.contains(*name));
    let skipped: BTreeMap<&String, &String> = skipped.map(|(name, (_, why))| (name, why)).collect();
    // As the harness finds out, too.
    let has_low_ports = (600..1024).any(|port| TcpListener::bind(("0.0.0.0", port)).is_ok());
    let names: Vec<String> = results.keys().cloned().collect();
    let expected = scenario.skipped(&names, has_low_ports);
    let is_right = skipped.keys().copied().eq(expected.keys())
        && skipped.values().zip(expected.values()).all(|(why, part)| why.contains(part));
    if is_right { Ok(()) } else { Err(format!("SKIP is {skipped:?}, expected {expected:?}").into()) }
}

/// More is said of every server that FAILs, and nothing of one whose tests are all well.
fn looked_at(results: &BTreeMap<String, (String, String)>, diagnosed: Option<BTreeSet<String>>) -> Result<(), Failed> {
    let servers = |outcomes: &[&str]| -> BTreeSet<String> {
        let its = results.iter().filter(|(_, (outcome, _))| outcomes.contains(&outcome.as_str()));
        its.filter_map(|(name, _)| name.splitn(3, "::").nth(2).map(str::to_owned)).collect()
    };
    // An API server that is out of order tells nothing of servers that only could not be judged.
    let (least, most) = (servers(&["FAIL"]), servers(&["FAIL", "ERROR"]));
    let is_right = diagnosed.as_ref().is_none_or(|seen| !seen.is_empty() && seen.is_subset(&most));
    let seen = diagnosed.unwrap_or_default();
    if is_right && least.is_subset(&seen) { Ok(()) } else { Err(format!("more is said of {seen:?}").into()) }
}

/// No file of a run is left anywhere, unless the cluster was not there to remove it from.
fn nothing_left(scenario: &Scenario, simulation: &Simulation) -> Result<(), Failed> {
    let left = simulation.files("e2e-").unwrap();
    if left.is_empty() || scenario.leaves_files { Ok(()) } else { Err(format!("left behind: {left:?}").into()) }
}
