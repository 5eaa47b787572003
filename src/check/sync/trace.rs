//! Where a file was and was not on its route to the host folder, and which hop lost it. Pure.

use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use crate::check::storage::remount_hint;
use crate::cluster::LogLine;
use crate::event::Hop;
use crate::host::Seen;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trace {
    /// For the commands in hints.
    pub context: String,
    pub namespace: String,
    pub pod: String,
    pub root: String,
    /// The server's folder on the node; empty if nothing mounts it.
    pub host_path: String,
    pub bytes: usize,
    /// When this was seen, in milliseconds after the acknowledged write.
    pub waited: u64,
    /// The export, in the container that wrote the file.
    pub export: Checkpoint,
    /// The export, in the sidecar; `None` in older recordings.
    #[serde(default)]
    pub view: Option<Checkpoint>,
    /// The host folder, in a container.
    pub mount: Checkpoint,
    /// The host folder, on this machine.
    pub folder: Checkpoint,
    #[serde(rename = "work")]
    pub sidecar: SidecarState,
    /// Whether the file was written through NFS, and not by the export's container.
    #[serde(default)]
    pub by_nfs: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SidecarState {
    pub container: String,
    pub is_running: bool,
    /// In words.
    pub state: String,
    pub is_listed: bool,
    #[serde(rename = "tail")]
    pub log: Result<LogTail, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTail {
    pub has_ended_since: bool,
    /// rsync's last error, in the last cycle that ended or since; with the log's time.
    pub error: Option<LogLine>,
}

impl Trace {
    /// The hop that lost the file, which is the first place without it; why, and the route line by line; the hint.
    pub fn finding(&self) -> (Hop, String, String) {
        let (hop, why, hint) = self.first_without();
        let checkpoints = [Some(&self.export), self.view.as_ref(), Some(&self.mount), Some(&self.folder)];
        let route = checkpoints.into_iter().flatten().map(Checkpoint::to_string).collect::<Vec<_>>().join("\n");
        let SidecarState { container, state, log, .. } = &self.sidecar;
        let log = match log {
            Err(error) => format!("; its log cannot be read: {error}"),
            Ok(_) => match self.error().filter(|error| !why.contains(*error)) {
                Some(error) => format!("; rsync's last error: {error}"),
                None => String::new(),
            },
        };
        (hop, format!("{why}\n{route}\n{container}: {state}{log}"), hint)
    }

    fn first_without(&self) -> (Hop, String, String) {
        let Self { context, namespace, pod, export, mount, folder, .. } = self;
        let container = &self.sidecar.container;
        if folder.seen == Seen::Complete {
            let (seconds, tenths) = (self.waited / 1000, self.waited % 1000 / 100);
            let hint = format!(
                "compare the sync interval of {container} (sidecar.syncInterval in the values) with the limit, and check \
                 whether it has too much to copy or too little CPU"
            );
            return (Hop::Sidecar, format!("it arrived late, {seconds}.{tenths} s after it was written"), hint);
        }
        if self.by_nfs && export.seen == Seen::Absent {
            let why = "the NFS server accepted the file, but the export does not have it".to_owned();
            let hint = "check the server's mounts and its exports file: it serves another folder, or a client removed the \
                        file";
            return (Hop::Nfs, why, hint.to_owned());
        }
        if export.lacks_file() {
            let hint = format!(
                "find out what changes the export: {container}, if it copies both ways or runs rsync --delete from the \
                 host folder; or a client"
            );
            return (Hop::Export, "the export does not have the file as it was written".to_owned(), hint);
        }
        let lacks = |view: &Checkpoint| matches!(view.seen, Seen::Absent | Seen::Different(_) | Seen::NoMount(_));
        if self.view.as_ref().is_some_and(lacks) {
            let hint = format!(
                "compare the volumeMounts of both containers: kubectl --context={context} -n {namespace} get pod {pod} -o \
                 yaml"
            );
            return (Hop::Sidecar, format!("{container} does not see the file in the export"), hint);
        }
        match (&mount.seen, &folder.seen) {
            (Seen::Complete, Seen::Unreadable(_)) => {
                let hint = "check the permissions of the host folder, and whether another program locks the file";
                (Hop::Host, "the file was copied, but this machine cannot read it".to_owned(), hint.to_owned())
            }
            (Seen::Complete, _) => {
                let why = format!("the file was copied, but the pod mounts a different folder than {}", folder.label);
                (Hop::Mount, why, self.remount_hint())
            }
            (Seen::Unreadable(_), _) => {
                (Hop::Mount, "the pod cannot read its mount of the host folder".to_owned(), self.remount_hint())
            }
            (Seen::NoMount(_), _) => {
                let hint = format!("mount the host folder into {container}: run helm upgrade with the release's chart");
                (Hop::Sidecar, "the pod does not mount the host folder".to_owned(), hint)
            }
            // An older version, a part of it, or a modified one.
            (Seen::Different(_), _) | (Seen::Unknown(_), Seen::Different(_)) => {
                let why = format!("the copy differs from the file that was written, which has {} bytes", self.bytes);
                let hint = || {
                    format!(
                        "check whether {container} replaces existing files, and whether it or a second pod with this \
                         folder modifies what it copies"
                    )
                };
                (Hop::Sidecar, why, self.folder_hint().unwrap_or_else(hint))
            }
            (Seen::Absent | Seen::Unknown(_), _) => {
                let (why, hint) = self.not_copied();
                (Hop::Sidecar, why, hint)
            }
        }
    }

    fn error(&self) -> Option<&str> {
        let (_, line) = self.sidecar.log.as_ref().ok()?.error.as_ref()?;
        Some(line)
    }

    fn folder_hint(&self) -> Option<String> {
        let (error, folder, container) = (self.error()?, &self.folder.label, &self.sidecar.container);
        if error.contains("No space left on device") {
            return Some(format!("free space in {folder}: its disk is full"));
        }
        let hint = || format!("make {folder} and its mount in {container} writable: rsync finds one of them read-only");
        error.contains("Read-only file system").then(hint)
    }

    /// Why the sidecar did not copy the file, and the hint: at least the command that shows its log.
    fn not_copied(&self) -> (String, String) {
        let Self { context, namespace, pod, .. } = self;
        let SidecarState { container, is_running, is_listed, log, .. } = &self.sidecar;
        let read = format!("read its log: kubectl --context={context} -n {namespace} logs {pod} -c {container}");
        let hint = |hint| self.folder_hint().unwrap_or(hint);
        if !is_running {
            return (format!("{container} is not running"), hint(format!("{read} --previous")));
        }
        if let Some(error) = self.error() {
            return (format!("rsync failed: {error}"), hint(read));
        }
        if *is_listed {
            return (
                format!("{container} copied the file elsewhere or removed it again: its log lists it as copied"),
                format!("check the command of {container} for its target and --delete, and read its log"),
            );
        }
        match log {
            Err(_) => (format!("{container} did not copy the file, and without its log the cause is unknown"), read),
            Ok(LogTail { has_ended_since: true, .. }) => (
                format!("{container} completed a sync cycle, but its log does not list the file"),
                format!("check what {container} mounts, and the source and filters of its rsync"),
            ),
            Ok(_) => (
                format!("{container} is running, but has not completed a sync cycle since the file was written"),
                format!("it hangs, or its interval (sidecar.syncInterval in the values) exceeds the limit; {read}"),
            ),
        }
    }

    fn remount_hint(&self) -> String {
        let Self { context, namespace, pod, root, host_path, .. } = self;
        remount_hint([context, namespace, pod], root, host_path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::with;

    fn trace(changes: &[(&str, Value)]) -> Trace {
        let checkpoint = |place: &str, seen: &str| json!({"place": place, "seen": seen});
        let log = json!({"Ok": {"has_ended_since": true, "error": null}});
        let sidecar = json!({"container": "sync-to-windows", "is_running": true, "state": "running", "is_listed": false, "tail": log});
        let trace = json!({
            "context": "file-simulator", "namespace": "n", "pod": "p", "root": "C:\\simulator-data",
            "host_path": "/mnt/simulator-data/nas-output-1", "bytes": 4096, "waited": 61_300,
            "export": checkpoint("/data in nfs-server", "Whole"),
            "mount": checkpoint("/windows-mount in sync-to-windows", "Absent"),
            "folder": checkpoint("C:\\simulator-data\\nas-output-1", "Absent"), "by_nfs": false, "work": sidecar
        });
        serde_json::from_value(with(trace, changes)).unwrap()
    }

    /// What the recordings do not show.
    #[test]
    fn the_hop_is_the_first_place_without_the_file() {
        let at = |place: &'static str, seen: Value| (place, seen);
        let whole = json!("Whole");
        let [export, mount, folder] = ["/export/seen", "/mount/seen", "/folder/seen"];
        let unknown = json!({"Unknown": "no answer"});
        let view = |seen| at("/view", json!({"place": "/nfs-data in sync-to-windows", "seen": seen}));
        let not_listed = "its log does not list the file";
        for (changes, hop, words) in [
            (vec![at(export, json!("Absent"))], Hop::Export, "the export does not have the file"),
            (
                vec![at(export, json!({"Other": 12}))],
                Hop::Export,
                "\n/data in nfs-server: 12 bytes of different content\n",
            ),
            (vec![at(export, json!("Absent")), at("/by_nfs", json!(true))], Hop::Nfs, "server accepted the file, but"),
            (vec![at(mount, json!({"NoMount": "no hostPath"}))], Hop::Sidecar, "\nno hostPath\n"),
            (vec![at(mount, json!({"Trouble": "stale"}))], Hop::Mount, "cannot be read: stale\n"),
            (vec![at(mount, whole.clone())], Hop::Mount, "different folder than C:\\simulator-data\\nas-output-1\n"),
            (vec![at(mount, whole.clone()), at(folder, json!({"Trouble": "denied"}))], Hop::Host, "denied"),
            (vec![at(folder, whole)], Hop::Sidecar, "it arrived late, 61.3 s after it was written\n"),
            (vec![at(export, unknown.clone())], Hop::Sidecar, "nfs-server: not checked: no answer\n"),
            (vec![at(mount, unknown), at(folder, json!({"Other": 3}))], Hop::Sidecar, "which has 4096 bytes\n"),
            (vec![view(json!("Absent"))], Hop::Sidecar, "not see the file in the export\n"),
            (vec![view(json!({"NoMount": "no volume"}))], Hop::Sidecar, "\nno volume\n"),
            (vec![view(json!({"Trouble": "no cat"}))], Hop::Sidecar, not_listed),
            (vec![], Hop::Sidecar, not_listed),
            (vec![at("/work/tail", json!({"Err": "forbidden"}))], Hop::Sidecar, "its log cannot be read: forbidden"),
        ] {
            let (lost_at, seen, _) = trace(&changes).finding();
            assert!(lost_at == hop && seen.contains(words), "{changes:?}: {lost_at} {seen}");
        }
    }

    #[test]
    fn an_rsync_error_is_quoted_once_with_its_hint_wherever_the_file_was_lost() {
        for (error, hinted) in
            [("No space left on device (28)", "free space"), ("Read-only file system (30)", "writable")]
        {
            let log = json!({"Ok": {"has_ended_since": true, "error": ["2026-11-21T03:00:30Z", error]}});
            for seen in ["Absent".into(), json!({"Other": 3})] {
                let (_, seen, hint) = trace(&[("/mount/seen", seen), ("/work/tail", log.clone())]).finding();
                assert!(seen.matches(error).count() == 1 && hint.contains(hinted), "{seen} {hint}");
            }
        }
    }
}
