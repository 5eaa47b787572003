//! Which faults go together, and what each makes wrong.

use serde_json::json;

use super::patches::{EXPORT, FOLDER, SIDECAR, added_sidecar, command, copying, interval, selecting, sidecar};
use super::{Change, Fault, Round, absent, as_simulated, drift, further, safety};

pub const FAIL: &str = "FAIL";
pub const ERROR: &str = "ERROR";
pub const SKIP: &str = "SKIP";

/// What must not PASS where a live object is not as in the manifest.
pub const DRIFT: &[&str] = &["release::drift", "release::drift-whole"];
/// What must not PASS where the sidecar copies nothing.
pub const NOTHING_COPIED: &[&str] = &["phase3::latency", "phase3::multi-write", "phase3::cadence"];
/// The tests of any server that look at its pod.
pub const OF_THE_POD: &[&str] = &[
    "phase2::export-options",
    "phase2::fsid",
    "phase2::init-sync",
    "phase2::isolation",
    "phase2::nfs-mount",
    "phase2::node-port",
    "phase2::resources",
    "phase2::security",
    "phase2::service",
    "phase2::subfolder",
    "phase2::subfolder-mount",
    "phase2::usage",
    "phase3::init-flags",
    "phase3::size-limit",
];

/// All rounds. Only the second and the seventh change the number of pods that are Ready.
pub fn rounds() -> Vec<Round> {
    let round = Round::usual;
    let usual = vec![
        round("no-copies", no_copies()),
        round("other-pods", other_pods()),
        round("cycles", cycles()),
        round("two-ways", two_ways()),
        round("folders", folders()),
        round("one-export", one_export()),
        round("drift", drift::drift()),
        round("rights", drift::rights()),
        absent::round(),
        Round { suites: &["phase2", "phase3", "release"], ..round("elsewhere", drift::elsewhere()) },
    ];
    usual.into_iter().chain(further::rounds()).chain(safety::rounds()).collect()
}

fn no_copies() -> Vec<Fault> {
    vec![
        Fault {
            id: "A1 no sidecar",
            server: "nas-output-1",
            change: sidecar(&[json!({"op": "remove", "path": SIDECAR})]),
            wrong: &[
                (ERROR, &["phase2::host-mount"]),
                (FAIL, NOTHING_COPIED),
                (FAIL, &["phase3::sidecar", "phase3::sidecar-set-up"]),
            ],
        },
        Fault {
            id: "A3 sidecar on the backup",
            server: "nas-backup",
            change: Change::Deployment(json!([added_sidecar()])),
            wrong: &[(FAIL, &["phase3::no-sidecar"])],
        },
        Fault {
            id: "A6 crash loop",
            server: "nas-output-2",
            // Recreate: else the healthy predecessor stays, because the new pod is hardly ever Ready.
            change: sidecar(&[
                json!({"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}}),
                command("sleep 1; exit 1"),
            ]),
            wrong: as_simulated("sidecar-crash-loop"),
        },
        Fault {
            id: "A8 hung",
            server: "nas-output-3",
            change: sidecar(&[command("trap 'exit 0' TERM; sleep infinity & wait")]),
            wrong: &[(FAIL, NOTHING_COPIED), (FAIL, &["phase3::sidecar-set-up"])],
        },
    ]
}

fn other_pods() -> Vec<Fault> {
    vec![
        Fault {
            id: "A4 ordinary container",
            server: "nas-output-1",
            change: sidecar(&[
                json!({"op": "remove", "path": format!("{SIDECAR}/restartPolicy")}),
                json!({"op": "move", "from": SIDECAR, "path": "/spec/template/spec/containers/-"}),
            ]),
            wrong: &[(FAIL, &["phase3::sidecar"])],
        },
        Fault {
            id: "A14 wrong target",
            server: "nas-output-2",
            change: sidecar(&[command(&copying("rsync -av /nfs-data/ /tmp/out/"))]),
            wrong: &[(FAIL, &["phase3::latency", "phase3::multi-write"])],
        },
        Fault {
            id: "C10 no replica",
            server: "nas-input-2",
            change: Change::Scale(0),
            wrong: &[
                (FAIL, &["phase2::pods-count", "phase2::pods"]),
                (ERROR, OF_THE_POD),
                (ERROR, &["phase2::unique", "phase3::no-sidecar"]),
            ],
        },
        Fault {
            id: "C11 two replicas",
            server: "nas-output-3",
            change: Change::Scale(2),
            wrong: &[
                (FAIL, &["phase2::pods-count", "phase2::pods"]),
                (ERROR, OF_THE_POD),
                (ERROR, NOTHING_COPIED),
                (ERROR, &["phase2::host-mount", "phase3::sidecar", "phase3::sidecar-set-up"]),
            ],
        },
    ]
}

fn cycles() -> Vec<Fault> {
    vec![
        Fault {
            id: "A9 interval of 1 s",
            server: "nas-output-1",
            change: sidecar(&[interval("1")]),
            wrong: &[(FAIL, &["phase3::cadence", "phase3::sidecar-set-up"])],
        },
        Fault {
            id: "A10 interval of 300 s",
            server: "nas-output-2",
            change: sidecar(&[interval("300")]),
            wrong: &[(FAIL, NOTHING_COPIED), (FAIL, &["phase3::sidecar-set-up"])],
        },
        Fault {
            id: "A13 rsync fails and the loop goes on",
            server: "nas-output-3",
            change: sidecar(&[command(&copying("rsync -av /nfs-data/ /windows-mount/missing/sub/"))]),
            wrong: &[(FAIL, NOTHING_COPIED)],
        },
        Fault {
            id: "B9 no sizeLimit",
            server: "nas-backup",
            change: Change::Deployment(json!([
                {"op": "remove", "path": format!("{EXPORT}/emptyDir/sizeLimit")},
            ])),
            wrong: &[(FAIL, &["phase3::size-limit"])],
        },
        Fault {
            id: "C5 Service selects nothing",
            server: "nas-input-1",
            change: selecting("nas-output-9"),
            wrong: &[(FAIL, &["phase2::service", "phase2::node-port"])],
        },
        Fault {
            id: "C7 wrong targetPort",
            server: "nas-input-3",
            change: Change::Service(json!([
                {"op": "replace", "path": "/spec/ports/0/targetPort", "value": "nfsd"},
            ])),
            wrong: &[(FAIL, &["phase2::service", "phase2::node-port"])],
        },
    ]
}

fn two_ways() -> Vec<Fault> {
    vec![
        Fault {
            id: "A17 export mounted writable",
            server: "nas-output-1",
            change: sidecar(&[json!({"op": "remove", "path": format!("{SIDECAR}/volumeMounts/0/readOnly")})]),
            wrong: &[(FAIL, &["phase3::sidecar-set-up"])],
        },
        Fault {
            id: "A18 copies back and forth",
            server: "nas-output-2",
            change: sidecar(&[
                json!({"op": "remove", "path": format!("{SIDECAR}/volumeMounts/0/readOnly")}),
                command(&copying(
                    "rsync -a --ignore-existing /windows-mount/ /nfs-data/; find /nfs-data -type f -exec touch {} +; \
                     rsync -av /nfs-data/ /windows-mount/",
                )),
            ]),
            wrong: &[(FAIL, &["phase3::sidecar-set-up", "phase3::cadence"])],
        },
        Fault {
            // Not the probe of the mount, which is none of its copies.
            id: "A19 truncates what it copied",
            server: "nas-output-3",
            change: sidecar(&[command(&copying(
                "rsync -av /nfs-data/ /windows-mount/; cd /windows-mount; for file in e2e-*.txt; do case $file in \
                   *mount*) ;; \
                   *) size=$(stat -c %s \"$file\") && [ $size -lt 3 ] || truncate -s $((size - 3)) \"$file\" ;; esac; done",
            ))]),
            wrong: &[(FAIL, NOTHING_COPIED)],
        },
        Fault {
            id: "C6 Service selects another server",
            server: "nas-input-1",
            change: selecting("nas-input-2"),
            wrong: &[(FAIL, &["phase2::service"])],
        },
    ]
}

fn folders() -> Vec<Fault> {
    vec![
        Fault {
            id: "A20 changes a byte of what it copied, and keeps its time",
            server: "nas-output-1",
            change: sidecar(&[command(&copying(
                "rsync -av /nfs-data/ /windows-mount/; cd /windows-mount; for file in e2e-*.txt; do case $file in *mount*) ;; *) [ ! -s \"$file\" ] || { \
                   touch -r \"$file\" /tmp/time; printf '#' | dd of=\"$file\" conv=notrunc 2>/dev/null; \
                   touch -r /tmp/time \"$file\"; } ;; esac; done",
            ))]),
            wrong: as_simulated("sidecar-corrupts"),
        },
        Fault {
            id: "B4 sidecar before the init container",
            server: "nas-output-2",
            change: sidecar(&[json!({"op": "move", "from": SIDECAR, "path": "/spec/template/spec/initContainers/0"})]),
            wrong: &[(FAIL, &["phase3::sidecar"])],
        },
        Fault {
            id: "B6 the folder of another server",
            server: "nas-output-3",
            change: Change::Deployment(json!([
                {"op": "test", "path": format!("{FOLDER}/name"), "value": "windows-data"},
                {"op": "replace", "path": format!("{FOLDER}/hostPath/path"), "value": "/mnt/simulator-data/nas-output-2"},
            ])),
            wrong: &[
                (FAIL, &["phase2::host-mount", "phase2::unique"]),
                (ERROR, &["phase3::latency", "phase3::multi-write"]),
            ],
        },
    ]
}

fn one_export() -> Vec<Fault> {
    let fault = |server| Fault {
        id: "B8 one export for two servers",
        server,
        change: Change::Deployment(json!([
            {"op": "test", "path": format!("{EXPORT}/name"), "value": "nfs-export"},
            {"op": "replace", "path": EXPORT, "value": {
                "name": "nfs-export",
                "hostPath": {"path": "/mnt/simulator-data/shared-export", "type": "DirectoryOrCreate"},
            }},
        ])),
        wrong: &[(FAIL, &["phase2::isolation", "phase3::size-limit"])],
    };
    let longer = Fault {
        id: "A10 sleeps longer than its environment and its log say",
        server: "nas-output-3",
        change: sidecar(&[command(&copying("rsync -av /nfs-data/ /windows-mount/").replace("sleep 5", "sleep 10"))]),
        wrong: &[(FAIL, &["phase3::sidecar-set-up"])],
    };
    vec![fault("nas-output-1"), fault("nas-output-2"), longer]
}
