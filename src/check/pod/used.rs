//! What containers use, as the kernel says it, and what a sidecar copies, as its log says it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::cluster::LogLine;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Used {
    pub memory: f64,
    pub cpu: f64,
}

pub type Containers = BTreeMap<String, Used>;

/// Memory in bytes, the node's uptime in hundredths of a second and the CPU time until then in nanoseconds.
pub type Reading = [u64; 3];

pub fn reading(text: &str) -> Option<Reading> {
    let numbers: Vec<u64> = text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// What a container uses, of the age that it has at the second reading.
///
/// CPU is the lesser of what was used between the two and the mean of the container's life: reading it costs CPU in the
/// container too, as does every other command that is run there.
#[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days of CPU time, and nobody needs all digits")]
pub fn between([_, began, before]: Reading, [memory, ended, after]: Reading, age: SignedDuration) -> Used {
    let window = Duration::from_millis(10 * ended.saturating_sub(began));
    let cores = |nanos: u64, time: f64| if time > 0.0 { nanos as f64 / 1e9 / time } else { f64::INFINITY };
    let now = cores(after.saturating_sub(before), window.as_secs_f64());
    let mean = cores(after, age.as_secs_f64());
    Used { memory: memory as f64, cpu: now.min(mean) }
}

pub fn total(all: impl IntoIterator<Item = Used>) -> Used {
    let (memory, cpu) = all.into_iter().fold((0.0, 0.0), |(memory, cpu), one| (memory + one.memory, cpu + one.cpu));
    Used { memory, cpu }
}

/// The newest file that a log lists as copied, at `recent` or later or in its last line.
pub fn copied(log: &[LogLine], since: Timestamp, recent: Timestamp, cycle_end: &Regex) -> Option<String> {
    // What a container says when it starts comes before its first cycle; a log that was cut off begins in one.
    let mut in_cycle =
        log.first().is_some_and(|(first, _)| first.duration_since(since) > SignedDuration::from_secs(10));
    let mut newest = None;
    for (index, (stamp, line)) in log.iter().enumerate() {
        if line == "sending incremental file list" {
            in_cycle = true;
        } else if line.starts_with("sent ") || cycle_end.is_match(line) {
            in_cycle = false;
        } else if in_cycle
            && !line.is_empty()
            && line != "./"
            && !line.starts_with("rsync")
            && !line.starts_with("total size ")
        {
            newest = (*stamp >= recent || index + 1 == log.len()).then(|| line.clone()).or(newest);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::super::quantity::cpu;
    use super::*;

    #[test]
    fn the_cgroup_files_are_read_and_the_lesser_cpu_counts() {
        let [before, after] =
            ["1728512\n189275\n1000000000\n", "1728512\n189295\n1020000000\n"].map(|text| reading(text).unwrap());
        let cores = |seconds| cpu(between(before, after, SignedDuration::from_secs(seconds)).cpu);
        assert_eq!(cores(10), "100m", "20 ms in 200 ms");
        assert_eq!(cores(100), "10m", "1.02 s in 100 s");
        assert_eq!(cores(-5), "100m", "the node's clock is ahead");
        for broken in ["", "1\n2", "1\n2\n3\n4", "no\n1\n2"] {
            assert!(reading(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn names_between_the_beginning_and_the_end_of_a_cycle_are_copied() {
        let start: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let log = |lines: &[&str]| -> Vec<LogLine> { lines.iter().map(|line| (start, (*line).to_owned())).collect() };
        let idle =
            ["=== Starting ===", "sending incremental file list", "", "sent 5 bytes", "total size is 0", "Synced"];
        let name = |lines: &[&str], since: i64, recent: i64| {
            let at = |seconds| start + SignedDuration::from_secs(seconds);
            copied(&log(lines), at(since), at(recent), &Regex::new("^Synced").unwrap())
        };
        assert_eq!(name(&idle, 0, 0), None);
        let copying = ["sending incremental file list", "./", "total error.bin", "", "sent 5 bytes"];
        assert_eq!(name(&copying, 0, -60).as_deref(), Some("total error.bin"));
        assert_eq!(name(&copying, 0, 60), None, "long ago");
        assert_eq!(name(&copying[..3], 0, 60).as_deref(), Some("total error.bin"), "still at it");
        assert_eq!(name(&["one.bin", "two.bin"], -3600, 0).as_deref(), Some("two.bin"), "the beginning is cut off");
        assert_eq!(name(&["sending incremental file list", "rsync: mkdir failed", "rsync error: code 11"], 0, 0), None);
    }
}
