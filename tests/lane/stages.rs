//! What the lane does one after the other: the release is installed, broken, judged, and put back as it was.

use crate::support::catalogue::{Round, catalogue};
use crate::support::lab::{Lab, SERVERS};
use crate::support::wrong::Wrong;

use super::odd_use;
use super::restore::{self, State};
use super::run::{differences, run};

/// The stages of the test. A stage that is not as expected does not keep later ones from being looked at.
pub struct Stages {
    lab: Lab,
    installed: State,
    pub problems: Vec<String>,
}

impl Stages {
    pub fn new() -> Self {
        let lab = Lab::find();
        lab.install_anew(SERVERS);
        Self { installed: lab.state(), lab, problems: Vec::new() }
    }

    /// Puts the release back as it was installed; what is still otherwise is a problem, and not the next round's.
    fn restore(&mut self, name: &str, what: impl FnOnce(&Lab)) {
        what(&self.lab);
        let found = restore::differences(&self.installed, &self.lab.state());
        if !found.is_empty() {
            self.problems.extend(found.iter().map(|what| format!("{name}, undone: {what}")));
            self.lab.install_anew(SERVERS);
        }
    }

    /// Runs a round's suites and compares what is wrong with what its faults should make wrong.
    fn judge(&mut self, round: &Round) {
        let name = &round.name;
        let run = run(&self.lab, round);
        let mut found = differences(&run, round, &round.wrong(&run.listed));
        // Whatever became of the tests.
        found.extend(self.lab.leftovers("e2e-").iter().map(|file| format!("left behind: {file}")));
        if !found.is_empty() {
            println!("{}", run.all());
        }
        self.problems.extend(found.iter().map(|what| format!("{name}: {what}")));
        println!("{name}: {} tests in {:.1?}, {} problems", run.results.len(), run.took, found.len());
    }

    /// The same with its faults put in, if it has any, and undone again.
    pub fn judge_faults(&mut self, round: &Round) {
        if round.faults.is_empty() {
            return self.judge(round);
        }
        self.lab.apply(&round.faults);
        self.judge(round);
        self.restore(&round.name, |lab| lab.undo(&round.faults));
    }

    pub fn judge_odd_use(&mut self, round: &Round) {
        let client = self.lab.use_oddly();
        self.judge(round);
        if !self.lab.end_odd_use(client) {
            self.problems.push("oddly used: another run's file was removed".to_owned());
        }
        self.restore(&round.name, |lab| lab.install_anew(&restore::of(&odd_use::USED)));
    }

    /// Upgrades the release and does not wait until its pods are Ready, which they become: only what helm says is wrong then.
    pub fn judge_upgrades(&mut self) {
        let limits = ["resources.limits.memory=192Mi", "sidecar.resources.limits.memory=96Mi"];
        let limits = limits.map(|limit| format!("nasDefaults.{limit}"));
        let arguments = ["--set", &limits[0], "--set", &limits[1], "--timeout", "1s"];
        assert!(!self.lab.upgrade(&arguments), "an upgrade that should take longer");
        let suites = ["phase2", "phase3", "release"].map(str::to_owned).to_vec();
        let round = Round { suites, ..Round::healthy("given up") };
        let run = run(&self.lab, &round);
        let expected = ["phase2::release", "release::release"].map(|name| (name.to_owned(), "FAIL"));
        let mut found = differences(&run, &round, &Wrong::from(expected));
        if !run.all().contains("tests judge by it") {
            found.push("the run does not say which revision tests judge by".to_owned());
        }
        self.problems.extend(found.iter().map(|what| format!("given up: {what}")));
        self.restore("upgraded", Lab::install);
    }

    /// An older chart takes the place of a release that is healthy again, and goes again.
    pub fn judge_older_chart(&mut self) {
        self.judge(&Round::healthy("healthy again"));
        let [usual, nfs] = catalogue().older;
        self.lab.apply(&usual.faults);
        self.judge(&usual);
        self.judge(&nfs);
        self.restore(&usual.name, Lab::install);
        self.judge(&Round::healthy("the chart again"));
    }
}
