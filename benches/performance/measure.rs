//! Measures costs: time, CPU and memory of child processes, and CPU and requests of the API server.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two readings of a process's memory.
const POLL: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_secs(15);
/// Clock ticks per second, Linux's unit of CPU time.
const TICKS: f64 = 100.0;

#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Seconds.
    pub time: f64,
    /// Seconds of CPU of the child processes.
    pub cpu: f64,
    /// The peak memory of one child process, in MiB.
    pub memory: f64,
    pub api: Api,
}

/// The API server's counters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Api {
    /// Seconds of CPU.
    pub cpu: f64,
    pub requests: f64,
    /// Commands in containers, which are requests too.
    pub execs: f64,
}

impl Api {
    fn now() -> Self {
        let text = kubectl(&["get", "--raw", "/metrics"]).0;
        let sum = |name: &str, part: &str| {
            let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(part));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let requests = "apiserver_request_total{";
        Self {
            cpu: sum("process_cpu_seconds_total", ""),
            requests: sum(requests, ""),
            execs: sum(requests, "subresource=\"exec\""),
        }
    }

    fn since(self, before: Self, idle: Self, time: f64) -> Self {
        let of = |now: f64, before: f64, idle: f64| (now - before - idle * time).max(0.0);
        Self {
            cpu: of(self.cpu, before.cpu, idle.cpu),
            // Reading the counters is a request too.
            requests: of(self.requests, before.requests + 1.0, idle.requests),
            execs: self.execs - before.execs,
        }
    }

    /// The load per second of the idle cluster.
    pub fn idle() -> Self {
        let (before, began) = (Self::now(), Instant::now());
        sleep(IDLE);
        let time = began.elapsed().as_secs_f64();
        let all = Self::now().since(before, Self::default(), 0.0);
        Self { cpu: all.cpu / time, requests: all.requests / time, execs: 0.0 }
    }
}

/// The cost of `work`, including the API server's above its idle load.
pub fn cost(idle: Api, work: impl FnOnce() -> u64) -> Cost {
    let before = Api::now();
    let children = children_cost(work);
    Cost { api: Api::now().since(before, idle, children.time), ..children }
}

/// The cost of the child processes of `work`, which returns the peak memory of one, in KiB.
pub fn children_cost(work: impl FnOnce() -> u64) -> Cost {
    let (cpu, began) = (children(), Instant::now());
    let kib = work();
    #[allow(clippy::cast_precision_loss, reason = "no machine has so much memory")]
    let memory = kib as f64 / 1024.0;
    Cost { time: began.elapsed().as_secs_f64(), cpu: children() - cpu, memory, api: Api::default() }
}

/// Seconds of CPU of all child processes that have exited.
fn children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields[13..15].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Runs a command; returns its output and peak memory in KiB.
pub fn run(command: &mut Command) -> (Output, u64) {
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a started process");
    let status = format!("/proc/{}/status", child.id());
    let peak = std::thread::spawn(move || peak(&status));
    let output = Child::wait_with_output(child).expect("an exit status");
    (output, peak.join().expect("a finished thread"))
}

/// The peak memory of a process, read until it exits.
fn peak(status: &str) -> u64 {
    let mut peak = 0;
    // A zombie process has no `VmHWM`.
    while let Some(kib) = fs::read_to_string(status).ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }) {
        peak = kib;
        sleep(POLL);
    }
    peak
}

/// Runs `kubectl`; returns its output and peak memory in KiB.
pub fn kubectl(words: &[&str]) -> (String, u64) {
    let mut command = Command::new("kubectl");
    command.args(["--context", "file-simulator", "--namespace", "file-simulator"]).args(words);
    let (output, kib) = run(&mut command);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8_lossy(&output.stdout).into_owned(), kib)
}

/// Runs our program, whose tests must pass; returns its peak memory in KiB.
pub fn ours(arguments: &[&str]) -> u64 {
    let reports = tempfile::tempdir().expect("a folder for reports");
    let mut command = Command::new(env!("CARGO_BIN_EXE_file-simulator-e2e"));
    command.args(arguments).arg("--quiet").arg("--report-dir").arg(reports.path());
    let (output, kib) = run(&mut command);
    let all = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?} failed: {}", String::from_utf8_lossy(&all));
    kib
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
