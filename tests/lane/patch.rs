//! JSON patches with the catalogue's extensions.

use serde_json::{Value, json};

/// Converts to a standard JSON patch: `runs` replaces the sidecar's script, `copies` what it does in each cycle. A script must
/// exit soon after SIGTERM.
pub fn patch(steps: &[Value]) -> Value {
    let step = |step: &Value| {
        let script = match (&step["runs"], &step["copies"]) {
            (Value::String(script), _) => script.clone(),
            (_, Value::String(cycle)) => sidecar(cycle),
            _ => return step.clone(),
        };
        let path = "/spec/template/spec/initContainers/1/command";
        json!({"op": "replace", "path": path, "value": ["/bin/sh", "-c", script]})
    };
    steps.iter().map(step).collect()
}

/// A sidecar's script with this cycle, run in a subshell, and the log lines of a correct sidecar.
fn sidecar(cycle: &str) -> String {
    format!(
        "trap 'exit 0' TERM
        echo 'Sync interval: 5s'
        echo 'Direction: NFS export -> Windows mount'
        while :; do
          ({cycle})
          echo \"[$(date +%H:%M:%S)] Synced to Windows in 0s\"
          sleep 5 & wait $!
        done"
    )
}
