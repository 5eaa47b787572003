//! Installs the release on the real cluster and injects faults.

use std::ffi::OsStr;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::catalogue::{Change, Fault};
use crate::support::test_cluster::{MOVED, TestCluster, name, output};
use crate::support::{root, speed};

use super::patch::patch;
use super::restore;

/// The NFS server's process in the image of `fixtures/cluster`.
const PROCESS: &str = "nfs3-server";

const INTERVAL: [&str; 2] = ["--set", "global.sidecar.syncInterval=5"];

impl TestCluster {
    /// Returns when the old pods are gone.
    pub fn install(&self) {
        output(self.install_script().args(INTERVAL));
    }

    fn move_folder_away(&self, server: &str) {
        std::fs::rename(self.folder.join(server), self.folder.join(format!("{MOVED}{server}"))).unwrap();
    }

    pub fn undo(&self, faults: &[Fault]) {
        for fault in faults {
            match &fault.change {
                // A stopped process would not handle SIGTERM.
                Change::Signal(_) => drop(self.in_export(&fault.server, &format!("kill -CONT $(pidof {PROCESS})"))),
                Change::Refused(guard) => self.allow(*guard),
                _ => {}
            }
        }
        let servers: Vec<&str> = faults.iter().map(|fault| fault.server.as_str()).collect();
        self.reinstall(&restore::selector(&servers));
    }

    /// Waits for the kubelet to measure the export and evict the pod.
    fn evict(&self, server: &str) {
        let name = name(server);
        let limit =
            json!([{"op": "replace", "path": "/spec/template/spec/volumes/1/emptyDir/sizeLimit", "value": "8Mi"}]);
        self.kubectl(&["patch", "deployment", &name, "--type=json", "-p", &limit.to_string()]);
        let limit = format!("--timeout={}", speed::duration(Duration::from_secs(60)));
        self.kubectl(&["rollout", "status", "deployment", &name, &limit]);
        let label = format!("app.kubernetes.io/component={server}");
        let newest = ["get", "pods", "-l", &label, "--sort-by=.metadata.creationTimestamp", "-o", "name"];
        let pods = self.kubectl(&newest);
        let pod = pods.lines().last().unwrap();
        let fill = "head -c 25165824 /dev/zero >/data/too-large";
        self.kubectl(&["exec", pod, "-c", "nfs-server", "--", "sh", "-c", fill]);
        let phase = ["get", pod, "-o", "jsonpath={.status.phase}"];
        speed::until("an evicted pod", Duration::from_secs(120), || self.kubectl(&phase) != "Running");
    }

    pub fn apply(&self, faults: &[Fault]) {
        for fault in faults {
            let name = name(&fault.server);
            let change = |kind: &str, steps| {
                self.kubectl(&["patch", kind, &name, "--type=json", "-p", &patch(steps).to_string()]);
            };
            match &fault.change {
                Change::Deployment(steps) => change("deployment", steps),
                Change::Service(steps) => self.change_service(fault, || change("service", steps)),
                Change::NoService => self.change_service(fault, || {
                    self.kubectl(&["delete", "service", &name]);
                }),
                Change::NoFolder => self.move_folder_away(&fault.server),
                Change::NewFolder => {
                    self.move_folder_away(&fault.server);
                    std::fs::create_dir(self.folder.join(&fault.server)).unwrap();
                }
                Change::FailedUpgrade(arguments) => assert!(!self.upgrade(arguments)),
                Change::Signal(signal) => {
                    self.in_export(&fault.server, &format!("kill -{signal} $(pidof {PROCESS})"));
                }
                Change::OlderChart => {
                    output(self.install_script().env("CHART", root("fixtures/helm-chart/older")));
                }
                Change::Evicted => self.evict(&fault.server),
                Change::Refused(guard) => self.refuse(&fault.server, *guard),
                Change::Scale(replicas) => {
                    self.kubectl(&["scale", "deployment", &name, &format!("--replicas={replicas}")]);
                }
            }
        }
    }

    /// Returns whether helm succeeded.
    pub fn upgrade(&self, arguments: &[impl AsRef<OsStr>]) -> bool {
        self.install_script().args(INTERVAL).args(arguments).output().unwrap().status.success()
    }

    fn install_script(&self) -> Command {
        let mut install = Command::new(root("fixtures/cluster/install"));
        install.env("KUBECONFIG", self.kubeconfig());
        install
    }

    /// Changes a Service, and waits until EndpointSlice and kube-proxy reflect the change.
    fn change_service(&self, fault: &Fault, change: impl FnOnce()) {
        let name = name(&fault.server);
        let label = format!("kubernetes.io/service-name={name}");
        let endpoints = ["get", "endpointslices", "-l", &label, "-o", "jsonpath={range .items[*]}{.endpoints}{end}"];
        let node = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
        let node = self.kubectl(&["get", "nodes", "-o", node]);
        let port = self.kubectl(&["get", "service", &name, "-o", "jsonpath={.spec.ports[0].nodePort}"]);
        // kube-proxy applies a change some time after the EndpointSlice has changed.
        let rules = || {
            let all = output(Command::new("iptables-save").args(["-t", "nat"]));
            all.lines().filter(|rule| rule.contains(&format!("/{name}:"))).map(str::to_owned).collect::<Vec<_>>()
        };
        let (address, before) = (format!("{node}:{port}").parse().unwrap(), (self.kubectl(&endpoints), rules()));
        change();
        let fails = |test: &str| fault.named().any(|(name, _)| name.ends_with(test));
        let is_closed = fails("phase2::node-port");
        if !is_closed && !fails("::service") {
            return;
        }
        speed::until(&fault.id, Duration::from_secs(30), || {
            if is_closed {
                TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err()
            } else {
                self.kubectl(&endpoints) != before.0 && rules() != before.1
            }
        });
    }
}
