//! What something costs: time, CPU and memory of the processes that it starts, and CPU and requests of the API server.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a process is asked how much memory it has used.
const LOOK: Duration = Duration::from_millis(10);
/// How long the cluster is looked at while nobody asks it anything.
const IDLE: Duration = Duration::from_secs(15);
/// Clock ticks in a second, in which Linux tells CPU time.
const TICKS: f64 = 100.0;

/// What something has cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Seconds.
    pub time: f64,
    /// Seconds of CPU of the processes that were started.
    pub cpu: f64,
    /// The most memory that one of them had, in MiB.
    pub memory: f64,
    /// What the API server had to do.
    pub api: Api,
}

/// What the API server counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Api {
    /// Seconds of CPU.
    pub cpu: f64,
    pub requests: f64,
    /// Of those, commands in containers.
    pub execs: f64,
}

impl Api {
    /// What it has counted until now.
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
            // That of the counts themselves is one of them.
            requests: of(self.requests, before.requests + 1.0, idle.requests),
            execs: self.execs - before.execs,
        }
    }

    /// What it does in a second for the cluster's own processes.
    pub fn idle() -> Self {
        let (before, began) = (Self::now(), Instant::now());
        sleep(IDLE);
        let time = began.elapsed().as_secs_f64();
        let all = Self::now().since(before, Self::default(), 0.0);
        Self { cpu: all.cpu / time, requests: all.requests / time, execs: 0.0 }
    }
}

/// What `work` costs, with what the API server does beyond what it does at rest.
pub fn cost(idle: Api, work: impl FnOnce() -> u64) -> Cost {
    let before = Api::now();
    let own = own(work);
    Cost { api: Api::now().since(before, idle, own.time), ..own }
}

/// What the processes cost that `work` starts; it returns the most memory, in KiB, that one of them had.
pub fn own(work: impl FnOnce() -> u64) -> Cost {
    let (cpu, began) = (children(), Instant::now());
    let kib = work();
    #[allow(clippy::cast_precision_loss, reason = "nobody has so much memory")]
    let memory = kib as f64 / 1024.0;
    Cost { time: began.elapsed().as_secs_f64(), cpu: children() - cpu, memory, api: Api::default() }
}

/// Seconds of CPU of all processes that were started here and have ended.
fn children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields[13..15].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Runs a command to its end; its output, and the most memory that it had, in KiB.
pub fn run(command: &mut Command) -> (Output, u64) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    let peak = std::thread::spawn(move || peak(&status));
    let output = Child::wait_with_output(child).expect("it ends");
    (output, peak.join().expect("somebody looks"))
}

/// The most memory that a process has had when it ends.
fn peak(status: &str) -> u64 {
    let mut most = 0;
    // One that has ended, and that nobody has waited for yet, has no memory any more.
    while let Some(kib) = fs::read_to_string(status).ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }) {
        most = kib;
        sleep(LOOK);
    }
    most
}

/// What `kubectl` says, and the most memory that it had, in KiB.
pub fn kubectl(words: &[&str]) -> (String, u64) {
    let mut command = Command::new("kubectl");
    command.args(["--context", "file-simulator", "--namespace", "file-simulator"]).args(words);
    let (output, kib) = run(&mut command);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8_lossy(&output.stdout).into_owned(), kib)
}

/// Runs our program, which must be green; the most memory that it had, in KiB.
pub fn ours(arguments: &[&str]) -> u64 {
    let reports = tempfile::tempdir().expect("a folder for reports");
    let mut command = Command::new(env!("CARGO_BIN_EXE_file-simulator-e2e"));
    command.args(arguments).arg("--quiet").arg("--report-dir").arg(reports.path());
    let (output, kib) = run(&mut command);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?} is not green: {}", String::from_utf8_lossy(&said));
    kib
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
