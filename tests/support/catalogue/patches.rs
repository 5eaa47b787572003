//! JSON patches that make faults.

use serde_json::{Value, json};

use super::Change;

/// Where the volumes are in a server's Deployment.
pub const FOLDER: &str = "/spec/template/spec/volumes/0";
pub const EXPORT: &str = "/spec/template/spec/volumes/1";
/// Where the sidecar is in an output server's Deployment: after the init container.
pub const SIDECAR: &str = "/spec/template/spec/initContainers/1";
pub const SERVER: &str = "/spec/template/spec/containers/0";

pub fn deployment(steps: &[Value]) -> Change {
    Change::Deployment(steps.into())
}

pub fn service(steps: &[Value]) -> Change {
    Change::Service(steps.into())
}

/// A change of the sidecar; refused by the API if it is not where we take it to be.
pub fn sidecar(steps: &[Value]) -> Change {
    deployment(&[&[test(&format!("{SIDECAR}/name"), "sync-to-windows")], steps].concat())
}

/// A change of the NFS server's container; refused by the API if it is not where we take it to be.
pub fn server(steps: &[Value]) -> Change {
    deployment(&[&[test(&format!("{SERVER}/name"), "nfs-server")], steps].concat())
}

fn step(op: &str, path: &str, value: impl Into<Value>) -> Value {
    json!({"op": op, "path": path, "value": value.into()})
}

pub fn test(path: &str, value: &str) -> Value {
    step("test", path, value)
}

pub fn add(path: &str, value: impl Into<Value>) -> Value {
    step("add", path, value)
}

pub fn replace(path: &str, value: impl Into<Value>) -> Value {
    step("replace", path, value)
}

pub fn remove(path: &str) -> Value {
    json!({"op": "remove", "path": path})
}

/// The sidecar runs this script instead, which must end soon after SIGTERM.
pub fn command(script: &str) -> Value {
    replace(&format!("{SIDECAR}/command"), json!(["/bin/sh", "-c", script]))
}

/// The sidecar's own script with another interval.
pub fn interval(seconds: &str) -> Value {
    variable(SIDECAR, 1, "SYNC_INTERVAL", seconds)
}

/// The script of a sidecar that does this in each cycle, in its own shell, and says what a good one does.
pub fn copying(what: &str) -> String {
    format!(
        "trap 'exit 0' TERM
        echo 'Sync interval: 5s'
        echo 'Direction: NFS export -> Windows mount'
        while :; do
          ({what})
          echo \"[$(date +%H:%M:%S)] Synced to Windows in 0s\"
          sleep 5 & wait $!
        done"
    )
}

/// The Service takes another server's pods.
pub fn selecting(server: &str) -> Change {
    service(&[replace("/spec/selector/app.kubernetes.io~1component", server)])
}

/// Adds a sidecar at the end: a strategic merge would put it first, where it sees an empty export.
pub fn added_sidecar() -> Value {
    let container = json!({
        "name": "sync-to-windows",
        "restartPolicy": "Always",
        "image": "alpine:latest",
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", copying("rsync -av /nfs-data/ /windows-mount/")],
        "resources": {"requests": {"memory": "32Mi", "cpu": "25m"}, "limits": {"memory": "64Mi", "cpu": "100m"}},
        "volumeMounts": [
            {"name": "nfs-export", "mountPath": "/nfs-data", "readOnly": true},
            {"name": "windows-data", "mountPath": "/windows-mount"},
        ],
    });
    add("/spec/template/spec/initContainers/-", container)
}

/// Another value of the environment variable in that place of a container's list.
pub fn variable(container: &str, index: usize, name: &str, value: &str) -> Value {
    replace(&format!("{container}/env/{index}"), json!({"name": name, "value": value}))
}
