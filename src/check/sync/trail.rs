//! Where a file was and was not on its way to the tester's folder, and what the first place without it means. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::work::Work;
use crate::check::storage::remount;
use crate::event::Hop;

/// What was seen of a file that did not arrive in time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trail {
    /// For commands that the user may run.
    pub context: String,
    /// The namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The folder of all servers on this machine.
    pub root: String,
    /// The server's folder on the node; empty if nothing mounts it.
    pub host_path: String,
    /// The file's size.
    pub bytes: usize,
    /// How long after the acknowledged write this was seen, in milliseconds.
    pub waited: u64,
    /// In the export, by the container that it was written in.
    pub export: Stop,
    /// In the export, by the sidecar.
    pub view: Stop,
    /// In the tester's folder, by a container.
    pub mount: Stop,
    /// In the tester's folder, here.
    pub folder: Stop,
    /// What the sidecar did.
    pub work: Work,
    /// Whether the file was written through NFS, and not by the export's container.
    #[serde(default)]
    pub by_nfs: bool,
}

/// A place that the file should have passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The folder, and the container if it is one's; empty if there is no such place.
    pub place: String,
    /// What was there.
    pub seen: Found,
}

/// What was at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// The file, whole.
    Whole,
    /// A file of that name with other content, of this many bytes.
    Other(usize),
    /// No file of that name.
    Absent,
    /// It cannot be looked into, and that is a fault of the place itself.
    Trouble(String),
    /// There is no such place.
    NoMount(String),
    /// It was not looked at, which says nothing.
    Unknown(String),
}

/// What a trail means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The hop that is broken.
    pub hop: Hop,
    /// What was seen.
    pub seen: String,
    /// What the user can do.
    pub hint: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.seen {
            Found::Whole => write!(f, "whole in {place}"),
            Found::Other(bytes) => write!(f, "{bytes} bytes of other content in {place}"),
            Found::Absent => write!(f, "not in {place}"),
            Found::Trouble(why) => write!(f, "{place} cannot be looked into ({why})"),
            Found::NoMount(_) => f.write_str("no mount where it should be seen next"),
            Found::Unknown(why) => write!(f, "{place} was not looked at ({why})"),
        }
    }
}

impl Stop {
    /// Whether the file is known not to be there as it was written.
    pub fn lacks(&self) -> bool {
        !matches!(self.seen, Found::Whole | Found::Unknown(_))
    }
}

impl Trail {
    /// The first place without the file, what that means, and everything that was seen.
    pub fn finding(&self) -> Finding {
        let (hop, what, hint) = self.break_();
        let way = [&self.export, &self.view, &self.mount, &self.folder].map(Stop::to_string).join("; ");
        Finding { hop, seen: format!("{what}.\nOn the way: {way}.\n{}.", self.work.describe()), hint }
    }

    fn break_(&self) -> (Hop, String, String) {
        let Work { container, .. } = &self.work;
        let (export, view, mount) = (&self.export.place, &self.view.place, &self.mount.place);
        if self.folder.seen == Found::Whole {
            let (seconds, tenths) = (self.waited / 1000, self.waited % 1000 / 100);
            let what = format!("it came late: it is in the folder by now, {seconds}.{tenths} s after it was written");
            let hint = format!(
                "compare the interval of {container} (sidecar.syncInterval in the values) with the limit, and look \
                 whether it has too much to copy or too little CPU"
            );
            return (Hop::Sidecar, what, hint);
        }
        if self.by_nfs && self.export.seen == Found::Absent {
            let what = format!("the NFS server took it, and it is not in {export}");
            let hint = format!(
                "the server exports another folder than {export}, or somebody removed the file: look at its mounts and \
                 its exports file"
            );
            return (Hop::Nfs, what, hint);
        }
        if self.export.lacks() {
            let what = match &self.export.seen {
                Found::Other(bytes) => {
                    format!("not even the export has it as it was written: {bytes} bytes of other content in {export}")
                }
                Found::Trouble(why) => format!("the export, {export}, cannot be looked into: {why}"),
                _ => format!("it is not even in the export any more, {export}: somebody removed it"),
            };
            let hint = format!(
                "look for who changes the export: a {container} that copies both ways, or whose rsync has --delete from \
                 the folder; or a client"
            );
            return (Hop::Export, what, hint);
        }
        let so_far = match (&self.export.seen, &self.view.seen) {
            (Found::Whole, _) => "it is in the export",
            (_, Found::Whole) => "it is in what the sidecar sees of the export",
            _ => "the export was not looked into",
        };
        if self.view.lacks() {
            let what = match &self.view.seen {
                Found::NoMount(why) => format!("{so_far}, which {container} does not see: {why}"),
                Found::Trouble(why) => format!("{so_far}, and {view} cannot be looked into: {why}"),
                _ => format!("{so_far}, {export}, and not in {view}: {container} mounts another volume"),
            };
            let hint = format!(
                "compare the volumeMounts of both containers: kubectl --context={} -n {} get pod {} -o yaml",
                self.context, self.namespace, self.pod
            );
            return (Hop::Sidecar, what, hint);
        }
        match &self.mount.seen {
            Found::Whole => self.not_here(),
            Found::Trouble(why) => {
                (Hop::Mount, format!("{so_far}, and {mount} cannot be looked into: {why}"), self.remount())
            }
            Found::NoMount(why) => {
                let hint = format!("mount the tester's folder into {container}: upgrade the release with its chart");
                (Hop::Sidecar, format!("{so_far}, and goes nowhere: {why}"), hint)
            }
            Found::Other(bytes) => {
                let what =
                    format!("{so_far}, and {mount} has {bytes} bytes of other content instead of {}", self.bytes);
                let hint =
                    format!("look whether {container}, or a second pod with this folder, changes what it copies");
                (Hop::Sidecar, what, hint)
            }
            Found::Absent => {
                let (why, hint) = self.not_copied();
                (Hop::Sidecar, format!("{so_far}, and not in {mount}: {why}"), hint)
            }
            Found::Unknown(_) => {
                let folder = &self.folder.place;
                let Found::Other(bytes) = &self.folder.seen else {
                    let (why, hint) = self.not_copied();
                    return (Hop::Sidecar, format!("{so_far}, and not in {folder}: {why}"), hint);
                };
                // An older one, or a part of it.
                let what =
                    format!("{so_far}, and {folder} has {bytes} bytes of other content instead of {}", self.bytes);
                let hint = format!("look whether {container} replaces files that are there, and changes none of them");
                (Hop::Sidecar, what, hint)
            }
        }
    }

    /// What the folder here says of a file that the sidecar's mount of it has whole.
    fn not_here(&self) -> (Hop, String, String) {
        let (mount, folder) = (&self.mount.place, &self.folder.place);
        match &self.folder.seen {
            Found::Trouble(why) => {
                let hint = format!("look at the permissions of {folder}, and whether another program holds the file");
                (Hop::Host, format!("it is in {mount}, and in {folder} it cannot be read: {why}"), hint)
            }
            Found::Other(bytes) => {
                let what = format!("it is in {mount}, and {folder} has {bytes} bytes of other content under its name");
                let hint =
                    "look for who else writes into that folder, and whether it shows the mount as it is, or late";
                (Hop::Mount, what, format!("{hint}; else: {}", self.remount()))
            }
            _ => (
                Hop::Mount,
                format!("it is in {mount} and not in {folder}: the two are not one folder"),
                self.remount(),
            ),
        }
    }

    /// Why the sidecar did not copy the file, and what to do.
    fn not_copied(&self) -> (String, String) {
        let Self { context, namespace, pod, work, folder, .. } = self;
        let look =
            format!("look at its log: kubectl --context={context} -n {namespace} logs {pod} -c {}", work.container);
        work.not_copied(&look, &folder.place)
    }

    /// How the folder becomes the pod's again.
    fn remount(&self) -> String {
        let Self { context, namespace, pod, root, host_path, .. } = self;
        remount([context, namespace, pod], root, host_path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::with;

    type Changes<'a> = &'a [(&'a str, Value)];

    /// A file that is in the export and was not copied.
    fn trail(changes: &[(&str, Value)]) -> Finding {
        let stop = |place: &str, seen: &str| json!({"place": place, "seen": seen});
        let trail = json!({
            "context": "file-simulator", "namespace": "n", "pod": "p", "root": "C:\\simulator-data",
            "host_path": "/mnt/simulator-data/nas-output-1", "bytes": 4096, "waited": 61_300,
            "export": stop("/data of nfs-server", "Whole"), "view": stop("/nfs-data of sync-to-windows", "Whole"),
            "mount": stop("/windows-mount of sync-to-windows", "Absent"),
            "folder": stop("C:\\simulator-data\\nas-output-1", "Absent"), "by_nfs": false,
            "work": {
                "container": "sync-to-windows", "is_running": true, "state": "running", "restarts": 0, "last_exit": null,
                "is_listed": false,
                "tail": {"Ok": {"last_end": "2026-11-21T03:00:00Z", "has_ended_since": true, "error": null,
                    "last": ["2026-11-21T03:00:00Z", "[03:00:00] Synced"], "has_deleted": false}}
            }
        });
        serde_json::from_value::<Trail>(with(trail, changes)).unwrap().finding()
    }

    #[test]
    fn the_first_place_without_the_file_is_named() {
        let absent = json!("Absent");
        let other_volume = json!({"NoMount": "sync-to-windows does not mount the volume nfs-export"});
        let cases: [(Changes, Hop, &str, &str); 7] = [
            (&[("/export/seen", absent.clone())], Hop::Export, "not even in the export", "--delete"),
            (&[("/export/seen", json!({"Other": 12}))], Hop::Export, "12 bytes of other content", "both ways"),
            (&[("/view/seen", absent.clone())], Hop::Sidecar, "mounts another volume", "volumeMounts"),
            (&[("/view/seen", other_volume)], Hop::Sidecar, "does not mount the volume", "volumeMounts"),
            (
                &[("/mount/seen", json!({"Other": 4093}))],
                Hop::Sidecar,
                "4093 bytes of other content instead",
                "changes",
            ),
            (
                &[("/mount/seen", json!("Whole"))],
                Hop::Mount,
                "not one folder",
                r"minikube -p file-simulator mount C:\simulator-data:/mnt/simulator-data",
            ),
            (
                &[("/folder/seen", json!("Whole"))],
                Hop::Sidecar,
                "it came late: it is in the folder by now, 61.3 s",
                "interval",
            ),
        ];
        for (changes, hop, seen, hint) in cases {
            let finding = trail(changes);
            let Finding { seen: said, hint: do_, .. } = &finding;
            assert!(finding.hop == hop && said.contains(seen) && do_.contains(hint), "{finding:?}");
        }
        let elsewhere = trail(&[("/by_nfs", json!(true)), ("/export/seen", json!("Absent"))]);
        assert!(elsewhere.hop == Hop::Nfs && elsewhere.seen.contains("took it"), "{elsewhere:?}");
        let unreadable = trail(&[("/mount/seen", json!("Whole")), ("/folder/seen", json!({"Trouble": "denied"}))]);
        assert!(unreadable.hop == Hop::Host && unreadable.seen.contains("cannot be read"), "{unreadable:?}");
        let other = trail(&[("/mount/seen", json!("Whole")), ("/folder/seen", json!({"Other": 7}))]);
        assert!(other.hop == Hop::Mount && other.seen.contains("7 bytes of other content under its name"), "{other:?}");
    }

    #[test]
    fn why_the_sidecar_did_not_copy_is_read_from_its_log() {
        let none = json!({"Ok": {"last_end": null, "has_ended_since": false, "error": null, "last": null, "has_deleted": false}});
        let old = ("/work/tail/Ok/has_ended_since", json!(false));
        let error = json!(["2026-11-21T03:00:00Z", "rsync: mkstemp failed: Read-only file system (30)"]);
        let full = (
            "/work/tail/Ok/error",
            json!(["2026-11-21T03:00:00Z", "rsync: write failed: No space left on device (28)"]),
        );
        let down = ("/work/is_running", json!(false));
        for changes in [&[full.clone()][..], &[full, down]] {
            assert!(
                trail(changes).hint.contains(r"make room in C:\simulator-data\nas-output-1"),
                "{:?}",
                trail(changes)
            );
        }
        let cases: [(Changes, &str); 7] = [
            (&[], "ends its cycles and does not list the file"),
            (&[old], "no cycle has ended since the file was written, the last at 2026-11-21T03:00:00Z"),
            (&[("/work/tail", none)], "no cycle has ended in its log, and it has said nothing at all"),
            (&[("/work/tail/Ok/error", error)], "rsync failed: rsync: mkstemp failed: Read-only file system (30)"),
            (&[("/work/is_listed", json!(true))], "copied it somewhere else: its log lists the file"),
            (&[("/work/tail/Ok/has_deleted", json!(true))], "copied it and then deleted it"),
            (
                &[("/work/is_running", json!(false)), ("/work/state", json!("waiting: CrashLoopBackOff"))],
                "is down: waiting: CrashLoopBackOff",
            ),
        ];
        for (changes, seen) in cases {
            let finding = trail(changes);
            assert!(finding.hop == Hop::Sidecar && finding.seen.contains(seen), "{finding:?}");
        }
    }

    #[test]
    fn what_was_not_looked_at_is_said_and_blames_nobody() {
        let unknown = json!({"Unknown": "no answer"});
        let stops = ["/export/seen", "/view/seen", "/mount/seen"].map(|at| (at, unknown.clone()));
        let finding = trail(&[&stops[..], &[("/work/tail", json!({"Err": "forbidden"}))]].concat());
        assert_eq!(finding.hop, Hop::Sidecar);
        for said in [
            "the export was not looked into",
            "/data of nfs-server was not looked at (no answer)",
            "its log was not read (forbidden)",
        ] {
            assert!(finding.seen.contains(said), "{finding:?}");
        }
        let older = trail(&[&stops[..], &[("/folder/seen", json!({"Other": 3}))]].concat());
        assert!(older.seen.contains("has 3 bytes of other content instead of"), "{older:?}");
    }
}
