//! What happens around a run: requests to stop at random moments, an API server that goes away, a tester's folder that
//! fills, turns read-only or vanishes, and a node that is short of CPU.
//!
//! On the real cluster four landings in a row see all of it; `ROUNDS=all` chooses all.

use std::time::Duration;

use libtest_mimic::Trial;
use rand::RngExt;

use crate::support::lab::{Lab, SERVERS, SHORTER};
use crate::support::place::{Ended, LIMIT, Place, Running};
use crate::support::speed;

mod folders;
mod interrupts;
mod outages;
mod short_of_cpu;

pub fn tests() -> Vec<Trial> {
    let always = trials!("trouble::simulated": interrupts::a_run_can_be_stopped_at_any_moment);
    let as_root = trials!("trouble::root":
        folders::a_folder_that_is_full_or_read_only_and_a_file_that_cannot_be_touched_are_named);
    let real = trials!("trouble::real":
        interrupts::a_run_on_a_real_cluster_can_be_stopped_at_any_moment,
        outages::an_api_server_that_goes_away_makes_no_test_fail,
        folders::a_real_folder_that_fills_turns_read_only_or_vanishes_is_named,
        short_of_cpu::a_node_short_of_cpu_is_green);
    [always, as_root, real].into_iter().flatten().collect()
}

/// The suites, and about how long each takes on the real cluster, in milliseconds.
const SUITES: [(&str, u64); 7] = [
    ("phase2", 2000),
    ("phase3", 14_500),
    ("nfs", 700),
    ("data-safety", 17_000),
    ("release", 150),
    ("smoke", 900),
    ("restarts", 43_000),
];

/// A moment before so many milliseconds are over, another one each time.
fn moment(millis: u64) -> Duration {
    Duration::from_millis(rand::rng().random_range(0..millis))
}

/// How long a usual cluster may take for what it does by itself.
const PATIENCE: Duration = Duration::from_secs(150);

/// Starts a suite, and returns when its first report is there: before that there is nothing to interrupt.
fn start(place: &Place, suite: &str, arguments: &[&str]) -> Running {
    // Some of them wait in vain.
    let file = place.suite(suite, &SHORTER);
    let mut running = place.start(place.command(&[&["--suite", &file, "--allow-disruption"], arguments].concat()));
    let report = place.path(&format!("reports/{suite}.xml"));
    running.wait_for("its first report", LIMIT, |_| report.exists());
    running
}

fn wait_for(what: &str, holds: impl FnMut() -> bool) {
    speed::until(what, PATIENCE, holds);
}

impl Ended {
    /// What is not as it should be, whatever happened around the suite: a test without a result, a FAIL, and what is left.
    pub fn problems(&self, suite: &str, left: &[String]) -> Vec<String> {
        let fails = self.with("FAIL").into_iter().map(|name| format!("FAIL {name}"));
        let left = left.iter().map(|path| format!("left behind: {path}"));
        self.missing(&[suite]).into_iter().chain(fails).chain(left).collect()
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
        let untold = left.iter().filter(|path| name(path).is_none_or(|name| !self.all().contains(&name)));
        untold.cloned().collect()
    }
}

impl Lab {
    /// What its pods are; none if each of the seven servers has exactly one that is Ready and stays.
    pub fn not_ready(&self) -> Option<String> {
        let told = "jsonpath={range .items[*]}{.metadata.labels['app\\.kubernetes\\.io/component']} \
                    {.status.conditions[?(@.type=='Ready')].status}{.metadata.deletionTimestamp}{'\\n'}{end}";
        let running = "--field-selector=status.phase=Running";
        let pods = self.kubectl(&["get", "pods", "-l", SERVERS, running, "-o", told]);
        let mut ready: Vec<&str> = pods.lines().filter_map(|pod| pod.strip_suffix(" True")).collect();
        ready.sort_unstable();
        ready.dedup();
        let is_ready = ready.len() == 7 && pods.lines().count() == 7;
        (!is_ready).then(|| format!("not all servers are Ready:\n{pods}"))
    }

    fn wait_until_ready(&self) {
        wait_for("Ready servers", || self.not_ready().is_none());
    }

    /// What a run left, once all servers are Ready again; for the next run it is gone.
    pub fn left_by(&self, ended: &Ended) -> Vec<String> {
        self.wait_until_ready();
        let left = self.leftovers(ended.run());
        if !left.is_empty() {
            self.install_anew(SERVERS);
        }
        left
    }

    /// Replaces a server's pod, so that it mounts its folder anew.
    pub fn replace(&self, server: &str) {
        self.kubectl(&["delete", "pod", "-l", &format!("app.kubernetes.io/component={server}")]);
        self.wait_until_ready();
    }
}
