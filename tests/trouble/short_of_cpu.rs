//! A node that is short of CPU, as a laptop's is that builds something meanwhile: a healthy release is green there, only slower.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::lab::{Lab, output, scripted};
use crate::support::share;

use super::wait_for;

/// The suites that are green there; the last one sees whether a container was restarted under the others.
const SUITES: [&str; 3] = ["phase3", "data-safety", "phase2"];
/// How much of a core cluster and pods have at first, each, in millionths of the kernel's period of 0.1 s.
const CORE: u32 = 20_000;
/// So long a command that does nothing takes there, or somewhat longer. Much slower, the kubelet's own probes are late, and it
/// restarts containers: nothing is healthy any more.
const SLOW: Duration = Duration::from_millis(2_500);
const LIMIT: Duration = Duration::from_secs(900);

/// The CPU of the cluster's processes and pods, held; set free when dropped.
struct Held {
    /// The file with a control group's quota: of version 1 or 2.
    quota: &'static str,
    /// Those of pods, with the quotas that they had: a parent before its children.
    pods: Vec<(PathBuf, String)>,
    /// That of the cluster's processes, and the one that they were in.
    own: PathBuf,
    before: PathBuf,
}

impl Held {
    fn begin() -> Self {
        let all = Path::new("/sys/fs/cgroup");
        let is_v2 = all.join("cgroup.controllers").exists();
        let (root, quota) = if is_v2 { (all.to_owned(), "cpu.max") } else { (all.join("cpu"), "cpu.cfs_quota_us") };
        // A parent before its children.
        let pods = output(Command::new("find").arg(root.join("kubepods")).args(["-type", "d"]));
        let with_quota = |group: &str| {
            let group = PathBuf::from(group);
            let had = fs::read_to_string(group.join(quota)).unwrap();
            (group, had)
        };
        let processes = r#"for name in "${programs[@]}"; do pid_of "$name"; done
            pgrep -f "^[^ ]*containerd-shim.* -address $RUN/containerd.sock""#;
        let processes = output(&mut scripted(processes));
        // The control group of a process, below the root. Version 2 comes last, and both may be there.
        let group = r#"awk -F: '$2 == "" || $2 ~ /(^|,)cpu(,|$)/ { print substr($3, 2); exit }' "/proc/$1/cgroup""#;
        let before = root.join(output(scripted(group).arg(processes.lines().next().unwrap())).trim());
        let own = root.join("file-simulator-e2e");
        fs::create_dir_all(&own).unwrap();
        let held = Self { quota, pods: pods.lines().map(with_quota).collect(), own, before };
        for process in processes.lines() {
            fs::write(held.own.join("cgroup.procs"), process).unwrap();
        }
        held
    }

    fn give(&self, quota: u32) {
        // No child may have more than its parent.
        let groups = self.pods.iter().rev().map(|(group, _)| group).chain([&self.own]);
        for group in groups {
            fs::write(group.join(self.quota), quota.to_string()).unwrap();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for (group, quota) in &self.pods {
            // A pod may have ended meanwhile.
            let _ = fs::write(group.join(self.quota), quota);
        }
        wait_for("the cluster's processes to be free", || {
            for process in fs::read_to_string(self.own.join("cgroup.procs")).unwrap().lines() {
                // It may have ended.
                let _ = fs::write(self.before.join("cgroup.procs"), process);
            }
            fs::remove_dir(&self.own).is_ok()
        });
    }
}

/// How long a command that does nothing takes: the middle one of three.
fn command(lab: &Lab) -> Duration {
    let mut took = [(); 3].map(|()| {
        let began = Instant::now();
        lab.in_export("nas-output-1", "true");
        began.elapsed()
    });
    took.sort_unstable();
    took[1]
}

pub fn a_node_short_of_cpu_is_green() {
    if share::chosen().is_some() {
        println!("left out, because it takes minutes: ROUNDS=all runs it");
        return;
    }
    let lab = Lab::find();
    let held = Held::begin();
    let mut quota = CORE;
    let took = loop {
        held.give(quota);
        let took = command(&lab);
        println!("{:.1} % of a core: a command takes {took:.1?}", f64::from(quota) / 1000.0);
        if took >= SLOW {
            break took;
        }
        quota = quota * 9 / 10;
    };
    let mut problems = Vec::new();
    for suite in SUITES {
        let place = lab.place();
        let ended = place.start(place.command(&["--suite", suite])).end(LIMIT);
        let left = lab.leftovers(ended.run());
        let told = ended.out.lines().find(|line| line.starts_with("the node was slow"));
        println!("{suite}: exit {} in {:.0?}; {told:?}", ended.code, ended.took);
        if ended.code != 0 || told.is_none() || !left.is_empty() || !ended.missing(&[suite]).is_empty() {
            problems.push(format!("{suite}, commands take {took:.1?}: left {left:?}\n{}", ended.all()));
        }
    }
    drop(held);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
