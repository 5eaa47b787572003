//! What the lane does one after the other: the release is installed, broken, judged, and put back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::catalogue::{self, Round};
use crate::support::lab::{Lab, SERVERS, SHORTER};
use crate::support::place::{Ended, tests};

use super::{OLDER, faults, odd_use};

/// The tests that say where something else is tested.
const SKIPPED: &str = "phase3::win-02::";
/// The longest that a run may take on a usual machine, in which much may be waited for in vain.
const LIMIT: Duration = Duration::from_secs(1800);

/// The stages of the test. A stage that is not as expected does not keep later ones from being looked at.
pub struct Stages {
    lab: Lab,
    pub problems: Vec<String>,
}

impl Stages {
    pub fn new() -> Self {
        let lab = Lab::find();
        lab.install_anew(SERVERS);
        Self { lab, problems: Vec::new() }
    }

    /// Runs a round's suites and compares what is wrong with what its faults should make wrong.
    fn judge(&mut self, round: &Round) -> Ended {
        let run = run(&self.lab, round);
        let mut found = differences(&run, round);
        // Whatever became of the tests.
        found.extend(self.lab.leftovers("e2e-").iter().map(|file| format!("left behind: {file}")));
        if !found.is_empty() {
            println!("{}", run.all());
        }
        let name = round.name;
        self.problems.extend(found.iter().map(|what| format!("{name}: {what}")));
        println!("{name}: {} tests in {:.1?}, {} problems", run.results.len(), run.took, found.len());
        run
    }

    /// The same with its faults put in, if it has any, and undone again.
    pub fn judge_faults(&mut self, round: &Round) {
        self.lab.apply(&round.faults);
        self.judge(round);
        if !round.faults.is_empty() {
            self.lab.undo(&round.faults);
        }
    }

    pub fn judge_odd_use(&mut self, round: &Round) {
        let client = self.lab.use_oddly();
        self.judge(round);
        if !self.lab.end_odd_use(client) {
            self.problems.push("oddly used: another run's file was removed".to_owned());
        }
        self.lab.install_anew(&faults::of(&odd_use::USED));
    }

    pub fn judge_upgrades(&mut self, round: &Round) {
        self.lab.apply(&round.faults);
        if !self.judge(round).all().contains("tests judge by it") {
            self.problems.push("upgraded: the run does not say which revision tests judge by".to_owned());
        }
        self.lab.install();
    }

    /// An older chart takes the place of a release that is healthy again, and goes again.
    pub fn judge_older_chart(&mut self) {
        self.judge(&Round::usual("healthy again", Vec::new()));
        let [usual, nfs] = catalogue::older();
        self.lab.apply(&usual.faults);
        self.judge(&usual);
        self.judge(&nfs);
        self.lab.install();
        self.judge(&Round::usual("the chart again", Vec::new()));
    }
}

/// Runs a round's suites to their end; where `RECORDINGS` names a folder, recorded there under the round's name.
fn run(lab: &Lab, round: &Round) -> Ended {
    let folder = std::env::var_os("RECORDINGS").map(PathBuf::from);
    let is_recorded = folder.is_some();
    // Once is enough of what is the same; and what the moment decides is the same in no two recordings.
    let folder = folder.filter(|_| !round.name.contains(' ') && round.name != "upgraded");
    let record = folder.map(|folder| folder.join(format!("{}.json.gz", round.name)));
    let Round { suites, skip, .. } = round;
    let (place, shorter) = (lab.place(), if round.name.contains(OLDER) { &[] } else { &SHORTER[..] });
    // A recording is of the suites as they are.
    let suite = |name: &&str| if is_recorded { (*name).to_owned() } else { place.suite(name, shorter) };
    let suites: Vec<String> = suites.iter().map(suite).collect();
    let suites = suites.iter().flat_map(|suite| ["--suite", suite]);
    let skip = skip.iter().flat_map(|part| ["--skip", part]);
    let arguments: Vec<&str> = suites.chain(skip).chain(round.disrupts.then_some("--allow-disruption")).collect();
    let mut command = place.command(&arguments);
    command.envs(record.map(|path| ("FILE_SIMULATOR_RECORD", path)));
    place.start(command).end(LIMIT)
}

/// What the run says otherwise than expected, in a line each.
fn differences(run: &Ended, round: &Round) -> Vec<String> {
    let mut all = tests(round.suites);
    all.retain(|name| !round.skip.iter().any(|part| name.contains(part)));
    let expected: BTreeMap<_, _> = round.faults.iter().flat_map(|fault| catalogue::wrong(fault, &all)).collect();
    let mut found = Vec::new();
    for (name, (outcome, why)) in &run.results {
        // Of one server at the same time, the test whose request ended it; how far others had come decides the moment.
        let is_late =
            |(first, outcome): (&String, &&str)| *outcome == "FAIL" && why.contains(&format!("blocked by {first}"));
        if round.suites == ["nfs"] && *outcome == "ERROR" && expected.iter().any(is_late) {
            continue;
        }
        let healthy = if name.starts_with(SKIPPED) { "SKIP" } else { "PASS" };
        let expected = expected.get(name).copied().unwrap_or(healthy);
        if expected != *outcome {
            found.push(format!("{name}: expected {expected}, was {outcome}"));
        }
    }
    let missing = all.iter().chain(expected.keys()).filter(|name| !run.results.contains_key(*name));
    found.extend(missing.map(|name| format!("{name}: missing")));
    let exit = i32::from(expected.values().any(|outcome| *outcome == "FAIL"));
    if run.code != exit {
        found.push(format!("expected exit code {exit}, was {}", run.code));
    }
    found
}
