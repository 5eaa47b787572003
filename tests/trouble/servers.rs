//! The servers of the real cluster after a run that could not tidy up: waits for them, and removes what it left.

use std::process::Command;
use std::time::Duration;

use crate::support::lab::{Lab, SERVERS as LABEL, name, output};
use crate::support::speed;

/// The servers, and whether their sidecars copy.
const SERVERS: [(&str, bool); 7] = [
    ("nas-input-1", false),
    ("nas-input-2", false),
    ("nas-input-3", false),
    ("nas-backup", false),
    ("nas-output-1", true),
    ("nas-output-2", true),
    ("nas-output-3", true),
];
/// For `find`: what a run makes.
const OF_RUNS: [&str; 3] = ["-name", "*e2e-*", "-prune"];
/// How long a usual cluster may take for what it does by itself.
const PATIENCE: Duration = Duration::from_secs(150);

/// Servers without exactly one pod that is Ready and stays, with what their pods are.
pub fn not_ready(lab: &Lab) -> Vec<String> {
    let told = "{range .items[*]}{.metadata.name} {.status.conditions[?(@.type=='Ready')].status}\
                {.metadata.deletionTimestamp}{'\\n'}{end}";
    let (told, running) = (format!("jsonpath={told}"), "--field-selector=status.phase=Running");
    let pods = lab.kubectl(&["get", "pods", "-l", LABEL, running, "-o", &told]);
    let of = |server| pods.lines().filter(move |pod| pod.contains(server)).collect::<Vec<_>>();
    let is_ready = |pods: &[&str]| matches!(pods, [pod] if pod.ends_with(" True"));
    let servers = SERVERS.iter().map(|(server, _)| (server, of(server)));
    servers
        .filter(|(_, pods)| !is_ready(pods))
        .map(|(server, pods)| format!("{server} is not Ready: {pods:?}"))
        .collect()
}

/// Replaces a server's pod, so that it mounts its folder anew.
pub fn replace(lab: &Lab, server: &str) {
    let label = format!("app.kubernetes.io/component={server}");
    lab.kubectl(&["delete", "pod", "-l", &label]);
    wait_for("Ready servers", || not_ready(lab).is_empty());
}

/// Waits until a condition holds.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    speed::wait_for(what, PATIENCE, Duration::from_millis(200), || holds().then_some(()));
}

/// Files and folders of a run in the tester's folder and in the exports of all servers.
pub fn leftovers(lab: &Lab, run: &str) -> Vec<String> {
    let folder = output(Command::new("find").arg(&lab.folder).args(OF_RUNS).arg("-print"));
    let mut found: Vec<_> = folder.lines().map(str::to_owned).collect();
    for (server, _) in SERVERS {
        let export = lab.in_export(server, &format!("find /data {} -print", quoted()));
        found.extend(export.lines().map(|path| format!("{path} in {server}")));
    }
    found.retain(|path| path.contains(run));
    found
}

/// Removes them, each right after a cycle and from the export first: one that vanishes under an rsync restarts its sidecar.
pub fn remove(lab: &Lab) {
    let remove = ["-exec", "rm", "-rf", "{}", "+"];
    let of = |server: &str, is_copied: bool| {
        if is_copied {
            let deployment = format!("deployment/{}", name(server));
            let last = || lab.kubectl(&["logs", &deployment, "-c", "sync-to-windows", "--tail=1"]);
            let before = last();
            wait_for("the end of a cycle", || {
                let line = last();
                line != before && line.contains("Synced")
            });
        }
        lab.in_export(server, &format!("find /data {} {}", quoted(), remove.join(" ")));
        output(Command::new("find").arg(lab.folder.join(server)).args(OF_RUNS).args(remove));
    };
    std::thread::scope(|scope| {
        for (server, is_copied) in SERVERS {
            scope.spawn(move || of(server, is_copied));
        }
    });
}

/// The words for a shell.
fn quoted() -> String {
    OF_RUNS.map(|word| format!("'{word}'")).join(" ")
}
