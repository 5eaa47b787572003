//! A healthy release passes on a node short of CPU, as on a busy laptop, only more slowly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::share;
use crate::support::test_cluster::{TestCluster, output, scripted};

use super::program::wait_for;

/// The last suite detects containers that restarted during the others.
const SUITES: [&str; 3] = ["phase3", "data-safety", "phase2"];
/// The initial CPU quota, for the cluster and for each pod, in microseconds per period of 0.1 s.
const CORE: u32 = 20_000;
/// Lowers the quota until an empty command takes this long. On an even slower node, the kubelet's probes would time out and restart
/// containers.
const SLOW: Duration = Duration::from_millis(2_500);
const LIMIT: Duration = Duration::from_secs(900);

/// CPU quotas on the cluster's processes and pods; removed when dropped.
struct Throttled {
    /// The name of the quota file in a cgroup, of version 1 or 2.
    quota: &'static str,
    /// The pods' cgroups with their original quotas, parents before children.
    pods: Vec<(PathBuf, String)>,
    /// The cgroup for the cluster's processes, and their original cgroup.
    own: PathBuf,
    before: PathBuf,
}

impl Throttled {
    fn begin() -> Self {
        let all = Path::new("/sys/fs/cgroup");
        let is_v2 = all.join("cgroup.controllers").exists();
        let (root, quota) = if is_v2 { (all.to_owned(), "cpu.max") } else { (all.join("cpu"), "cpu.cfs_quota_us") };
        let pods = output(Command::new("find").arg(root.join("kubepods")).args(["-type", "d"]));
        let with_quota = |group: &str| {
            let group = PathBuf::from(group);
            let original = fs::read_to_string(group.join(quota)).unwrap();
            (group, original)
        };
        let processes = r#"for name in "${programs[@]}"; do pid_of "$name"; done
            pgrep -f "^[^ ]*containerd-shim.* -address $RUN/containerd.sock""#;
        let processes = output(&mut scripted(processes));
        let before = root.join(group_of(processes.lines().next().unwrap()));
        let own = root.join("file-simulator-e2e");
        fs::create_dir_all(&own).unwrap();
        let throttled = Self { quota, pods: pods.lines().map(with_quota).collect(), own, before };
        for process in processes.lines() {
            fs::write(throttled.own.join("cgroup.procs"), process).unwrap();
        }
        throttled
    }

    fn set_quota(&self, quota: u32) {
        // Children first: no child may have more than its parent.
        let groups = self.pods.iter().rev().map(|(group, _)| group).chain([&self.own]);
        for group in groups {
            fs::write(group.join(self.quota), quota.to_string()).unwrap();
        }
    }
}

impl Drop for Throttled {
    fn drop(&mut self) {
        for (group, quota) in &self.pods {
            // A pod may have ended.
            let _ = fs::write(group.join(self.quota), quota);
        }
        wait_for("the cluster's processes to leave the cgroup", || {
            for process in fs::read_to_string(self.own.join("cgroup.procs")).unwrap().lines() {
                // A process may have ended.
                let _ = fs::write(self.before.join("cgroup.procs"), process);
            }
            fs::remove_dir(&self.own).is_ok()
        });
    }
}

/// The cgroup of a process, relative to the root. If both versions exist, version 1 is listed first.
fn group_of(process: &str) -> String {
    let script =
        format!(r#"awk -F: '$2 == "" || $2 ~ /(^|,)cpu(,|$)/ {{ print substr($3, 2); exit }}' /proc/{process}/cgroup"#);
    output(&mut scripted(&script)).trim().to_owned()
}

/// The median of three empty commands.
fn command_time(cluster: &TestCluster) -> Duration {
    let mut times = [(); 3].map(|()| {
        let began = Instant::now();
        cluster.in_export("nas-output-1", "true");
        began.elapsed()
    });
    times.sort_unstable();
    times[1]
}

pub fn a_healthy_release_passes_on_a_node_short_of_cpu() {
    if share::chosen().is_some() {
        println!("not run, because it takes minutes; ROUNDS=all runs it");
        return;
    }
    let cluster = TestCluster::find();
    let throttled = Throttled::begin();
    let mut quota = CORE;
    let slowest = loop {
        throttled.set_quota(quota);
        let took = command_time(&cluster);
        println!("{:.1} % of a core: a command takes {took:.1?}", f64::from(quota) / 1000.0);
        if took >= SLOW {
            break took;
        }
        quota = quota * 9 / 10;
    };
    let mut problems = Vec::new();
    for suite in SUITES {
        let workspace = cluster.workspace();
        let ended = workspace.begin(&["--suite", suite]).end(LIMIT);
        let left = cluster.leftovers(ended.run_name());
        let notice = ended.out.lines().find(|line| line.starts_with("the node was slow"));
        println!("{suite}: exit {} in {:.0?}; {notice:?}", ended.code, ended.elapsed);
        if ended.code != 0 || notice.is_none() || !left.is_empty() || !ended.missing().is_empty() {
            problems.push(format!("{suite}, commands take {slowest:.1?}: leftover {left:?}\n{}", ended.all()));
        }
    }
    drop(throttled);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
