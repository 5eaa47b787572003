//! Which faults go together, and what each makes wrong.

use serde_json::json;

use super::patches::{
    EXPORT, FOLDER, SIDECAR, added_sidecar, command, copying, deployment, interval, remove, replace, selecting,
    service, sidecar, test,
};
use super::{Change, Fault, Round, absent, drift, fault, further};

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
    usual.into_iter().chain(further::rounds()).collect()
}

fn no_copies() -> Vec<Fault> {
    vec![
        fault("A1 no sidecar", "nas-output-1", sidecar(&[remove(SIDECAR)]))
            .error(&["phase2::host-mount"])
            .fail(NOTHING_COPIED)
            .fail(&["phase3::sidecar", "phase3::sidecar-set-up"]),
        fault("A3 sidecar on the backup", "nas-backup", deployment(&[added_sidecar()])).fail(&["phase3::no-sidecar"]),
        // Recreate: else the healthy predecessor stays, because the new pod is hardly ever Ready.
        fault(
            "A6 crash loop",
            "nas-output-2",
            sidecar(&[replace("/spec/strategy", json!({"type": "Recreate"})), command("sleep 1; exit 1")]),
        )
        .fail(&["phase2::pods", "phase3::sidecar"])
        .fail(NOTHING_COPIED)
        .error(&["phase2::host-mount", "phase2::service", "phase2::node-port"])
        .error(&["phase2::usage", "phase3::sidecar-set-up"]),
        fault("A8 hung", "nas-output-3", sidecar(&[command("trap 'exit 0' TERM; sleep infinity & wait")]))
            .fail(NOTHING_COPIED)
            .fail(&["phase3::sidecar-set-up"]),
    ]
}

fn other_pods() -> Vec<Fault> {
    vec![
        fault(
            "A4 ordinary container",
            "nas-output-1",
            sidecar(&[
                remove(&format!("{SIDECAR}/restartPolicy")),
                json!({"op": "move", "from": SIDECAR, "path": "/spec/template/spec/containers/-"}),
            ]),
        )
        .fail(&["phase3::sidecar"]),
        fault("A14 wrong target", "nas-output-2", sidecar(&[command(&copying("rsync -av /nfs-data/ /tmp/out/"))]))
            .fail(&["phase3::latency", "phase3::multi-write"]),
        fault("C10 no replica", "nas-input-2", Change::Scale(0))
            .fail(&["phase2::pods-count", "phase2::pods"])
            .error(OF_THE_POD)
            .error(&["phase2::unique", "phase3::no-sidecar"]),
        fault("C11 two replicas", "nas-output-3", Change::Scale(2))
            .fail(&["phase2::pods-count", "phase2::pods"])
            .error(OF_THE_POD)
            .error(NOTHING_COPIED)
            .error(&["phase2::host-mount", "phase3::sidecar", "phase3::sidecar-set-up"]),
    ]
}

fn cycles() -> Vec<Fault> {
    vec![
        fault("A9 interval of 1 s", "nas-output-1", sidecar(&[interval("1")]))
            .fail(&["phase3::cadence", "phase3::sidecar-set-up"]),
        fault("A10 interval of 300 s", "nas-output-2", sidecar(&[interval("300")]))
            .fail(NOTHING_COPIED)
            .fail(&["phase3::sidecar-set-up"]),
        fault(
            "A13 rsync fails and the loop goes on",
            "nas-output-3",
            sidecar(&[command(&copying("rsync -av /nfs-data/ /windows-mount/missing/sub/"))]),
        )
        .fail(NOTHING_COPIED),
        fault("B9 no sizeLimit", "nas-backup", deployment(&[remove(&format!("{EXPORT}/emptyDir/sizeLimit"))]))
            .fail(&["phase3::size-limit"]),
        fault("C5 Service selects nothing", "nas-input-1", selecting("nas-output-9"))
            .fail(&["phase2::service", "phase2::node-port"]),
        fault("C7 wrong targetPort", "nas-input-3", service(&[replace("/spec/ports/0/targetPort", "nfsd")]))
            .fail(&["phase2::service", "phase2::node-port"]),
    ]
}

fn two_ways() -> Vec<Fault> {
    vec![
        fault("A17 export mounted writable", "nas-output-1", sidecar(&[remove(&format!("{SIDECAR}/volumeMounts/0/readOnly"))])).fail(&["phase3::sidecar-set-up"]),
        fault("A18 copies back and forth", "nas-output-2", sidecar(&[
                remove(&format!("{SIDECAR}/volumeMounts/0/readOnly")),
                command(&copying(
                    "rsync -a --ignore-existing /windows-mount/ /nfs-data/; find /nfs-data -type f -exec touch {} +; \
                     rsync -av /nfs-data/ /windows-mount/",
                )),
            ])).fail(&["phase3::sidecar-set-up", "phase3::cadence"]),
        // Not the probe of the mount, which is none of its copies.
fault("A19 truncates what it copied", "nas-output-3", sidecar(&[command(&copying(
                "rsync -av /nfs-data/ /windows-mount/; cd /windows-mount; for file in e2e-*.txt; do case $file in \
                   *mount*) ;; \
                   *) size=$(stat -c %s \"$file\") && [ $size -lt 3 ] || truncate -s $((size - 3)) \"$file\" ;; esac; done",
            ))])).fail(NOTHING_COPIED),
        fault("C6 Service selects another server", "nas-input-1", selecting("nas-input-2")).fail(&["phase2::service"]),
    ]
}

fn folders() -> Vec<Fault> {
    vec![
        fault("A20 changes a byte of what it copied, and keeps its time", "nas-output-1", sidecar(&[command(&copying(
                "rsync -av /nfs-data/ /windows-mount/; cd /windows-mount; for file in e2e-*.txt; do case $file in *mount*) ;; *) [ ! -s \"$file\" ] || { \
                   touch -r \"$file\" /tmp/time; printf '#' | dd of=\"$file\" conv=notrunc 2>/dev/null; \
                   touch -r /tmp/time \"$file\"; } ;; esac; done",
            ))])).fail(&["phase3::latency", "phase3::multi-write"]),
        fault("B4 sidecar before the init container", "nas-output-2", sidecar(&[json!({"op": "move", "from": SIDECAR, "path": "/spec/template/spec/initContainers/0"})])).fail(&["phase3::sidecar"]),
        fault("B6 the folder of another server", "nas-output-3", deployment(&[test(&format!("{FOLDER}/name"), "windows-data"), replace(&format!("{FOLDER}/hostPath/path"), "/mnt/simulator-data/nas-output-2")])).fail(&["phase2::host-mount", "phase2::unique"]).error(&["phase3::latency", "phase3::multi-write"]),
    ]
}

fn one_export() -> Vec<Fault> {
    let shared = |server| {
        fault(
            "B8 one export for two servers",
            server,
            deployment(&[
                test(&format!("{EXPORT}/name"), "nfs-export"),
                replace(
                    EXPORT,
                    json!({
                        "name": "nfs-export",
                        "hostPath": {"path": "/mnt/simulator-data/shared-export", "type": "DirectoryOrCreate"},
                    }),
                ),
            ]),
        )
        .fail(&["phase2::isolation", "phase3::size-limit"])
    };
    let longer = fault(
        "A10 sleeps longer than its environment and its log say",
        "nas-output-3",
        sidecar(&[command(&copying("rsync -av /nfs-data/ /windows-mount/").replace("sleep 5", "sleep 10"))]),
    )
    .fail(&["phase3::sidecar-set-up"]);
    vec![shared("nas-output-1"), shared("nas-output-2"), longer]
}
