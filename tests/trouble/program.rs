//! The program at work, and what is known of it afterwards.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use file_simulator_e2e::sim::Simulation;
use file_simulator_e2e::sim::scenario::{self, HEALTHY};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::harness;
use crate::lab::Lab;

/// No run takes longer than this, whatever happens to it.
const LIMIT: Duration = Duration::from_secs(240);

/// Which cluster a run is for.
#[derive(Debug, Clone)]
pub struct Place {
    pub kubeconfig: PathBuf,
    pub context: String,
    /// The tester's folder.
    pub folder: PathBuf,
}

impl Place {
    pub fn of(lab: &Lab) -> Self {
        let Lab { kubeconfig, context, folder, .. } = lab;
        Self { kubeconfig: kubeconfig.clone(), context: (*context).to_owned(), folder: folder.clone() }
    }

    /// A simulated cluster without a fault; gone when dropped.
    pub fn simulated() -> (Runtime, Simulation, Self) {
        let runtime = Runtime::new().unwrap();
        let simulation = runtime.block_on(Simulation::start(scenario::named(HEALTHY).unwrap(), 2)).unwrap();
        let target = simulation.target();
        let folder = simulation.data().to_owned();
        (runtime, simulation, Self { kubeconfig: target.kubeconfig.unwrap(), context: target.context, folder })
    }
}

/// The program at work.
pub struct Program {
    suite: String,
    child: Child,
    reports: TempDir,
    started: Instant,
    listed: Vec<String>,
}

/// What it did.
pub struct Ended {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// Each test with PASS, FAIL, ERROR or SKIP.
    pub outcomes: BTreeMap<String, &'static str>,
    /// The tests that it should have reported.
    pub listed: Vec<String>,
    pub took: Duration,
}

impl Program {
    /// Starts it, and returns when its first report is there: before that there is nothing to interrupt.
    pub fn start(place: &Place, suite: &str, arguments: &[&str]) -> Self {
        let reports = tempfile::tempdir().unwrap();
        let command = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_file-simulator-e2e"));
            command.args(["--suite", suite, "--allow-disruption", "--context", &place.context]);
            command.arg("--kubeconfig").arg(&place.kubeconfig).arg("--host-data").arg(&place.folder);
            command.arg("--report-dir").arg(reports.path()).args(arguments).stdin(Stdio::null());
            command
        };
        let listed = String::from_utf8(command().arg("--list").output().unwrap().stdout).unwrap();
        let listed = listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
        let out = File::create(reports.path().join("out")).unwrap();
        let child = command().stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        let program = Self { suite: suite.to_owned(), child, reports, started: Instant::now(), listed };
        while !program.report().exists() {
            assert!(program.started.elapsed() < LIMIT, "no report: {}", program.out());
            std::thread::sleep(Duration::from_millis(2));
        }
        program
    }

    /// Sends it a signal; it may have ended.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        while !self.has_ended() {
            if self.started.elapsed() > LIMIT {
                self.child.kill().unwrap();
                panic!("it hangs: {}", self.out());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ended {
            code: self.child.wait().unwrap().code(),
            out: self.out(),
            outcomes: harness::read(&self.report()).into_iter().collect(),
            took: self.started.elapsed(),
            listed: self.listed,
        }
    }

    fn report(&self) -> PathBuf {
        self.reports.path().join(format!("{}.xml", self.suite))
    }

    fn out(&self) -> String {
        std::fs::read_to_string(Path::new(self.reports.path()).join("out")).unwrap()
    }
}

impl Ended {
    /// How many tests ended in that way.
    pub fn count(&self, outcome: &str) -> usize {
        self.outcomes.values().filter(|its| **its == outcome).count()
    }

    /// The run's name; if it did not get so far as to say it, what all names begin with.
    pub fn run(&self) -> &str {
        self.out.lines().find_map(|line| line.strip_prefix("run:")).map_or("e2e-", str::trim)
    }

    /// Files that were left and that it does not name.
    pub fn untold(&self, left: &[String]) -> Vec<String> {
        // rsync's temporary `.NAME.XXXXXX` is told with the file.
        let of_rsync = |part: &str| Some(part.strip_prefix('.')?.rsplit_once('.')?.0.to_owned());
        let own = |part: &str| of_rsync(part).unwrap_or_else(|| part.to_owned());
        let name = |path: &String| path.split([' ', '/']).map(own).find(|part| part.starts_with("e2e-"));
        let untold = left.iter().filter(|path| name(path).is_none_or(|name| !self.out.contains(&name)));
        untold.cloned().collect()
    }

    /// Tests that are not reported.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.listed.iter().filter(|name| !self.outcomes.contains_key(*name));
        missing.map(|name| format!("{name}: missing")).collect()
    }
}
