//! JSON patches as the catalogue of faults writes them.

use serde_json::{Value, json};

/// Where the sidecar is in an output server's Deployment: after the init container.
const SIDECAR: &str = "/spec/template/spec/initContainers/1";
const COPIES: &str = "rsync -av /nfs-data/ /windows-mount/";

pub fn patch(steps: &[Value]) -> Value {
    steps.iter().map(step).collect()
}

/// A step as the API server knows it: `runs` and `copies` replace the sidecar's script, `add-sidecar` adds one.
fn step(written: &Value) -> Value {
    if written == "add-sidecar" {
        return added_sidecar();
    }
    let script = match (&written["runs"], &written["copies"]) {
        // It must end soon after SIGTERM.
        (Value::String(script), _) => script.clone(),
        (_, Value::String(cycle)) => copying(cycle, written["sleeps"].as_u64().unwrap_or(5)),
        _ => return written.clone(),
    };
    json!({"op": "replace", "path": format!("{SIDECAR}/command"), "value": ["/bin/sh", "-c", script]})
}

/// The script of a sidecar that does this in each cycle, in its own shell, and says what a good one does.
fn copying(cycle: &str, sleeps: u64) -> String {
    format!(
        "trap 'exit 0' TERM
        echo 'Sync interval: 5s'
        echo 'Direction: NFS export -> Windows mount'
        while :; do
          ({cycle})
          echo \"[$(date +%H:%M:%S)] Synced to Windows in 0s\"
          sleep {sleeps} & wait $!
        done"
    )
}

/// At the end: a strategic merge would put it first, where it sees an empty export.
fn added_sidecar() -> Value {
    let container = json!({
        "name": "sync-to-windows",
        "restartPolicy": "Always",
        "image": "alpine:latest",
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", copying(COPIES, 5)],
        "resources": {"requests": {"memory": "32Mi", "cpu": "25m"}, "limits": {"memory": "64Mi", "cpu": "100m"}},
        "volumeMounts": [
            {"name": "nfs-export", "mountPath": "/nfs-data", "readOnly": true},
            {"name": "windows-data", "mountPath": "/windows-mount"},
        ],
    });
    json!({"op": "add", "path": "/spec/template/spec/initContainers/-", "value": container})
}
