//! How long `phase2` takes, against asking the same with one `kubectl` process for each question.
//!
//! Needs a healthy release and kubectl: `KUBECONFIG=… cargo bench --bench phase2 -- [ROUNDS]`. Both are run in turns, so
//! that a busy machine slows down both. Prints figures and asserts none.
#![allow(clippy::expect_used, reason = "a benchmark ends at what it cannot do")]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const SERVERS: [&str; 7] =
    ["nas-input-1", "nas-input-2", "nas-input-3", "nas-backup", "nas-output-1", "nas-output-2", "nas-output-3"];
const PREFIX: &str = "file-sim-file-simulator";

fn main() {
    let rounds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(5);
    let pods: Vec<String> = SERVERS.iter().map(|server| pod(server)).collect();
    let questions = questions(&pods);
    println!("{rounds} rounds, {} kubectl processes against one of ours", questions.len());
    let mut ratios = Vec::new();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let ours = timed(|| assert!(phase2().status.success(), "phase2 is not green: run it by hand"));
        let theirs = timed(|| questions.iter().for_each(|question| drop(kubectl(question))));
        println!("phase2 {:5.2} s   kubectl {:6.2} s", ours.as_secs_f64(), theirs.as_secs_f64());
        ratios.push(theirs.as_secs_f64() / ours.as_secs_f64());
        times[0].push(ours.as_secs_f64());
        times[1].push(theirs.as_secs_f64());
    }
    let [ours, theirs] = times.map(median);
    println!("median: phase2 {ours:.2} s, kubectl {theirs:.2} s; {:.1} times as fast, round by round", median(ratios));
}

fn phase2() -> Output {
    let reports = tempfile::tempdir().expect("a folder for reports");
    let mut command = Command::new(env!("CARGO_BIN_EXE_file-simulator-e2e"));
    command.args(["--suite", "phase2", "--quiet", "--report-dir"]).arg(reports.path());
    command.output().expect("the program runs")
}

fn kubectl(words: &[String]) -> Output {
    let mut command = Command::new("kubectl");
    command.args(["--context", "file-simulator", "--namespace", "file-simulator"]).args(words);
    let output = command.stdin(Stdio::null()).output().expect("kubectl is in the PATH");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn pod(server: &str) -> String {
    let label = format!("app.kubernetes.io/component={server}");
    let words = ["get", "pods", "-l", &label, "-o", "jsonpath={.items[0].metadata.name}"].map(str::to_owned);
    String::from_utf8(kubectl(&words).stdout).expect("a pod's name")
}

/// What phase2 asks the cluster, each as the arguments of one `kubectl`.
fn questions(pods: &[String]) -> Vec<Vec<String>> {
    let mut questions = Vec::new();
    let mut ask = |words: &[&str]| questions.push(words.iter().map(|word| (*word).to_owned()).collect());
    ask(&["version", "-o", "json"]);
    ask(&["get", "nodes", "-o", "json"]);
    ask(&["get", "pods", "-o", "json"]);
    ask(&["get", "services", "-o", "json"]);
    ask(&["get", "secrets", "-l", "owner=helm", "-o", "json"]);
    for (server, pod) in SERVERS.iter().zip(pods) {
        let name = format!("{PREFIX}-{server}");
        let slices = format!("kubernetes.io/service-name={name}");
        // pods, resources, security, and the init container's end.
        for _ in 0..4 {
            ask(&["get", "pod", pod, "-o", "json"]);
        }
        ask(&["get", "deployment", &name, "-o", "json"]);
        ask(&["get", "service", &name, "-o", "json"]);
        ask(&["get", "endpointslices", "-l", &slices, "-o", "json"]);
        ask(&["logs", pod, "-c", "sync-windows-data", "--tail=20"]);
        ask(&["logs", pod, "-c", "nfs-server", "--tail=20"]);
        let mut exec = |script: &str| ask(&["exec", pod, "-c", "nfs-server", "--", "sh", "-c", script]);
        exec("cat /etc/exports");
        exec(&format!("nslookup {name}.file-simulator.svc.cluster.local"));
        exec("cat /proc/uptime; ls /sys/fs/cgroup");
        exec("mkdir -p /tmp/bench/deep && echo x >/tmp/bench/deep/f && cat /tmp/bench/deep/f");
        exec("rm -r /tmp/bench");
        exec("echo x >/tmp/bench-marker");
        exec("ls /tmp");
        exec("rm /tmp/bench-marker");
    }
    for pod in &pods[4..] {
        let mut exec = |script: &str| ask(&["exec", pod, "-c", "sync-to-windows", "--", "sh", "-c", script]);
        exec("cat /proc/uptime; ls /sys/fs/cgroup");
        exec("ls /windows-mount");
        exec("echo x >/tmp/bench-marker");
    }
    questions
}

fn timed(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
