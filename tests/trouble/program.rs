//! Disrupted runs, checks of their results, and recovery of the real cluster's servers.

use std::time::Duration;

use crate::support::speed;
use crate::support::test_cluster::{SERVERS, SHORTER, TestCluster};
use crate::support::workspace::{RunResult, Running, Workspace};

/// For changes of the cluster, on a usual machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// Returns when the first report exists: before that, there is nothing to interrupt.
pub fn start(workspace: &Workspace, suite: &str, arguments: &[&str]) -> Running {
    // Some tests time out, so limits are shorter.
    let file = workspace.suite(suite, &SHORTER);
    let mut running = workspace.begin(&[&["--suite", &file, "--allow-disruption"], arguments].concat());
    let report = workspace.path(&format!("reports/{suite}.xml"));
    running.wait_for("its first report", || report.exists());
    running
}

pub fn wait_for(what: &str, holds: impl FnMut() -> bool) {
    speed::until(what, PATIENCE, holds);
}

impl RunResult {
    /// The prefix of all names if the run ended before it printed its own.
    pub fn run_name(&self) -> &str {
        self.out.lines().find_map(|line| line.strip_prefix("run:")).map_or("e2e-", str::trim)
    }

    /// Problems, one line each: missing tests, FAILs, an exit code other than `codes`, a run longer than `bound` on a usual
    /// machine, and the files in `left`.
    pub fn problems(&self, codes: &[i32], (elapsed, bound): (Duration, Duration), left: &[String]) -> Vec<String> {
        let mut problems = self.missing();
        problems.extend(self.with("FAIL").iter().map(|name| format!("FAIL {name}")));
        if !codes.contains(&self.code) {
            problems.push(format!("exit code {} with {} ERROR", self.code, self.with("ERROR").len()));
        }
        if elapsed > speed::scaled(bound) {
            problems.push(format!("took {elapsed:?}"));
        }
        problems.extend(left.iter().map(|path| format!("leftover: {path}")));
        problems
    }

    /// Leftover files that the output does not name.
    pub fn unnamed(&self, left: &[String]) -> Vec<String> {
        // rsync's temporary file `.NAME.XXXXXX` counts as named with the file.
        let of_rsync = |part: &str| Some(part.strip_prefix('.')?.rsplit_once('.')?.0.to_owned());
        let base = |part: &str| of_rsync(part).unwrap_or_else(|| part.to_owned());
        let name = |path: &String| path.split([' ', '/']).map(base).find(|part| part.starts_with("e2e-"));
        let unnamed = left.iter().filter(|path| name(path).is_none_or(|name| !self.all().contains(&name)));
        unnamed.cloned().collect()
    }
}

impl TestCluster {
    /// The pods, unless each of the seven servers has exactly one pod, Ready and not terminating.
    pub fn not_ready(&self) -> Option<String> {
        let columns = "jsonpath={range .items[*]}{.metadata.labels['app\\.kubernetes\\.io/component']} \
                    {.status.conditions[?(@.type=='Ready')].status}{.metadata.deletionTimestamp}{'\\n'}{end}";
        let running = "--field-selector=status.phase=Running";
        let pods = self.kubectl(&["get", "pods", "-l", SERVERS, running, "-o", columns]);
        let mut ready: Vec<&str> = pods.lines().filter_map(|pod| pod.strip_suffix(" True")).collect();
        ready.sort_unstable();
        ready.dedup();
        let is_ready = ready.len() == 7 && pods.lines().count() == 7;
        (!is_ready).then(|| format!("not all servers are Ready:\n{pods}"))
    }

    pub fn wait_until_ready(&self) {
        wait_for("Ready servers", || self.not_ready().is_none());
    }

    /// A run's leftover files once all servers are Ready again; reinstalls the release to remove them.
    pub fn left_by(&self, ended: &RunResult) -> Vec<String> {
        self.wait_until_ready();
        let left = self.leftovers(ended.run_name());
        if !left.is_empty() {
            self.reinstall(SERVERS);
        }
        left
    }

    /// Replaces a server's pod, so that it mounts its folder again.
    pub fn replace(&self, server: &str) {
        self.kubectl(&["delete", "pod", "-l", &format!("app.kubernetes.io/component={server}")]);
        self.wait_until_ready();
    }
}
