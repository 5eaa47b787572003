//! Rounds of faults that suites beyond phase2 and phase3 catch.

use serde_json::json;

use super::patches::{EXPORT, SERVER, added_sidecar, command, copying, selecting, server, sidecar, variable};
use super::rounds::{DRIFT, ERROR, FAIL};
use super::{Change, Fault, Round};

pub fn rounds() -> [Round; 3] {
    [
        Round { suites: &["nfs", "data-safety", "smoke"], ..Round::usual("silent", silent()) },
        Round { suites: &["release"], ..Round::usual("drifted", drifted()) },
        // The others are no part of it.
        Round {
            name: "restarted",
            suites: &["restarts"],
            skip: &["nas-input", "nas-backup", "nas-output-1", "nas-output-3"],
            disrupts: true,
            faults: vec![Fault {
                id: "B3 init container copies nothing",
                server: "nas-output-2",
                change: Change::Deployment(json!([
                    {"op": "replace", "path": "/spec/template/spec/initContainers/0/command",
                        "value": ["/bin/sh", "-c", "echo '=== Init Container Complete ==='"]},
                ])),
                wrong: &[(FAIL, &["restarts::win-02"])],
            }],
        },
    ]
}

/// Every pod is Ready, and `kubectl get pods` shows nothing.
fn silent() -> Vec<Fault> {
    vec![
        Fault {
            id: "B10 evicted",
            server: "nas-input-3",
            change: Change::Evicted,
            wrong: &[(FAIL, &["smoke::pods", "smoke::drift"])],
        },
        Fault {
            id: "A16 sidecar deletes the tester's files",
            server: "nas-output-1",
            change: sidecar(&[command(&copying("rsync -av --delete /nfs-data/ /windows-mount/"))]),
            wrong: &[(FAIL, &["data-safety::keep", "smoke::drift"])],
        },
        Fault {
            id: "A20 changes a byte of what it copied, and keeps its time",
            server: "nas-output-2",
            change: sidecar(&[command(&copying(
                "rsync -av /nfs-data/ /windows-mount/ | tee /tmp/list
                 while IFS= read -r name; do file=/windows-mount/$name
                   case $name in e2e-*) [ -f \"$file\" ] && [ -s \"$file\" ] || continue ;; *) continue ;; esac
                   touch -r \"$file\" /tmp/time; printf '#' | dd of=\"$file\" conv=notrunc 2>/dev/null
                   touch -r /tmp/time \"$file\"; done </tmp/list",
            ))]),
            wrong: &[
                (FAIL, &["data-safety::newer-wins", "data-safety::large-file", "data-safety::many-files"]),
                (FAIL, &["data-safety::names", "nfs::sync", "smoke::drift"]),
            ],
        },
        Fault {
            id: "B11 the folder was made anew",
            server: "nas-output-3",
            change: Change::NewFolder,
            wrong: &[
                (FAIL, &["smoke::host-mount"]),
                (ERROR, &["nfs::sync", "data-safety::keep", "data-safety::newer-wins", "data-safety::large-file"]),
                (ERROR, &["data-safety::many-files", "data-safety::names"]),
            ],
        },
        Fault {
            id: "C3 wedged",
            server: "nas-input-2",
            change: Change::Signal("STOP"),
            wrong: &[(FAIL, &["nfs::port-forward", "nfs::node-port", "smoke::nfs-mount"])],
        },
        Fault {
            id: "C4 backup exported for writing",
            server: "nas-backup",
            change: server(&[variable(SERVER, 2, "EXPORT_OPTIONS", "rw,sync,no_root_squash,insecure")]),
            wrong: &[
                (FAIL, &["nfs::port-forward", "nfs::node-port"]),
                (FAIL, &["smoke::nfs-mount", "smoke::export-options", "smoke::drift"]),
            ],
        },
        Fault {
            id: "C6 Service selects another server",
            server: "nas-input-1",
            // One that answers: what is written through the NodePort goes there.
            change: selecting("nas-output-1"),
            wrong: &[(FAIL, &["nfs::node-port", "smoke::service", "smoke::drift"])],
        },
    ]
}

/// What was edited after an upgrade that failed.
fn drifted() -> Vec<Fault> {
    vec![
        Fault {
            id: "D1 an upgrade waited in vain",
            server: "nas-backup",
            change: Change::FailedUpgrade(&["--set", "nasServers[3].image.tag=no-such-tag", "--timeout", "8s"]),
            // Its objects are live, so its manifest counts.
            wrong: &[(FAIL, &["release::release", "release::pods-count", "release::pods"])],
        },
        Fault {
            id: "D3 two replicas",
            server: "nas-input-3",
            change: Change::Scale(2),
            wrong: &[(FAIL, DRIFT), (FAIL, &["release::pods-count", "release::pods"])],
        },
        Fault {
            id: "D3 sidecar on an input",
            server: "nas-input-1",
            change: Change::Deployment(json!([added_sidecar()])),
            wrong: &[(FAIL, DRIFT)],
        },
        Fault {
            id: "D3 another command",
            server: "nas-output-1",
            change: sidecar(&[command(&copying("rsync -av /nfs-data/ /windows-mount/"))]),
            wrong: &[(FAIL, DRIFT)],
        },
        Fault {
            id: "D3 no sizeLimit",
            server: "nas-output-2",
            change: Change::Deployment(json!([{"op": "remove", "path": format!("{EXPORT}/emptyDir/sizeLimit")}])),
            wrong: &[(FAIL, DRIFT)],
        },
        Fault {
            id: "D3 another NodePort",
            server: "nas-output-3",
            change: Change::Service(json!([{"op": "replace", "path": "/spec/ports/0/nodePort", "value": 32164}])),
            wrong: &[(FAIL, DRIFT)],
        },
        Fault { id: "D3 no Service", server: "nas-input-2", change: Change::NoService, wrong: &[(FAIL, DRIFT)] },
    ]
}
