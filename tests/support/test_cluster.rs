//! The real cluster of `fixtures/cluster`, which must be running with the release installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use file_simulator_e2e::cluster::Target;

use super::root;
use super::workspace::Workspace;

pub const SERVERS: &str = "simulator.protocol=nfs";
/// Shorter limits for suites: four sync intervals of 5 s.
pub const SHORTER: [(&str, &str); 2] = [("within: 60s", "within: 20s"), ("within: 30s", "within: 20s")];
/// Arguments of `find` for files and folders of runs.
pub const FILES_OF_RUNS: [&str; 6] = ["-name", "*e2e-*", "-not", "-name", KILLED_RUN_FILE, "-prune"];
pub const KILLED_RUN_FILE: &str = "e2e-00000000-phase3-latency-nas-output-2-sync.txt";
/// The prefix of a host folder's name while it is moved away.
pub const MOVED: &str = "moved-away-";

pub struct TestCluster {
    pub target: Target,
    pub folder: PathBuf,
    /// The folder of the cluster's `kubectl`, for a PATH without one.
    bin: String,
}

impl TestCluster {
    pub fn find() -> Self {
        let settings = output(&mut scripted(r#"printf '%s\n' "${KUBECONFIG:-$kubeconfig}" "$bin" "$HOST_DATA""#));
        let [kubeconfig, bin, folder] = settings.lines().collect::<Vec<_>>()[..] else {
            panic!("expected three lines, got {settings}");
        };
        assert!(
            Path::new(kubeconfig).is_file(),
            "no kubeconfig {kubeconfig}; start the cluster with fixtures/cluster/up"
        );
        let target = Target {
            kubeconfig: Some(kubeconfig.into()),
            context: "file-simulator".to_owned(),
            namespace: "file-simulator".to_owned(),
            release: "file-sim".to_owned(),
        };
        Self { target, folder: folder.into(), bin: bin.to_owned() }
    }

    pub fn workspace(&self) -> Workspace {
        Workspace::at(&self.target, &self.folder)
    }

    pub fn kubeconfig(&self) -> &Path {
        self.target.kubeconfig.as_deref().unwrap()
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        output(&mut self.command(arguments))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("kubectl");
        command.env("PATH", format!("{path}:{}", self.bin)).arg("--kubeconfig").arg(self.kubeconfig());
        let Target { context, namespace, .. } = &self.target;
        command.args(["--context", context, "--namespace", namespace]).args(arguments);
        command
    }

    pub fn in_export(&self, server: &str, script: &str) -> String {
        let deployment = format!("deployment/{}", name(server));
        self.kubectl(&["exec", &deployment, "-c", "nfs-server", "--", "sh", "-c", script])
    }

    /// Leftover files and folders whose names contain `part`, in host folders and exports of running pods.
    pub fn leftovers(&self, part: &str) -> Vec<String> {
        let folder = output(Command::new("find").arg(&self.folder).args(FILES_OF_RUNS).arg("-print"));
        // Ignores folders that were moved away: only the old pod still mounts them.
        let mut found: Vec<_> = folder.lines().filter(|file| !file.contains(MOVED)).map(str::to_owned).collect();
        let running = ["get", "pods", "-l", SERVERS, "--field-selector=status.phase=Running", "-o", "name"];
        for pod in self.kubectl(&running).lines() {
            let find = ["exec", pod, "-c", "nfs-server", "--", "find", "/data"];
            let export = self.kubectl(&[&find[..], &FILES_OF_RUNS, &["-print"]].concat());
            found.extend(export.lines().map(|file| format!("{file} in {pod}")));
        }
        found.retain(|file| file.contains(part));
        found
    }
}

/// The name of a server's Deployment and Service.
pub fn name(server: &str) -> String {
    format!("file-sim-file-simulator-{server}")
}

/// A bash script that can use the settings and functions of `common.sh`.
pub fn scripted(lines: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!(". fixtures/cluster/common.sh; {lines}"), "fixtures/cluster/test"]);
    command.current_dir(root(""));
    command
}

pub fn output(command: &mut Command) -> String {
    let ended = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(ended.status.success(), "{command:?}: {}\n{out}{err}", ended.status);
    out
}
