//! The faults as data: how each is applied to which server, and which tests it must make wrong.

use serde_json::{Value, json};

/// A fault of one server.
pub struct Fault {
    /// Its number in the catalogue of faults, and what it is.
    pub id: &'static str,
    /// The server.
    pub server: &'static str,
    /// What is done to its Deployment.
    pub change: Change,
    /// Every test that must not PASS, with its outcome.
    pub wrong: &'static [(&'static str, &'static str)],
}

/// A change of a Deployment.
pub enum Change {
    /// A JSON patch.
    Patch(Value),
    /// The number of replicas.
    Scale(u8),
}

/// Independent faults on different servers go together. Only the second round changes the number of pods.
pub fn rounds() -> [Vec<Fault>; 2] {
    [
        vec![
            Fault {
                id: "A1 no sidecar",
                server: "nas-output-1",
                change: sidecar(&[json!({"op": "remove", "path": SIDECAR})]),
                wrong: &[
                    ("phase2::host-mount::nas-output-1", "ERROR"),
                    ("phase3::sidecar::nas-output-1", "FAIL"),
                    ("phase3::latency::nas-output-1", "FAIL"),
                ],
            },
            Fault {
                id: "A3 sidecar on the backup",
                server: "nas-backup",
                change: Change::Patch(json!([added_sidecar()])),
                wrong: &[("phase3::no-sidecar::nas-backup", "FAIL")],
            },
            Fault {
                id: "A6 crash loop",
                server: "nas-output-2",
                // Recreate: else the healthy predecessor stays, because the new pod is hardly ever Ready.
                change: sidecar(&[
                    json!({"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}}),
                    command("sleep 1; exit 1"),
                ]),
                wrong: &[
                    ("phase2::pods::nas-output-2", "FAIL"),
                    ("phase2::host-mount::nas-output-2", "ERROR"),
                    ("phase3::sidecar::nas-output-2", "FAIL"),
                    ("phase3::latency::nas-output-2", "FAIL"),
                ],
            },
            Fault {
                id: "A8 hung",
                server: "nas-output-3",
                change: sidecar(&[command("trap 'exit 0' TERM; sleep infinity & wait")]),
                wrong: &[("phase3::latency::nas-output-3", "FAIL")],
            },
        ],
        vec![
            Fault {
                id: "A4 ordinary container",
                server: "nas-output-1",
                change: sidecar(&[
                    json!({"op": "remove", "path": format!("{SIDECAR}/restartPolicy")}),
                    json!({"op": "move", "from": SIDECAR, "path": "/spec/template/spec/containers/-"}),
                ]),
                wrong: &[("phase3::sidecar::nas-output-1", "FAIL")],
            },
            Fault {
                id: "A14 wrong target",
                server: "nas-output-2",
                change: sidecar(&[command(&copying_to("/tmp/out/"))]),
                wrong: &[("phase3::latency::nas-output-2", "FAIL")],
            },
            Fault {
                id: "C10 no replica",
                server: "nas-input-2",
                change: Change::Scale(0),
                wrong: &[
                    ("phase2::pods-count", "FAIL"),
                    ("phase2::pods::nas-input-2", "FAIL"),
                    ("phase3::no-sidecar::nas-input-2", "ERROR"),
                ],
            },
            Fault {
                id: "C11 two replicas",
                server: "nas-output-3",
                change: Change::Scale(2),
                wrong: &[
                    ("phase2::pods-count", "FAIL"),
                    ("phase2::pods::nas-output-3", "FAIL"),
                    ("phase2::host-mount::nas-output-3", "ERROR"),
                    ("phase3::sidecar::nas-output-3", "ERROR"),
                    ("phase3::latency::nas-output-3", "ERROR"),
                ],
            },
        ],
    ]
}

/// Where the sidecar is in an output server's Deployment: after the init container.
const SIDECAR: &str = "/spec/template/spec/initContainers/1";

/// A change of the sidecar; refused by the API if it is not where we take it to be.
fn sidecar(steps: &[Value]) -> Change {
    let first = json!({"op": "test", "path": format!("{SIDECAR}/name"), "value": "sync-to-windows"});
    Change::Patch([&[first][..], steps].concat().into())
}

/// The sidecar runs this script instead, which must end soon after SIGTERM.
fn command(script: &str) -> Value {
    json!({"op": "replace", "path": format!("{SIDECAR}/command"), "value": ["/bin/sh", "-c", script]})
}

/// A sidecar that does its work, except that it may have the wrong target.
fn copying_to(target: &str) -> String {
    format!(
        "trap 'exit 0' TERM
        while :; do
          rsync -rv /nfs-data/ {target}
          echo \"[$(date +%H:%M:%S)] Synced to Windows in 0s\"
          sleep 5 & wait $!
        done"
    )
}

/// Adds a sidecar at the end: a strategic merge would put it first, where it sees an empty export.
fn added_sidecar() -> Value {
    let container = json!({
        "name": "sync-to-windows",
        "restartPolicy": "Always",
        "image": "alpine:latest",
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", copying_to("/windows-mount/")],
        "volumeMounts": [
            {"name": "nfs-export", "mountPath": "/nfs-data", "readOnly": true},
            {"name": "windows-data", "mountPath": "/windows-mount"},
        ],
    });
    json!({"op": "add", "path": "/spec/template/spec/initContainers/-", "value": container})
}
