//! The questions of the old script, each one `kubectl`; `docs/suites.md` has the list, and which of our tests ask them now.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::measure::kubectl;

pub const SERVERS: [&str; 7] =
    ["nas-input-1", "nas-input-2", "nas-input-3", "nas-backup", "nas-output-1", "nas-output-2", "nas-output-3"];
const PREFIX: &str = "file-sim-file-simulator";
/// Where the cluster of `fixtures/cluster` has the host folders.
const FOLDER: &str = "/mnt/simulator-data";
/// How often it looks whether a file has arrived, and how often at the most.
const POLL: Duration = Duration::from_secs(5);
const POLLS: u32 = 12;

/// Asks, and notes who had the most memory.
#[derive(Default)]
struct Asker {
    most: u64,
}

impl Asker {
    fn ask(&mut self, words: &[&str]) -> String {
        let (said, kib) = kubectl(words);
        self.most = self.most.max(kib);
        said
    }

    /// Runs a script in a container of a pod.
    fn exec(&mut self, pod: &str, container: &str, script: &str) {
        self.ask(&["exec", pod, "-c", container, "--", "sh", "-c", script]);
    }

    /// The names of the servers' pods.
    fn pods(&mut self) -> Vec<String> {
        let name = |server: &&str| {
            let label = format!("app.kubernetes.io/component={server}");
            self.ask(&["get", "pods", "-l", &label, "-o", "jsonpath={.items[0].metadata.name}"])
        };
        SERVERS.iter().map(name).collect()
    }
}

/// Phase 2, steps 1 to 13; the most memory that a kubectl had, in KiB.
pub fn phase2() -> u64 {
    let mut asker = Asker::default();
    for words in [&["version"][..], &["get", "nodes"], &["get", "pods"], &["get", "services"]] {
        asker.ask(&[words, &["-o", "json"]].concat());
    }
    asker.ask(&["get", "secrets", "-l", "owner=helm", "-o", "json"]);
    let pods = asker.pods();
    for (server, pod) in SERVERS.iter().zip(&pods) {
        let name = format!("{PREFIX}-{server}");
        // Pods, resources, security context, the init container's end.
        for _ in 0..4 {
            asker.ask(&["get", "pod", pod, "-o", "json"]);
        }
        asker.ask(&["get", "deployment", &name, "-o", "json"]);
        asker.ask(&["get", "service", &name, "-o", "json"]);
        asker.ask(&["get", "endpointslices", "-l", &format!("kubernetes.io/service-name={name}"), "-o", "json"]);
        asker.ask(&["logs", pod, "-c", "sync-windows-data", "--tail=20"]);
        asker.ask(&["logs", pod, "-c", "nfs-server", "--tail=20"]);
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
            asker.exec(pod, "nfs-server", script);
        }
    }
    for pod in &pods[4..] {
        for script in
            ["cat /proc/uptime; ls /sys/fs/cgroup", "ls /windows-mount", "echo x >/tmp/bench && rm /tmp/bench"]
        {
            asker.exec(pod, "sync-to-windows", script);
        }
    }
    asker.most
}

/// What phase 3 asks without waiting: sidecars and no sidecars (B1), their logs (B2).
fn sidecars(asker: &mut Asker) -> Vec<String> {
    let pods = asker.pods();
    for pod in &pods {
        // Containers, mounts, resources.
        for _ in 0..3 {
            asker.ask(&["get", "pod", pod, "-o", "json"]);
        }
    }
    for pod in &pods[4..] {
        asker.ask(&["logs", pod, "-c", "sync-to-windows", "--tail=50", "--timestamps"]);
    }
    pods
}

/// Phase 3, B1 and B2: a file to each output server, one server after the other, and the same again with other content.
pub fn phase3() -> u64 {
    let mut asker = Asker::default();
    let pods = sidecars(&mut asker);
    for round in 1..=2 {
        for (server, pod) in SERVERS.iter().zip(&pods).skip(4) {
            let name = format!("bench-{server}.txt");
            asker.exec(pod, "nfs-server", &format!("echo {round} >/data/{name}"));
            let here = Path::new(FOLDER).join(server).join(&name);
            let has_arrived = || fs::read_to_string(&here).is_ok_and(|text| text.trim() == round.to_string());
            assert!(
                (0..POLLS).any(|_| has_arrived() || {
                    sleep(POLL);
                    false
                }),
                "{} did not arrive",
                here.display()
            );
        }
    }
    for (server, pod) in SERVERS.iter().zip(&pods).skip(4) {
        let name = format!("bench-{server}.txt");
        asker.exec(pod, "nfs-server", &format!("rm /data/{name}"));
        fs::remove_file(Path::new(FOLDER).join(server).join(&name)).expect("it is there");
    }
    asker.most
}

/// What both ask and does not take a sync cycle.
pub fn smoke() -> u64 {
    let mut asker = Asker { most: phase2() };
    sidecars(&mut asker);
    asker.most
}
