//! The queries of the old script, one `kubectl` each; `docs/suites.md` maps them to tests.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::measure::kubectl;

pub const SERVERS: [&str; 7] =
    ["nas-input-1", "nas-input-2", "nas-input-3", "nas-backup", "nas-output-1", "nas-output-2", "nas-output-3"];
const PREFIX: &str = "file-sim-file-simulator";
/// The host folder of `fixtures/cluster`.
const FOLDER: &str = "/mnt/simulator-data";
/// Between two checks whether a file has arrived, and the maximum number of checks.
const POLL: Duration = Duration::from_secs(5);
const POLLS: u32 = 12;

/// Runs kubectl and tracks the peak memory of a process, in KiB.
#[derive(Default)]
struct Kubectl {
    peak: u64,
}

impl Kubectl {
    fn run(&mut self, words: &[&str]) -> String {
        let (output, kib) = kubectl(words);
        self.peak = self.peak.max(kib);
        output
    }

    /// Runs a script in a container of a pod.
    fn exec(&mut self, pod: &str, container: &str, script: &str) {
        self.run(&["exec", pod, "-c", container, "--", "sh", "-c", script]);
    }

    /// The names of the servers' pods.
    fn pods(&mut self) -> Vec<String> {
        let name = |server: &&str| {
            let label = format!("app.kubernetes.io/component={server}");
            self.run(&["get", "pods", "-l", &label, "-o", "jsonpath={.items[0].metadata.name}"])
        };
        SERVERS.iter().map(name).collect()
    }
}

/// Phase 2, steps 1 to 13; returns the peak memory of one kubectl, in KiB.
pub fn phase2() -> u64 {
    let mut kubectl = Kubectl::default();
    for words in [&["version"][..], &["get", "nodes"], &["get", "pods"], &["get", "services"]] {
        kubectl.run(&[words, &["-o", "json"]].concat());
    }
    kubectl.run(&["get", "secrets", "-l", "owner=helm", "-o", "json"]);
    let pods = kubectl.pods();
    for (server, pod) in SERVERS.iter().zip(&pods) {
        let name = format!("{PREFIX}-{server}");
        // Pods, resources, security context, the init container's exit code.
        for _ in 0..4 {
            kubectl.run(&["get", "pod", pod, "-o", "json"]);
        }
        kubectl.run(&["get", "deployment", &name, "-o", "json"]);
        kubectl.run(&["get", "service", &name, "-o", "json"]);
        kubectl.run(&["get", "endpointslices", "-l", &format!("kubernetes.io/service-name={name}"), "-o", "json"]);
        kubectl.run(&["logs", pod, "-c", "sync-windows-data", "--tail=20"]);
        kubectl.run(&["logs", pod, "-c", "nfs-server", "--tail=20"]);
        for script in [
            "cat /etc/exports",
            &format!("nslookup {name}.file-simulator.svc.cluster.local"),
            "cat /proc/uptime; ls /sys/fs/cgroup",
            "mkdir -p /tmp/bench/deep && echo x >/tmp/bench/deep/f && cat /tmp/bench/deep/f",
            "rm -r /tmp/bench",
            "echo x >/tmp/bench-marker",
            "ls /tmp",
            "rm /tmp/bench-marker",
        ] {
            kubectl.exec(pod, "nfs-server", script);
        }
    }
    for pod in &pods[4..] {
        for script in
            ["cat /proc/uptime; ls /sys/fs/cgroup", "ls /windows-mount", "echo x >/tmp/bench && rm /tmp/bench"]
        {
            kubectl.exec(pod, "sync-to-windows", script);
        }
    }
    kubectl.peak
}

/// Phase 3 without waits: which servers have sidecars (B1), and their logs (B2).
fn sidecars(kubectl: &mut Kubectl) -> Vec<String> {
    let pods = kubectl.pods();
    for pod in &pods {
        // Containers, mounts, resources.
        for _ in 0..3 {
            kubectl.run(&["get", "pod", pod, "-o", "json"]);
        }
    }
    for pod in &pods[4..] {
        kubectl.run(&["logs", pod, "-c", "sync-to-windows", "--tail=50", "--timestamps"]);
    }
    pods
}

/// Phase 3, B1 and B2: a file for each output server in turn, and again with different content.
pub fn phase3() -> u64 {
    let mut kubectl = Kubectl::default();
    let pods = sidecars(&mut kubectl);
    for round in 1..=2 {
        for (server, pod) in SERVERS.iter().zip(&pods).skip(4) {
            let name = format!("bench-{server}.txt");
            kubectl.exec(pod, "nfs-server", &format!("echo {round} >/data/{name}"));
            let copy = Path::new(FOLDER).join(server).join(&name);
            let has_arrived = || fs::read_to_string(&copy).is_ok_and(|text| text.trim() == round.to_string());
            assert!(
                (0..POLLS).any(|_| has_arrived() || {
                    sleep(POLL);
                    false
                }),
                "{} did not arrive",
                copy.display()
            );
        }
    }
    for (server, pod) in SERVERS.iter().zip(&pods).skip(4) {
        let name = format!("bench-{server}.txt");
        kubectl.exec(pod, "nfs-server", &format!("rm /data/{name}"));
        fs::remove_file(Path::new(FOLDER).join(server).join(&name)).expect("a copied file");
    }
    kubectl.peak
}

/// The queries of both phases that do not wait for a sync cycle.
pub fn smoke() -> u64 {
    let mut kubectl = Kubectl { peak: phase2() };
    sidecars(&mut kubectl);
    kubectl.peak
}
