//! Rounds of faults in what Kubernetes is told of the release: values, rights, Services, folders.

use serde_json::json;

use super::patches::{FOLDER, SERVER, SIDECAR, added_sidecar, command, server, sidecar, variable};
use super::rounds::{DRIFT, ERROR, FAIL};
use super::{Change, Fault};

pub fn drift() -> Vec<Fault> {
    vec![
        Fault {
            id: "A2 sidecar on an input",
            server: "nas-input-1",
            change: Change::Deployment(json!([added_sidecar()])),
            wrong: &[(FAIL, &["phase3::no-sidecar"])],
        },
        Fault {
            id: "B1 init container fails",
            server: "nas-input-2",
            // Recreate: else the healthy predecessor stays.
            change: Change::Deployment(json!([
                {"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}},
                {"op": "replace", "path": "/spec/template/spec/initContainers/0/command", "value": ["/bin/sh", "-c", "exit 1"]},
            ])),
            wrong: &[
                (FAIL, &["phase2::pods", "phase2::init-sync"]),
                // Its command has no rsync any more.
                (ERROR, &["phase3::init-flags"]),
                (ERROR, &["phase2::isolation", "phase2::subfolder", "phase2::export-options"]),
                (ERROR, &["phase2::nfs-mount", "phase2::subfolder-mount"]),
                (ERROR, &["phase2::service", "phase2::node-port", "phase2::usage"]),
            ],
        },
        Fault {
            id: "C4 backup exported for writing",
            server: "nas-backup",
            change: server(&[variable(SERVER, 2, "EXPORT_OPTIONS", "rw,sync,no_root_squash,insecure")]),
            wrong: &[(FAIL, &["phase2::export-options", "phase2::nfs-mount", "phase2::subfolder-mount"])],
        },
        Fault {
            id: "C8 another NodePort",
            server: "nas-output-1",
            change: Change::Service(json!([{"op": "replace", "path": "/spec/ports/0/nodePort", "value": 32164}])),
            wrong: &[(FAIL, &["phase2::service", "phase2::node-port", "phase2::unique"])],
        },
        Fault {
            id: "another limit",
            server: "nas-output-2",
            change: server(&[
                json!({"op": "replace", "path": format!("{SERVER}/resources/limits/memory"), "value": "128Mi"}),
            ]),
            wrong: &[(FAIL, &["phase2::resources"])],
        },
        Fault {
            id: "the fsid of another server",
            server: "nas-output-3",
            change: server(&[variable(SERVER, 1, "FSID", "1")]),
            wrong: &[(FAIL, &["phase2::fsid", "phase2::fsid::nas-input-1"])],
        },
    ]
}

pub fn rights() -> Vec<Fault> {
    vec![
        Fault {
            id: "A11 no pause",
            server: "nas-output-1",
            change: sidecar(&[command(
                "trap 'exit 0' TERM
                echo 'Sync interval: 5s'
                echo 'Direction: NFS export -> Windows mount'
                while :; do rsync -av /nfs-data/ /windows-mount/; echo \"[$(date +%H:%M:%S)] Synced to Windows in 0s\"; done",
            )]),
            wrong: &[(FAIL, &["phase2::usage", "phase3::cadence"])],
        },
        Fault {
            id: "A12 folder mounted read-only",
            server: "nas-output-2",
            change: sidecar(&[
                json!({"op": "add", "path": format!("{SIDECAR}/volumeMounts/1/readOnly"), "value": true}),
            ]),
            wrong: &[
                (FAIL, &["phase2::host-mount", "phase3::sidecar-set-up", "phase3::cadence"]),
                (ERROR, &["phase3::latency", "phase3::multi-write"]),
            ],
        },
        Fault {
            id: "B5 an output's init container deletes",
            server: "nas-output-3",
            change: Change::Deployment(json!([
                variable("/spec/template/spec/initContainers/0", 1, "RSYNC_FLAGS", "--delete"),
            ])),
            wrong: &[(FAIL, &["phase3::init-flags"])],
        },
        Fault {
            id: "B7 the folder of another input",
            server: "nas-input-3",
            change: Change::Deployment(json!([
                {"op": "replace", "path": format!("{FOLDER}/hostPath/path"), "value": "/mnt/simulator-data/nas-input-2"},
            ])),
            wrong: &[(FAIL, &["phase2::unique"])],
        },
        Fault {
            id: "C9 no NodePort",
            server: "nas-input-1",
            change: Change::Service(json!([
                {"op": "replace", "path": "/spec/type", "value": "ClusterIP"},
                {"op": "remove", "path": "/spec/ports/0/nodePort"},
            ])),
            wrong: &[(FAIL, &["phase2::service", "phase2::node-port", "phase2::unique"])],
        },
        Fault {
            id: "C15 privileged",
            server: "nas-input-2",
            change: server(&[
                json!({"op": "replace", "path": format!("{SERVER}/securityContext"), "value": {"privileged": true}}),
            ]),
            wrong: &[(FAIL, &["phase2::security"])],
        },
        Fault {
            id: "C16 no NET_BIND_SERVICE",
            server: "nas-backup",
            change: server(&[
                json!({"op": "remove", "path": format!("{SERVER}/securityContext/capabilities/add")}),
            ]),
            wrong: &[(FAIL, &["phase2::security"])],
        },
    ]
}

pub fn elsewhere() -> Vec<Fault> {
    vec![
        Fault {
            id: "export mounted read-only",
            server: "nas-input-1",
            change: server(&[json!({"op": "add", "path": format!("{SERVER}/volumeMounts/0/readOnly"), "value": true})]),
            wrong: &[
                (FAIL, &["phase2::isolation", "phase2::subfolder", "phase2::nfs-mount"]),
                (ERROR, &["phase2::subfolder-mount"]),
                (FAIL, DRIFT),
            ],
        },
        Fault {
            id: "D2 a failed upgrade",
            server: "nas-backup",
            // A NodePort that another server has.
            change: Change::FailedUpgrade(&["--set", "nasServers[3].service.nodePort=32150"]),
            wrong: &[(FAIL, &["phase2::release", "release::release"])],
        },
        Fault {
            id: "no Service",
            server: "nas-input-2",
            change: Change::NoService,
            wrong: &[(FAIL, &["phase2::service", "phase2::node-port", "phase2::dns", "phase2::unique"]), (FAIL, DRIFT)],
        },
        Fault {
            id: "no folder",
            server: "nas-input-3",
            change: Change::NoFolder,
            wrong: &[(FAIL, &["phase2::host-folder"])],
        },
    ]
}
