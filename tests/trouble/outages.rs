//! The API server fails during a run, for 3 s or for good. Affected tests are ERROR, never FAIL; nothing hangs; the output names
//! leftover files.

use std::process::Command;
use std::time::Duration;

use crate::support::test_cluster::{TestCluster, output, scripted};
use crate::support::workspace::{LIMIT, RunResult};
use crate::support::{share, speed};

use super::program::{start, wait_for};
use super::{Moments, SUITES};

/// The runs' `--timeout`.
const SETTLE: Duration = Duration::from_secs(20);
/// For a run whose API server stays down.
const BOUND: Duration = Duration::from_secs(120);
const SHORT: Duration = Duration::from_secs(3);

struct ApiServer {
    command: Vec<String>,
    is_down: bool,
}

impl ApiServer {
    fn find() -> Self {
        let command = std::fs::read(format!("/proc/{}/cmdline", pid())).unwrap();
        let words = command.split(|byte| *byte == 0).map(|word| String::from_utf8(word.to_vec()).unwrap());
        let command: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        assert_eq!(command[0], "kube-apiserver");
        Self { command, is_down: false }
    }

    fn kill(&mut self) {
        let pid = pid();
        self.is_down = true;
        output(Command::new("kill").args(["-KILL", &pid]));
        wait_for("the API server's exit", || !std::fs::exists(format!("/proc/{pid}")).unwrap());
    }

    /// Starts it as `fixtures/cluster/up` does, and waits until it is ready.
    fn start(&mut self) {
        let start = r#"setsid nohup "$@" >>"$CLUSTER_DIR/log/apiserver.log" 2>&1 </dev/null & echo $! >"$CLUSTER_DIR/apiserver.pid""#;
        output(scripted(start).args(&self.command));
        let ready =
            || scripted(r#"kubectl --kubeconfig "$kubeconfig" get --raw /readyz"#).output().unwrap().status.success();
        wait_for("a ready API server", ready);
        self.is_down = false;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if self.is_down {
            self.start();
        }
    }
}

fn pid() -> String {
    output(&mut scripted("pid_of apiserver")).trim().to_owned()
}

/// `was_hit`: whether the outage began before the run had ended.
fn problems(ended: &RunResult, is_short: bool, was_hit: bool, left: &[String]) -> Vec<String> {
    let errors = ended.with("ERROR").len();
    let notices = ["left behind", "cannot search", "was not seen Ready again"];
    let expected = if errors > 0 || notices.iter().any(|notice| ended.all().contains(notice)) { 3 } else { 0 };
    let left = if is_short { left.to_vec() } else { ended.unnamed(left) };
    let mut problems = ended.problems(&[expected], (ended.elapsed, BOUND), &left);
    if was_hit && !is_short && errors == 0 {
        problems.push("no ERROR".to_owned());
    }
    problems
}

pub fn an_api_server_outage_makes_no_test_fail() {
    let (cluster, mut moments, mut server) = (TestCluster::find(), Moments::new(), ApiServer::find());
    let suites = SUITES.into_iter().filter(|(suite, _)| ["phase2", "phase3"].contains(suite));
    let outages = suites.flat_map(|(suite, length)| [(suite, length, true), (suite, length, false)]);
    let name = |(suite, _, is_short): &_| format!("{suite}, outage {}", if *is_short { "of 3 s" } else { "for good" });
    let mut all = Vec::new();
    for outage in share::deal("outages", outages.collect(), name) {
        let (suite, length, is_short) = outage;
        let moment = moments.before(length);
        let workspace = cluster.workspace();
        let mut program = start(&workspace, suite, &["--timeout", &speed::duration(SETTLE)]);
        // Deliberately not synchronized with the run.
        std::thread::sleep(moment);
        let was_hit = !program.has_ended();
        server.kill();
        if is_short {
            std::thread::sleep(SHORT);
            server.start();
        }
        let ended = program.end(LIMIT);
        if !is_short {
            server.start();
        }
        let left = cluster.left_by(&ended);
        let name = format!("{} after {moment:?}", name(&outage));
        println!("{name}: exit {} in {:.1?}, {} left", ended.code, ended.elapsed, left.len());
        let found = problems(&ended, is_short, was_hit, &left);
        all.extend(found.iter().map(|what| format!("{name}: {what}\n{}", ended.all())));
        // Waits for scheduler and kubelet, which recover later.
        cluster.replace("nas-input-1");
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}
