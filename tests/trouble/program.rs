//! A run around which something happens, what is known of it afterwards, and the servers of the real cluster until they are
//! as they were.

use std::time::Duration;

use crate::support::lab::{Lab, SERVERS, SHORTER};
use crate::support::place::{Ended, Place, Running};
use crate::support::speed;

/// How long a usual cluster may take for what it does by itself.
const PATIENCE: Duration = Duration::from_secs(150);

/// Starts a suite, and returns when its first report is there: before that there is nothing to interrupt.
pub fn start(place: &Place, suite: &str, arguments: &[&str]) -> Running {
    // Some of them wait in vain.
    let file = place.suite(suite, &SHORTER);
    let mut running = place.begin(&[&["--suite", &file, "--allow-disruption"], arguments].concat());
    let report = place.path(&format!("reports/{suite}.xml"));
    running.wait_for("its first report", || report.exists());
    running
}

pub fn wait_for(what: &str, holds: impl FnMut() -> bool) {
    speed::until(what, PATIENCE, holds);
}

impl Ended {
    /// The run's name; if it did not get so far as to say it, what all names begin with.
    pub fn run(&self) -> &str {
        self.out.lines().find_map(|line| line.strip_prefix("run:")).map_or("e2e-", str::trim)
    }

    /// What is not as it should be around whatever went wrong, in a line each; `took` is held to a bound of a usual machine, and
    /// `left` are files that should not be.
    pub fn problems(&self, codes: &[i32], (took, bound): (Duration, Duration), left: &[String]) -> Vec<String> {
        let mut problems = self.missing();
        problems.extend(self.with("FAIL").iter().map(|name| format!("FAIL {name}")));
        if !codes.contains(&self.code) {
            problems.push(format!("exit code {} with {} ERROR", self.code, self.with("ERROR").len()));
        }
        if took > speed::scaled(bound) {
            problems.push(format!("it took {took:?}"));
        }
        problems.extend(left.iter().map(|path| format!("left behind: {path}")));
        problems
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

    pub fn wait_until_ready(&self) {
        wait_for("Ready servers", || self.not_ready().is_none());
    }

    /// Files that a run left when all servers are Ready again, which go with the release that has them.
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
