//! Rounds of faults in what Kubernetes is told of the release: values, rights, Services, folders.

use serde_json::json;

use super::patches::{
    FOLDER, SERVER, SIDECAR, add, added_sidecar, command, deployment, remove, replace, server, service, sidecar,
    variable,
};
use super::rounds::DRIFT;
use super::{Change, Fault, fault};

pub fn drift() -> Vec<Fault> {
    vec![
        fault("A2 sidecar on an input", "nas-input-1", deployment(&[added_sidecar()])).fail(&["phase3::no-sidecar"]),
        // Recreate: else the healthy predecessor stays. The command has no rsync any more, whose flags could be told.
        fault(
            "B1 init container fails",
            "nas-input-2",
            deployment(&[
                replace("/spec/strategy", json!({"type": "Recreate"})),
                replace("/spec/template/spec/initContainers/0/command", json!(["/bin/sh", "-c", "exit 1"])),
            ]),
        )
        .fail(&["phase2::pods", "phase2::init-sync"])
        .error(&["phase3::init-flags", "phase2::isolation", "phase2::subfolder"])
        .error(&["phase2::export-options", "phase2::nfs-mount"])
        .error(&["phase2::subfolder-mount", "phase2::service", "phase2::node-port"])
        .error(&["phase2::usage"]),
        fault(
            "C4 backup exported for writing",
            "nas-backup",
            server(&[variable(SERVER, 2, "EXPORT_OPTIONS", "rw,sync,no_root_squash,insecure")]),
        )
        .fail(&["phase2::export-options", "phase2::nfs-mount"])
        .fail(&["phase2::subfolder-mount"]),
        fault("C8 another NodePort", "nas-output-1", service(&[replace("/spec/ports/0/nodePort", 32164)])).fail(&[
            "phase2::service",
            "phase2::node-port",
            "phase2::unique",
        ]),
        fault(
            "another limit",
            "nas-output-2",
            server(&[replace(&format!("{SERVER}/resources/limits/memory"), "128Mi")]),
        )
        .fail(&["phase2::resources"]),
        fault("the fsid of another server", "nas-output-3", server(&[variable(SERVER, 1, "FSID", "1")]))
            .fail(&["phase2::fsid", "phase2::fsid::nas-input-1"]),
    ]
}

pub fn rights() -> Vec<Fault> {
    vec![
        fault("A11 no pause", "nas-output-1", sidecar(&[command(
                "trap 'exit 0' TERM
                echo 'Sync interval: 5s'
                echo 'Direction: NFS export -> Windows mount'
                while :; do rsync -av /nfs-data/ /windows-mount/; echo \"[$(date +%H:%M:%S)] Synced to Windows in 0s\"; done",
            )])).fail(&["phase2::usage", "phase3::cadence"]),
        fault("A12 folder mounted read-only", "nas-output-2", sidecar(&[
                add(&format!("{SIDECAR}/volumeMounts/1/readOnly"), true),
            ])).fail(&["phase2::host-mount", "phase3::sidecar-set-up", "phase3::cadence"]).error(&["phase3::latency", "phase3::multi-write"]),
        fault("B5 an output's init container deletes", "nas-output-3", deployment(&[variable("/spec/template/spec/initContainers/0", 1, "RSYNC_FLAGS", "--delete")])).fail(&["phase3::init-flags"]),
        fault("B7 the folder of another input", "nas-input-3", deployment(&[replace(&format!("{FOLDER}/hostPath/path"), "/mnt/simulator-data/nas-input-2")])).fail(&["phase2::unique"]),
        fault("C9 no NodePort", "nas-input-1", service(&[replace("/spec/type", "ClusterIP"), remove("/spec/ports/0/nodePort")])).fail(&["phase2::service", "phase2::node-port", "phase2::unique"]),
        fault("C15 privileged", "nas-input-2", server(&[
                replace(&format!("{SERVER}/securityContext"), json!({"privileged": true})),
            ])).fail(&["phase2::security"]),
        fault("C16 no NET_BIND_SERVICE", "nas-backup", server(&[
                remove(&format!("{SERVER}/securityContext/capabilities/add")),
            ])).fail(&["phase2::security"]),
    ]
}

pub fn elsewhere() -> Vec<Fault> {
    vec![
        fault(
            "export mounted read-only",
            "nas-input-1",
            server(&[add(&format!("{SERVER}/volumeMounts/0/readOnly"), true)]),
        )
        .fail(&["phase2::isolation", "phase2::subfolder", "phase2::nfs-mount"])
        .error(&["phase2::subfolder-mount"])
        .fail(DRIFT),
        // A NodePort that another server has.
        fault(
            "D2 a failed upgrade",
            "nas-backup",
            Change::FailedUpgrade(&["--set", "nasServers[3].service.nodePort=32150"]),
        )
        .fail(&["phase2::release", "release::release"]),
        fault("no Service", "nas-input-2", Change::NoService)
            .fail(&["phase2::service", "phase2::node-port", "phase2::dns"])
            .fail(&["phase2::unique"])
            .fail(DRIFT),
        fault("no folder", "nas-input-3", Change::NoFolder).fail(&["phase2::host-folder"]),
    ]
}
