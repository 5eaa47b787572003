//! The API server goes away under a run: for a moment, or for good. What was not seen is an ERROR, never a FAIL; nothing
//! hangs; what is left is named.

use std::process::Command;
use std::time::Duration;

use crate::support::lab::{Lab, output, scripted};
use crate::support::place::{Ended, LIMIT};
use crate::support::{share, speed};

use super::program::{start, wait_for};
use super::{Moments, SUITES};

/// How long rollouts may take to settle, in the runs.
const SETTLE: Duration = Duration::from_secs(20);
/// The longest that a run may take for which the API server does not come back.
const BOUND: Duration = Duration::from_secs(120);
const SHORT: Duration = Duration::from_secs(3);

struct ApiServer {
    command: Vec<String>,
    is_away: bool,
}

impl ApiServer {
    fn find() -> Self {
        let command = std::fs::read(format!("/proc/{}/cmdline", pid())).unwrap();
        let words = command.split(|byte| *byte == 0).map(|word| String::from_utf8(word.to_vec()).unwrap());
        let command: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        assert_eq!(command[0], "kube-apiserver");
        Self { command, is_away: false }
    }

    /// Ends it without a goodbye.
    fn kill(&mut self) {
        let pid = pid();
        self.is_away = true;
        output(Command::new("kill").args(["-KILL", &pid]));
        wait_for("the end of the API server", || !std::fs::exists(format!("/proc/{pid}")).unwrap());
    }

    /// Starts it as `fixtures/cluster/up` does, and waits until it answers.
    fn start(&mut self) {
        let start = r#"setsid nohup "$@" >>"$CLUSTER_DIR/log/apiserver.log" 2>&1 </dev/null & echo $! >"$CLUSTER_DIR/apiserver.pid""#;
        output(scripted(start).args(&self.command));
        let ready =
            || scripted(r#"kubectl --kubeconfig "$kubeconfig" get --raw /readyz"#).output().unwrap().status.success();
        wait_for("an answer of the API server", ready);
        self.is_away = false;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // Also after a test that failed.
        if self.is_away {
            self.start();
        }
    }
}

/// The process that `fixtures/cluster/up` or this test started.
fn pid() -> String {
    output(&mut scripted("pid_of apiserver")).trim().to_owned()
}

/// What is not as it should be; `was_hit` says whether the API server went away before the run had ended.
fn problems(ended: &Ended, is_short: bool, was_hit: bool, left: &[String]) -> Vec<String> {
    let errors = ended.with("ERROR").len();
    let told = ["left behind", "was not seen Ready again"];
    let expected = if errors > 0 || told.iter().any(|told| ended.all().contains(told)) { 3 } else { 0 };
    let left = if is_short { left.to_vec() } else { ended.untold(left) };
    let mut problems = ended.problems(&[expected], (ended.took, BOUND), &left);
    if was_hit && !is_short && errors == 0 {
        problems.push("no ERROR".to_owned());
    }
    problems
}

pub fn an_api_server_that_goes_away_makes_no_test_fail() {
    let (lab, mut moments, mut server) = (Lab::find(), Moments::new(), ApiServer::find());
    let suites = SUITES.into_iter().filter(|(suite, _)| ["phase2", "phase3"].contains(suite));
    let wanted = suites.flat_map(|(suite, length)| [(suite, length, true), (suite, length, false)]);
    let name = |(suite, _, is_short): &_| format!("{suite}, away for {}", if *is_short { "3 s" } else { "good" });
    let mut all = Vec::new();
    for outage in share::deal("outages", wanted.collect(), name) {
        let (suite, length, is_short) = outage;
        let moment = moments.before(length);
        let place = lab.place();
        let mut program = start(&place, suite, &["--timeout", &speed::duration(SETTLE)]);
        // Any moment is meant; there is nothing to wait for.
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
        let left = lab.left_by(&ended);
        let name = format!("{} after {moment:?}", name(&outage));
        println!("{name}: exit {} in {:.1?}, {} left", ended.code, ended.took, left.len());
        let found = problems(&ended, is_short, was_hit, &left);
        all.extend(found.iter().map(|what| format!("{name}: {what}\n{}", ended.all())));
        // Scheduler and kubelet need longer to be at work again, and the next run is to begin on a healthy cluster.
        lab.replace("nas-input-1");
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}
