//! Where a file was and was not on its way to the host folder, and what the first place without it means. Pure.

use serde::{Deserialize, Serialize};

use super::stop::{Found, Stop};
use crate::check::storage::remount_hint;
use crate::cluster::LogLine;
use crate::event::Hop;

/// What was seen of a file that did not arrive in time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trail {
    /// For commands that the user may run.
    pub context: String,
    pub namespace: String,
    pub pod: String,
    /// The folder of all servers on this machine.
    pub root: String,
    /// The server's folder on the node; empty if nothing mounts it.
    pub host_path: String,
    pub bytes: usize,
    /// How long after the acknowledged write this was seen, in milliseconds.
    pub waited: u64,
    /// In the export, by the container that it was written in.
    pub export: Stop,
    /// In the export, by the sidecar; `None` in recordings of runs that did not look there.
    #[serde(default)]
    pub view: Option<Stop>,
    /// In the host folder, by a container.
    pub mount: Stop,
    /// There too, from here.
    pub folder: Stop,
    pub work: Work,
    /// Whether the file was written through NFS, and not by the export's container.
    #[serde(default)]
    pub by_nfs: bool,
}

/// What the sidecar did while the file was on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    pub container: String,
    pub is_running: bool,
    /// Its state in words.
    pub state: String,
    /// Whether its log lists the file as copied.
    pub is_listed: bool,
    /// What its log says besides, or why that is not known.
    pub tail: Result<Tail, String>,
}

/// The end of a sidecar's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// Whether a cycle has ended since the file was written.
    pub has_ended_since: bool,
    /// rsync's last error, in the last cycle that ended or since; with the log's time.
    pub error: Option<LogLine>,
}

impl Trail {
    /// The hop that is broken: the first place without the file; everything that was seen, and what the user can do.
    pub fn finding(&self) -> (Hop, String, String) {
        let (hop, what, hint) = self.first_without();
        let stops = [Some(&self.export), self.view.as_ref(), Some(&self.mount), Some(&self.folder)];
        let way = stops.into_iter().flatten().map(Stop::to_string).collect::<Vec<_>>().join("; ");
        let Work { container, state, tail, .. } = &self.work;
        let log = match tail {
            Err(why) => format!("; its log was not read ({why})"),
            Ok(_) => match self.error().filter(|error| !what.contains(*error)) {
                Some(error) => format!("; rsync's last error: {error}"),
                None => String::new(),
            },
        };
        (hop, format!("{what}.\nOn the way: {way}.\n{container}: {state}{log}."), hint)
    }

    fn first_without(&self) -> (Hop, String, String) {
        let Self { export, mount, folder, .. } = self;
        let container = &self.work.container;
        if folder.seen == Found::Whole {
            let (seconds, tenths) = (self.waited / 1000, self.waited % 1000 / 100);
            let what = format!("it came late: it is in the folder by now, {seconds}.{tenths} s after it was written");
            let hint = format!(
                "compare the interval of {container} (sidecar.syncInterval in the values) with the limit, and look \
                 whether it has too much to copy or too little CPU"
            );
            return (Hop::Sidecar, what, hint);
        }
        if self.by_nfs && export.seen == Found::Absent {
            let what = format!("the NFS server took it, and it is {export}");
            let hint = "look at the server's mounts and its exports file: it exports another folder, or somebody removed the file";
            return (Hop::Nfs, what, hint.to_owned());
        }
        if export.lacks() {
            let hint = format!(
                "look for who changes the export: a {container} that copies both ways, or whose rsync has --delete from \
                 the folder; or a client"
            );
            return (Hop::Export, format!("not even the export has it as it was written: {export}"), hint);
        }
        let so_far = if export.seen == Found::Whole { "it is in the export" } else { "the export was not looked into" };
        let is_other = |view: &&Stop| matches!(view.seen, Found::Absent | Found::Other(_) | Found::NoMount(_));
        if let Some(view) = self.view.as_ref().filter(is_other) {
            let hint = format!(
                "compare the volumeMounts of both containers: kubectl --context={} -n {} get pod {} -o yaml",
                self.context, self.namespace, self.pod
            );
            return (Hop::Sidecar, format!("{so_far}, and {container} does not see it there: {view}"), hint);
        }
        match (&mount.seen, &folder.seen) {
            (Found::Whole, Found::Trouble(_)) => {
                let hint = "look at the permissions of the folder, and whether another program holds the file";
                (Hop::Host, format!("it is {mount}, and {folder}"), hint.to_owned())
            }
            (Found::Whole, _) => {
                (Hop::Mount, format!("it is {mount}, and here {folder}: the two are not one folder"), self.remount())
            }
            (Found::Trouble(_), _) => (Hop::Mount, format!("{so_far}, and {mount}"), self.remount()),
            (Found::NoMount(_), _) => {
                let hint = format!("mount the host folder into {container}: upgrade the release with its chart");
                (Hop::Sidecar, format!("{so_far}, and goes nowhere: {mount}"), hint)
            }
            // An older one, a part of it, or what somebody made of it.
            (Found::Other(_), _) => self.other(so_far, mount),
            (Found::Unknown(_), Found::Other(_)) => self.other(so_far, folder),
            (Found::Absent | Found::Unknown(_), _) => {
                let last = if mount.seen == Found::Absent { mount } else { folder };
                let (why, hint) = self.not_copied();
                (Hop::Sidecar, format!("{so_far}, and {last}: {why}"), hint)
            }
        }
    }

    fn other(&self, so_far: &str, at: &Stop) -> (Hop, String, String) {
        let container = &self.work.container;
        let hint = format!(
            "look whether {container} replaces files that are there, and whether it or a second pod with this folder \
             changes what it copies"
        );
        (Hop::Sidecar, format!("{so_far}, and {at}, instead of {}", self.bytes), self.remedy().unwrap_or(hint))
    }

    /// rsync's last error, as the log says.
    fn error(&self) -> Option<&str> {
        let (_, line) = self.work.tail.as_ref().ok()?.error.as_ref()?;
        Some(line)
    }

    /// What to do where rsync's error is the folder's.
    fn remedy(&self) -> Option<String> {
        let (error, folder, container) = (self.error()?, &self.folder.place, &self.work.container);
        if error.contains("No space left on device") {
            return Some(format!("make room in {folder}: it is full"));
        }
        let hint = || format!("make {folder} writable, or the mount of it in {container}: rsync sees it read-only");
        error.contains("Read-only file system").then(hint)
    }

    /// Why the sidecar did not copy the file, as far as its log says, and what to do: to look into that log, at least.
    fn not_copied(&self) -> (String, String) {
        let Self { context, namespace, pod, .. } = self;
        let Work { container, state, is_running, is_listed, tail } = &self.work;
        let look = format!("look at its log: kubectl --context={context} -n {namespace} logs {pod} -c {container}");
        let (error, remedy) = (self.error(), self.remedy());
        if !is_running {
            let error = error.map_or(String::new(), |error| format!("; rsync's last error: {error}"));
            return (format!("{container} is down: {state}{error}"), remedy.unwrap_or(format!("{look} --previous")));
        }
        if let Some(error) = error {
            return (format!("rsync failed: {error}"), remedy.unwrap_or(look));
        }
        if *is_listed {
            let what = format!("{container} copied it somewhere else, or removed it: its log lists the file as copied");
            let hint = format!("look at the target and at --delete in the command of {container}, and at its log");
            return (what, hint);
        }
        match tail {
            Err(_) => (format!("{container} did not copy it, and why is not known without its log"), look),
            Ok(Tail { has_ended_since: true, .. }) => {
                let hint = format!("look at what {container} mounts, and at the source and the filters of its rsync");
                (format!("{container} ends its cycles and does not list the file"), hint)
            }
            Ok(_) => {
                let what =
                    format!("{container} runs and did not copy it: no cycle has ended since the file was written");
                let hint = "it hangs, or its interval (sidecar.syncInterval in the values) is longer than the limit";
                (what, format!("{hint}; {look}"))
            }
        }
    }

    /// How the folder becomes the pod's again.
    fn remount(&self) -> String {
        let Self { context, namespace, pod, root, host_path, .. } = self;
        remount_hint([context, namespace, pod], root, host_path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::with;

    /// The trail of a file that is in the export and was not copied.
    fn trail(changes: &[(&str, Value)]) -> Value {
        let stop = |place: &str, seen: &str| json!({"place": place, "seen": seen});
        let said = json!({"Ok": {"has_ended_since": true, "error": null}});
        let work = json!({"container": "sync-to-windows", "is_running": true, "state": "running", "is_listed": false, "tail": said});
        let trail = json!({
            "context": "file-simulator", "namespace": "n", "pod": "p", "root": "C:\\simulator-data",
            "host_path": "/mnt/simulator-data/nas-output-1", "bytes": 4096, "waited": 61_300,
            "export": stop("/data of nfs-server", "Whole"),
            "mount": stop("/windows-mount of sync-to-windows", "Absent"),
            "folder": stop("C:\\simulator-data\\nas-output-1", "Absent"), "by_nfs": false, "work": work
        });
        with(trail, changes)
    }

    /// What the recordings do not show; they have the rest.
    #[test]
    fn the_first_place_without_the_file_is_named_and_what_the_sidecars_log_says() {
        let at = |place: &'static str, seen: Value| (place, seen);
        let whole = json!("Whole");
        let [export, mount, folder] = ["/export/seen", "/mount/seen", "/folder/seen"];
        let unknown = json!({"Unknown": "no answer"});
        let view = |seen| at("/view", json!({"place": "/nfs-data of sync-to-windows", "seen": seen}));
        for (changes, hop, words) in [
            (vec![at(export, json!("Absent"))], Hop::Export, "not even the export has it"),
            (vec![at(export, json!({"Other": 12}))], Hop::Export, "12 bytes of other content"),
            (vec![at(export, json!("Absent")), at("/by_nfs", json!(true))], Hop::Nfs, "took it"),
            (vec![at(mount, json!({"NoMount": "no hostPath"}))], Hop::Sidecar, "goes nowhere: no hostPath"),
            (vec![at(mount, json!({"Trouble": "stale"}))], Hop::Mount, "cannot be looked into (stale)"),
            (vec![at(mount, whole.clone())], Hop::Mount, "not one folder"),
            (vec![at(mount, whole.clone()), at(folder, json!({"Trouble": "denied"}))], Hop::Host, "denied"),
            (vec![at(folder, whole)], Hop::Sidecar, "it came late: it is in the folder by now, 61.3 s"),
            (vec![at(export, unknown.clone())], Hop::Sidecar, "export was not looked into"),
            (vec![at(mount, unknown), at(folder, json!({"Other": 3}))], Hop::Sidecar, "and 3 bytes of other content"),
            (vec![view(json!("Absent"))], Hop::Sidecar, "does not see it there: not in /nfs-data of sync-to-windows"),
            (vec![view(json!({"NoMount": "no volume"}))], Hop::Sidecar, "does not see it there: no volume"),
            (vec![view(json!({"Trouble": "no cat"}))], Hop::Sidecar, "ends its cycles and does not list the file"),
            (vec![], Hop::Sidecar, "ends its cycles and does not list the file"),
            (vec![at("/work/tail", json!({"Err": "forbidden"}))], Hop::Sidecar, "its log was not read (forbidden)"),
        ] {
            let (broken, seen, _) = serde_json::from_value::<Trail>(trail(&changes)).unwrap().finding();
            assert!(broken == hop && seen.contains(words), "{changes:?}: {broken} {seen}");
        }
    }

    #[test]
    fn an_error_of_rsyncs_is_told_with_what_to_do_wherever_the_file_was_lost() {
        for (error, remedy) in
            [("No space left on device (28)", "make room"), ("Read-only file system (30)", "writable")]
        {
            let tail = json!({"Ok": {"has_ended_since": true, "error": ["2026-11-21T03:00:30Z", error]}});
            for seen in ["Absent".into(), json!({"Other": 3})] {
                let changes = [("/mount/seen", seen), ("/work/tail", tail.clone())];
                let (_, seen, hint) = serde_json::from_value::<Trail>(trail(&changes)).unwrap().finding();
                assert!(seen.matches(error).count() == 1 && hint.contains(remedy), "{seen} {hint}");
            }
        }
    }
}
