//! The stages of a round: break the release, judge it, restore it.

use crate::support::catalogue::{Round, catalogue};
use crate::support::expected::Expected;
use crate::support::test_cluster::{SERVERS, TestCluster};

use super::restore::{self, State};
use super::run::{differences, run};
use super::unusual_use;

/// Collects problems, so that a failed stage does not prevent later ones.
pub struct Stages {
    cluster: TestCluster,
    installed: State,
    pub problems: Vec<String>,
}

impl Stages {
    pub fn new() -> Self {
        let cluster = TestCluster::find();
        cluster.reinstall(SERVERS);
        Self { installed: cluster.state(), cluster, problems: Vec::new() }
    }

    /// Remaining differences are problems; reinstalls the release to keep them out of the next round.
    fn restore(&mut self, name: &str, undo: impl FnOnce(&TestCluster)) {
        undo(&self.cluster);
        let found = restore::differences(&self.installed, &self.cluster.state());
        if !found.is_empty() {
            self.problems.extend(found.iter().map(|what| format!("{name}, not restored: {what}")));
            self.cluster.reinstall(SERVERS);
        }
    }

    fn judge(&mut self, round: &Round) {
        let name = &round.name;
        let run = run(&self.cluster, round);
        let mut found = differences(&run, round, &round.expected(&run.listed));
        found.extend(self.cluster.leftovers("e2e-").iter().map(|file| format!("leftover: {file}")));
        if !found.is_empty() {
            println!("{}", run.all());
        }
        self.problems.extend(found.iter().map(|what| format!("{name}: {what}")));
        println!("{name}: {} tests in {:.1?}, {} problems", run.results.len(), run.elapsed, found.len());
    }

    pub fn judge_faults(&mut self, round: &Round) {
        if round.faults.is_empty() {
            return self.judge(round);
        }
        self.cluster.apply(&round.faults);
        self.judge(round);
        self.restore(&round.name, |cluster| cluster.undo(&round.faults));
    }

    pub fn judge_unusual_use(&mut self, round: &Round) {
        let client = self.cluster.start_unusual_use();
        self.judge(round);
        if !self.cluster.end_unusual_use(client) {
            self.problems.push(format!("{}: another run's file was removed", round.name));
        }
        self.restore(&round.name, |cluster| cluster.reinstall(&restore::selector(&unusual_use::USED)));
    }

    /// An upgrade times out although its pods become Ready: only the revision's status is wrong.
    pub fn judge_upgrades(&mut self) {
        let limits = ["resources.limits.memory=192Mi", "sidecar.resources.limits.memory=96Mi"];
        let limits = limits.map(|limit| format!("nasDefaults.{limit}"));
        let arguments = ["--set", &limits[0], "--set", &limits[1], "--timeout", "1s"];
        assert!(!self.cluster.upgrade(&arguments), "the upgrade must time out");
        let suites = ["phase2", "phase3", "release"].map(str::to_owned).to_vec();
        let round = Round { suites, ..Round::healthy("timed out") };
        let run = run(&self.cluster, &round);
        let expected = ["phase2::release", "release::release"].map(|name| (name.to_owned(), "FAIL"));
        let mut found = differences(&run, &round, &Expected::from(expected));
        if !run.all().contains("tests judge by it") {
            found.push("the run does not show which revision tests judge by".to_owned());
        }
        self.problems.extend(found.iter().map(|what| format!("{}: {what}", round.name)));
        self.restore("upgraded", TestCluster::install);
    }

    pub fn judge_older_chart(&mut self) {
        self.judge(&Round::healthy("healthy again"));
        let [usual, nfs] = catalogue().older;
        self.cluster.apply(&usual.faults);
        self.judge(&usual);
        self.judge(&nfs);
        self.restore(&usual.name, TestCluster::install);
        self.judge(&Round::healthy("the chart again"));
    }
}
