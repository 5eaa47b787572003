//! Rounds of faults that suites beyond phase2 and phase3 catch.

use serde_json::json;

use super::patches::{
    EXPORT, SERVER, added_sidecar, command, copying, deployment, remove, replace, selecting, server, service, sidecar,
    variable,
};
use super::rounds::DRIFT;
use super::{Change, Fault, Round, fault};

pub fn rounds() -> [Round; 5] {
    [
        Round { suites: &["nfs", "data-safety", "smoke"], ..Round::usual("silent", silent()) },
        Round { suites: &["release"], ..Round::usual("drifted", drifted()) },
        // The others are no part of it.
        Round {
            name: "restarted",
            suites: &["restarts"],
            skip: &["nas-input", "nas-backup", "nas-output-1", "nas-output-3"],
            disrupts: true,
            faults: vec![
                fault(
                    "B3 init container copies nothing",
                    "nas-output-2",
                    deployment(&[replace(
                        "/spec/template/spec/initContainers/0/command",
                        json!(["/bin/sh", "-c", "echo '=== Init Container Complete ==='"]),
                    )]),
                )
                .fail(&["restarts::win-02"]),
            ],
        },
        Round { suites: &["data-safety"], ..Round::usual("careless", careless()) },
        Round { suites: &["data-safety"], ..Round::usual("temporaries", temporaries()) },
    ]
}

/// Every pod is Ready, and `kubectl get pods` shows nothing.
fn silent() -> Vec<Fault> {
    vec![
        fault("B10 evicted", "nas-input-3", Change::Evicted).fail(&["smoke::pods", "smoke::drift"]),
        fault(
            "A16 sidecar deletes the tester's files",
            "nas-output-1",
            sidecar(&[command(&copying("rsync -av --delete /nfs-data/ /windows-mount/"))]),
        )
        .fail(&["data-safety::keep", "smoke::drift"]),
        fault(
            "A20 changes a byte of what it copied, and keeps its time",
            "nas-output-2",
            sidecar(&[command(&copying(
                "rsync -av /nfs-data/ /windows-mount/ | tee /tmp/list
                 while IFS= read -r name; do file=/windows-mount/$name
                   case $name in e2e-*) [ -f \"$file\" ] && [ -s \"$file\" ] || continue ;; *) continue ;; esac
                   touch -r \"$file\" /tmp/time; printf '#' | dd of=\"$file\" conv=notrunc 2>/dev/null
                   touch -r /tmp/time \"$file\"; done </tmp/list",
            ))]),
        )
        .fail(&["data-safety::newer-wins", "data-safety::large-file"])
        .fail(&["data-safety::many-files", "data-safety::names", "nfs::sync"])
        .fail(&["smoke::drift"]),
        fault("B11 the folder was made anew", "nas-output-3", Change::NewFolder)
            .fail(&["smoke::host-mount"])
            .error(&["nfs::sync", "data-safety::keep", "data-safety::newer-wins"])
            .error(&["data-safety::large-file", "data-safety::many-files"])
            .error(&["data-safety::names"]),
        fault("C3 wedged", "nas-input-2", Change::Signal("STOP")).fail(&[
            "nfs::port-forward",
            "nfs::node-port",
            "smoke::nfs-mount",
        ]),
        fault(
            "C4 backup exported for writing",
            "nas-backup",
            server(&[variable(SERVER, 2, "EXPORT_OPTIONS", "rw,sync,no_root_squash,insecure")]),
        )
        .fail(&["nfs::port-forward", "nfs::node-port", "smoke::nfs-mount"])
        .fail(&["smoke::export-options", "smoke::drift"]),
        // One that answers: what is written through the NodePort goes there.
        fault("C6 Service selects another server", "nas-input-1", selecting("nas-output-1")).fail(&[
            "nfs::node-port",
            "smoke::service",
            "smoke::drift",
        ]),
    ]
}

/// What was edited after an upgrade that failed.
fn drifted() -> Vec<Fault> {
    vec![
        // Its objects are live, so its manifest counts.
        fault(
            "D1 an upgrade waited in vain",
            "nas-backup",
            Change::FailedUpgrade(&["--set", "nasServers[3].image.tag=no-such-tag", "--timeout", "8s"]),
        )
        .fail(&["release::release", "release::pods-count", "release::pods"]),
        fault("D3 two replicas", "nas-input-3", Change::Scale(2))
            .fail(DRIFT)
            .fail(&["release::pods-count", "release::pods"]),
        fault("D3 sidecar on an input", "nas-input-1", deployment(&[added_sidecar()])).fail(DRIFT),
        fault(
            "D3 another command",
            "nas-output-1",
            sidecar(&[command(&copying("rsync -av /nfs-data/ /windows-mount/"))]),
        )
        .fail(DRIFT),
        fault("D3 no sizeLimit", "nas-output-2", deployment(&[remove(&format!("{EXPORT}/emptyDir/sizeLimit"))]))
            .fail(DRIFT),
        fault("D3 another NodePort", "nas-output-3", service(&[replace("/spec/ports/0/nodePort", 32164)])).fail(DRIFT),
        fault("D3 no Service", "nas-input-2", Change::NoService).fail(DRIFT),
    ]
}

/// Files arrive, and are not as they should be.
fn careless() -> Vec<Fault> {
    vec![
        fault(
            "A21 never replaces a file",
            "nas-output-1",
            sidecar(&[command(&copying("rsync -av --ignore-existing /nfs-data/ /windows-mount/"))]),
        )
        .fail(&["data-safety::newer-wins", "data-safety::large-file"]),
        fault(
            "A22 writes some files in place",
            "nas-output-2",
            sidecar(&[command(&copying(
                "rsync -av --exclude='*.bin' /nfs-data/ /windows-mount/
                 cd /nfs-data && find . -name '*.bin' | while IFS= read -r file; do
                   cmp -s \"$file\" \"/windows-mount/$file\" || cp -p \"$file\" \"/windows-mount/$file\"; done",
            ))]),
        )
        .fail(&["data-safety::large-file"]),
        fault(
            "A23 gives files the time of the copy",
            "nas-output-3",
            sidecar(&[command(&copying("rsync -rv /nfs-data/ /windows-mount/"))]),
        )
        .fail(&["data-safety::many-files"]),
    ]
}

fn temporaries() -> Vec<Fault> {
    vec![
        fault(
            "A26 leaves temporaries",
            "nas-output-3",
            sidecar(&[command(&copying(
                "rsync -av /nfs-data/ /windows-mount/ | tee /tmp/list
                 while IFS= read -r name; do
                   case $name in e2e-*/*) file=/windows-mount/$name ;; *) continue ;; esac
                   [ ! -f \"$file\" ] || touch \"${file%/*}/.${file##*/}.AbCdEf\"; done </tmp/list",
            ))]),
        )
        .fail(&["data-safety::large-file", "data-safety::many-files"])
        .fail(&["data-safety::names"]),
    ]
}
