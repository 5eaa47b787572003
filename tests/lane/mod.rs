//! The suites on a real cluster: green on a healthy release, and each fault makes exactly its own tests
//! fail.
//!
//! Installs the release anew, more than once: `cargo test --test cluster -- --ignored lane::`.
//! `ROUNDS=drifted,healthy` runs these alone; `upgraded` is what `--changes` says.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::support::catalogue::{self, Round};
use crate::support::lab::Lab;
use crate::support::place::Ended;

mod faults;
mod odd_use;
mod upgrade;

use faults::Chart;

/// The tests that say where something else is tested.
const SKIPPED: &str = "phase3::win-02::";
/// Those that need to be allowed.
const DISTURBS: &str = "data-safety::reserved-names::";

/// For `find`: files that a run writes.
const FILES_OF_RUNS: [&str; 7] = ["-name", "*e2e-*", "-not", "-name", OF_A_KILLED_RUN, "-type", "f"];
/// What a run left that was killed before it could tidy up.
const OF_A_KILLED_RUN: &str = "e2e-00000000-phase3-latency-nas-output-2-sync.txt";
/// How the name of a server's folder begins while it is moved away.
const MOVED: &str = "moved-away-";

/// The longest that a run may take on a usual machine, in which much may be waited for in vain.
const LIMIT: Duration = Duration::from_secs(1800);

pub fn tests() -> Vec<Trial> {
    trials!("lane::real": the_suites_on_a_real_cluster)
}

fn the_suites_on_a_real_cluster() {
    let only = std::env::var("ROUNDS").ok();
    let mut stages = Stages { lab: Lab::find(), started: Instant::now(), problems: Vec::new() };
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
        let run = run(&self.lab, round);
        let expected: BTreeMap<_, _> =
            round.faults.iter().flat_map(|fault| catalogue::wrong(fault, &run.listed)).collect();
        let mut found = differences(&run, round, &expected);
        // Whatever became of the tests.
        found.extend(self.lab.leftovers().iter().map(|file| format!("left behind: {file}")));
        if !found.is_empty() {
            println!("{}", run.all());
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

/// Runs a round's suites to their end; where `RECORDINGS` names a folder, recorded there under the round's name.
fn run(lab: &Lab, round: &Round) -> Ended {
    let folder = std::env::var_os("RECORDINGS").map(PathBuf::from);
    // Once is enough of what is the same.
    let folder = folder.filter(|_| !round.name.ends_with("again"));
    let record = folder.map(|folder| folder.join(format!("{}.json.gz", round.name)));
    let Round { suites, skip, .. } = round;
    let suites = suites.iter().flat_map(|suite| ["--suite", suite]);
    let skip = skip.iter().flat_map(|part| ["--skip", part]);
    let arguments: Vec<&str> = suites.chain(skip).chain(round.disrupts.then_some("--allow-disruption")).collect();
    let place = lab.place();
    let mut command = place.command(&arguments);
    command.envs(record.map(|path| ("FILE_SIMULATOR_RECORD", path)));
    let mut running = place.start(command);
    running.listed = place.listed(&arguments);
    running.end(LIMIT)
}

/// What the run says otherwise than expected, in a line each.
fn differences(run: &Ended, round: &Round, expected: &BTreeMap<String, &str>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, (outcome, _)) in &run.results {
        let is_skipped = name.starts_with(SKIPPED) || !round.disrupts && name.starts_with(DISTURBS);
        let healthy = if is_skipped { "SKIP" } else { "PASS" };
        let expected = expected.get(name).copied().unwrap_or(healthy);
        if expected != *outcome {
            found.push(format!("{name}: expected {expected}, was {outcome}"));
        }
    }
    found.extend(run.missing());
    found
        .extend(expected.keys().filter(|name| !run.results.contains_key(*name)).map(|name| format!("{name}: missing")));
    let exit = i32::from(!expected.is_empty());
    if run.code != exit {
        found.push(format!("expected exit code {exit}, was {}", run.code));
    }
    found
}
