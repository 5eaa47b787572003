//! JSON patches as the catalogue of faults writes them.

use serde_json::{Value, json};

/// As the API server knows it: the steps `runs` and `copies` replace the sidecar's script, which must end soon after SIGTERM.
pub fn patch(steps: &[Value]) -> Value {
    let step = |written: &Value| {
        let script = match (&written["runs"], &written["copies"]) {
            (Value::String(script), _) => script.clone(),
            (_, Value::String(cycle)) => copying(cycle),
            _ => return written.clone(),
        };
        let path = "/spec/template/spec/initContainers/1/command";
        json!({"op": "replace", "path": path, "value": ["/bin/sh", "-c", script]})
    };
    steps.iter().map(step).collect()
}

/// The script of a sidecar that does this in each cycle, in its own shell, and says what a good one does.
fn copying(cycle: &str) -> String {
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
