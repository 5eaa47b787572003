//! The real cluster: installs the release, breaks it, and looks for files that were left behind.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::catalogue::{Change, Fault};

const NAMESPACE: &str = "file-simulator";
const SERVERS: &str = "simulator.protocol=nfs";
/// For `find`: files that a run writes.
const FILES_OF_RUNS: [&str; 7] = ["-name", "*e2e-*", "-not", "-name", OF_A_KILLED_RUN, "-type", "f"];
/// Names of files that look like something else in a log.
const STRANGE: [&str; 3] = ["rsync error: failed (code 23)", "error.log", "Synced to Windows failed"];
/// How the name of a server's folder begins while it is moved away.
const MOVED: &str = "moved-away-";
/// The NFS server's process in the cluster's image.
const PROCESS: &str = "nfs3-server";
/// What a run left that was killed before it could tidy up.
const OF_A_KILLED_RUN: &str = "e2e-00000000-phase3-latency-nas-output-2-sync.txt";

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

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        output(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("kubectl");
        command.env("PATH", format!("{path}:{}", self.bin)).arg("--kubeconfig").arg(&self.kubeconfig);
        command.args(["--context", self.context, "--namespace", NAMESPACE]).args(arguments);
        command
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
        self.put_folders_back();
        self.install(Chart::Current);
    }

    fn put_folders_back(&self) {
        for entry in std::fs::read_dir(&self.folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some(server) = name.strip_prefix(MOVED) else { continue };
            let folder = self.folder.join(server);
            // Only what is empty is not the tester's.
            assert!(!folder.exists() || std::fs::remove_dir(&folder).is_ok(), "{} is not empty", folder.display());
            std::fs::rename(self.folder.join(&name), folder).unwrap();
        }
    }

    fn move_folder_away(&self, server: &str) {
        std::fs::rename(self.folder.join(server), self.folder.join(format!("{MOVED}{server}"))).unwrap();
    }

    /// Undoes what a new installation does not.
    pub fn undo(&self, faults: &[Fault]) {
        for fault in faults {
            if let Change::Signal(_) = fault.change {
                // Else it would not hear that it is to end.
                self.in_export(fault.server, &format!("kill -CONT $(pidof {PROCESS})"));
            }
        }
        self.install_anew();
    }

    /// Lets the kubelet evict a server's pod: it does so when it next looks how much is in the export.
    fn evict(&self, server: &str) {
        let name = name(server);
        let limit =
            json!([{"op": "replace", "path": "/spec/template/spec/volumes/1/emptyDir/sizeLimit", "value": "8Mi"}]);
        self.kubectl(&["patch", "deployment", &name, "--type=json", "-p", &limit.to_string()]);
        self.kubectl(&["rollout", "status", "deployment", &name, "--timeout=60s"]);
        let label = format!("app.kubernetes.io/component={server}");
        let newest = ["get", "pods", "-l", &label, "--sort-by=.metadata.creationTimestamp", "-o", "name"];
        let pods = self.kubectl(&newest);
        let pod = pods.lines().last().unwrap();
        let fill = "head -c 25165824 /dev/zero >/data/too-large";
        self.kubectl(&["exec", pod, "-c", "nfs-server", "--", "sh", "-c", fill]);
        let phase = ["get", pod, "-o", "jsonpath={.status.phase}"];
        let limit = Instant::now() + Duration::from_secs(120);
        while self.kubectl(&phase) == "Running" {
            assert!(Instant::now() < limit, "{pod} is not evicted");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    pub fn apply(&self, faults: &[Fault]) {
        for fault in faults {
            let name = name(fault.server);
            let patch = |kind: &str, patch: &Value| {
                self.kubectl(&["patch", kind, &name, "--type=json", "-p", &patch.to_string()]);
            };
            match &fault.change {
                Change::Deployment(change) => patch("deployment", change),
                Change::Service(change) => self.watched(fault, || patch("service", change)),
                Change::NoService => self.watched(fault, || {
                    self.kubectl(&["delete", "service", &name]);
                }),
                Change::NoFolder => self.move_folder_away(fault.server),
                Change::NewFolder => {
                    self.move_folder_away(fault.server);
                    std::fs::create_dir(self.folder.join(fault.server)).unwrap();
                }
                Change::FailedUpgrade(arguments) => assert!(!self.upgrade(arguments)),
                Change::Signal(signal) => {
                    self.in_export(fault.server, &format!("kill -{signal} $(pidof {PROCESS})"));
                }
                Change::Evicted => self.evict(fault.server),
                Change::Scale(replicas) => {
                    self.kubectl(&["scale", "deployment", &name, &format!("--replicas={replicas}")]);
                }
            }
        }
    }

    /// Upgrades the release in a way that may not work; says whether it did.
    pub fn upgrade(&self, arguments: &[&str]) -> bool {
        let mut install = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cluster/install"));
        let interval = ["--set", "global.sidecar.syncInterval=5"];
        install.env("KUBECONFIG", &self.kubeconfig).args(interval).args(arguments).output().unwrap().status.success()
    }

    /// Changes a Service, and waits until the cluster has taken that up.
    fn watched(&self, fault: &Fault, change: impl FnOnce()) {
        let name = name(fault.server);
        let label = format!("kubernetes.io/service-name={name}");
        let ask = ["get", "endpointslices", "-l", &label, "-o", "jsonpath={range .items[*]}{.endpoints}{end}"];
        let node = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
        let node = self.kubectl(&["get", "nodes", "-o", node]);
        let port = self.kubectl(&["get", "service", &name, "-o", "jsonpath={.spec.ports[0].nodePort}"]);
        // As kube-proxy has it, which takes up a change some time after the EndpointSlice.
        let rules = || {
            let all = output(Command::new("iptables-save").args(["-t", "nat"]));
            all.lines().filter(|rule| rule.contains(&format!("/{name}:"))).map(str::to_owned).collect::<Vec<_>>()
        };
        let (address, before) = (format!("{node}:{port}").parse().unwrap(), (self.kubectl(&ask), rules()));
        change();
        let fails = |test: &str| fault.wrong.iter().any(|(_, tests)| tests.iter().any(|own| own.ends_with(test)));
        let is_closed = fails("phase2::node-port");
        if !is_closed && !fails("::service") {
            return;
        }
        let limit = Instant::now() + Duration::from_secs(30);
        while if is_closed {
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
        } else {
            self.kubectl(&ask) == before.0 || rules() == before.1
        } {
            assert!(Instant::now() < limit, "{}: nothing came of it", fault.id);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Uses a healthy release as people do: many files and strange names, a killed run's leftovers, somebody else's crash
    /// loop, another time zone, and a client that writes all the while; it stops when its file is gone.
    pub fn use_oddly(&self) -> Child {
        let many = "mkdir -p \"$1/many\" && cd \"$1/many\" && seq -f 'file %g.txt' 3000 | xargs -d '\\n' touch";
        for server in ["nas-input-1", "nas-output-1"] {
            output(Command::new("sh").args(["-c", many, "many"]).arg(self.folder.join(server)));
        }
        // The logs list these names: of the init container after a restart, and of the sidecar.
        for name in STRANGE {
            std::fs::write(self.folder.join("nas-input-1").join(name), "strange").unwrap();
            self.in_export("nas-output-1", &format!("echo strange >'/data/{name}'"));
        }
        self.kubectl(&["rollout", "restart", "deployment", &name("nas-input-1")]);
        std::fs::write(self.folder.join("nas-output-2").join(OF_A_KILLED_RUN), "left behind").unwrap();
        self.in_export("nas-output-2", &format!("echo left behind >/data/{OF_A_KILLED_RUN}"));
        let crash = ["--image=alpine:latest", "--image-pull-policy=IfNotPresent", "--", "sh", "-c", "exit 1"];
        self.kubectl(&[&["run", "crashing"], &crash[..]].concat());
        let zone = json!([{"op": "add", "path": "/spec/template/spec/initContainers/1/env/-",
            "value": {"name": "TZ", "value": "UTC-9"}}]);
        self.kubectl(&["patch", "deployment", &name("nas-output-3"), "--type=json", "-p", &zone.to_string()]);
        let write =
            "date >/data/client.log; while [ -e /data/client.log ]; do date >>/data/client.log; sleep 0.2; done";
        self.command(&[
            "exec",
            &format!("deployment/{}", name("nas-output-1")),
            "-c",
            "nfs-server",
            "--",
            "sh",
            "-c",
            write,
        ])
        .spawn()
        .unwrap()
    }

    /// Ends what [`Self::use_oddly`] began; says whether the killed run's leftovers are still there, which are not ours.
    pub fn use_plainly(&self, mut client: Child) -> bool {
        // The export first: otherwise the sidecar brings back what is removed here.
        let strange = STRANGE.map(|name| format!("'/data/{name}'")).join(" ");
        self.in_export("nas-output-1", &format!("rm -rf /data/client.log /data/many {strange}"));
        client.wait().unwrap();
        self.kubectl(&["delete", "pod", "crashing", "--now"]);
        let was_there = self.folder.join("nas-output-2").join(OF_A_KILLED_RUN).is_file()
            && self.in_export("nas-output-2", "ls /data").contains(OF_A_KILLED_RUN);
        // The export first: otherwise the sidecar brings it back.
        self.in_export("nas-output-2", &format!("rm -f /data/{OF_A_KILLED_RUN}"));
        let made =
            ["nas-input-1/many", "nas-output-1/many", "nas-output-1/client.log"].map(|path| self.folder.join(path));
        let strange =
            ["nas-input-1", "nas-output-1"].map(|server| STRANGE.map(|name| self.folder.join(server).join(name)));
        output(
            Command::new("rm")
                .arg("-rf")
                .args(made)
                .args(strange.as_flattened())
                .arg(self.folder.join("nas-output-2").join(OF_A_KILLED_RUN)),
        );
        was_there
    }

    pub fn in_export(&self, server: &str, script: &str) -> String {
        let deployment = format!("deployment/{}", name(server));
        self.kubectl(&["exec", &deployment, "-c", "nfs-server", "--", "sh", "-c", script])
    }

    /// Files of runs in the tester's folder and in the exports of all running pods.
    pub fn leftovers(&self) -> Vec<String> {
        let folder = output(Command::new("find").arg(&self.folder).args(FILES_OF_RUNS));
        // Only the old pod still reaches a folder that was moved away.
        let mut found: Vec<_> = folder.lines().filter(|file| !file.contains(MOVED)).map(str::to_owned).collect();
        let running = ["get", "pods", "-l", SERVERS, "--field-selector=status.phase=Running", "-o", "name"];
        for pod in self.kubectl(&running).lines() {
            let find = ["exec", pod, "-c", "nfs-server", "--", "find", "/data"];
            let export = self.kubectl(&[&find[..], &FILES_OF_RUNS].concat());
            found.extend(export.lines().map(|file| format!("{file} in {pod}")));
        }
        found
    }
}

/// What a server's objects are called.
fn name(server: &str) -> String {
    format!("file-sim-file-simulator-{server}")
}

/// What a command that must succeed printed.
pub fn output(command: &mut Command) -> String {
    let ended = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(ended.status.success(), "{command:?}: {}\n{out}{err}", ended.status);
    out
}
