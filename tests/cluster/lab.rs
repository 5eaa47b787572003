//! The real cluster: installs the release, breaks it, and looks for files that were left behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::catalogue::{Change, Fault};

const NAMESPACE: &str = "file-simulator";
const SERVERS: &str = "simulator.protocol=nfs";
/// For `find`: files that a run writes.
const FILES_OF_RUNS: [&str; 4] = ["-name", "*e2e-*", "-type", "f"];

/// A chart that can be installed.
#[derive(Clone, Copy)]
pub enum Chart {
    /// The project's own, with a short sync interval.
    Current,
    /// The one that older installations have, as it is.
    Older,
}

/// The cluster of `fixtures/cluster`, which must be up.
pub struct Lab {
    pub kubeconfig: PathBuf,
    pub context: &'static str,
    /// The tester's folder.
    pub folder: PathBuf,
    /// Where `kubectl` is, if not in the user's own PATH.
    bin: String,
}

impl Lab {
    pub fn new() -> Self {
        // The scripts know their defaults best.
        let ask = r#". fixtures/cluster/cluster.env
            printf '%s\n' "${KUBECONFIG:-$CLUSTER_DIR/kubeconfig}" "$CLUSTER_CACHE/bin" "$HOST_DATA""#;
        let told = output(Command::new("bash").args(["-c", ask]).current_dir(env!("CARGO_MANIFEST_DIR")));
        let [kubeconfig, bin, folder] = told.lines().collect::<Vec<_>>()[..] else {
            panic!("expected three lines, got {told}");
        };
        assert!(Path::new(kubeconfig).is_file(), "no file {kubeconfig}: run fixtures/cluster/up first");
        let context = "file-simulator";
        Self { kubeconfig: kubeconfig.into(), context, folder: folder.into(), bin: bin.to_owned() }
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("kubectl");
        command.env("PATH", format!("{path}:{}", self.bin)).arg("--kubeconfig").arg(&self.kubeconfig);
        output(command.args(["--context", self.context, "--namespace", NAMESPACE]).args(arguments))
    }

    /// Installs or upgrades the release, and returns when the old pods are gone.
    pub fn install(&self, chart: Chart) {
        let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let mut install = Command::new(charts.join("cluster/install"));
        install.env("KUBECONFIG", &self.kubeconfig);
        match chart {
            Chart::Current => install.args(["--set", "global.sidecar.syncInterval=5"]),
            Chart::Older => install.env("CHART", charts.join("helm-chart/older")),
        };
        output(&mut install);
    }

    /// Installs the release over nothing: an upgrade alone would leave in place what was added by hand, and a new pod
    /// would copy what an earlier run left in the tester's folder.
    pub fn install_anew(&self) {
        self.kubectl(&["delete", "deployments", "-l", SERVERS, "--cascade=foreground"]);
        output(Command::new("find").arg(&self.folder).args(FILES_OF_RUNS).arg("-delete"));
        output(Command::new("rm").arg("-rf").arg(self.folder.join("shared-export")));
        self.install(Chart::Current);
    }

    pub fn apply(&self, faults: &[Fault]) {
        for fault in faults {
            let name = format!("file-sim-file-simulator-{}", fault.server);
            let patch = |kind: &str, patch: &Value| {
                self.kubectl(&["patch", kind, &name, "--type=json", "-p", &patch.to_string()]);
            };
            match &fault.change {
                Change::Deployment(change) => patch("deployment", change),
                Change::Service(change) => patch("service", change),
                Change::Scale(replicas) => {
                    self.kubectl(&["scale", "deployment", &name, &format!("--replicas={replicas}")]);
                }
            }
        }
    }

    /// Files of runs in the tester's folder and in the exports of all running pods.
    pub fn leftovers(&self) -> Vec<String> {
        let folder = output(Command::new("find").arg(&self.folder).args(FILES_OF_RUNS));
        let mut found: Vec<_> = folder.lines().map(str::to_owned).collect();
        let running = ["get", "pods", "-l", SERVERS, "--field-selector=status.phase=Running", "-o", "name"];
        for pod in self.kubectl(&running).lines() {
            let find = ["exec", pod, "-c", "nfs-server", "--", "find", "/data"];
            let export = self.kubectl(&[&find[..], &FILES_OF_RUNS].concat());
            found.extend(export.lines().map(|file| format!("{file} in {pod}")));
        }
        found
    }
}

/// What a command that must succeed printed.
fn output(command: &mut Command) -> String {
    let ended = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(ended.status.success(), "{command:?}: {}\n{out}{err}", ended.status);
    out
}
