//! Judges a server whose pod was deleted. Pure.

use super::seen::{Replacement, Restarted};
use super::{Restart, Written};
use crate::check::sync::delivery::count_files;
use crate::check::{System, millis};
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

struct Judge<'a> {
    check: &'a Restart,
    system: &'a System,
    seen: &'a Restarted,
    reasons: Vec<Reason>,
    unknown: Vec<Reason>,
    hop: Option<Hop>,
}

pub fn verdict(check: &Restart, system: &System, seen: &Restarted) -> Verdict {
    let mut judge = Judge { check, system, seen, reasons: Vec::new(), unknown: Vec::new(), hop: None };
    judge.folder();
    let mut summary = String::new();
    match &seen.replacement {
        Replacement::Ready { pod, after } => {
            summary =
                format!("Ready {} after pod {} was deleted; {}", seconds(*after), seen.deleted, judge.files_summary());
            judge.host_file(pod);
            judge.export_file(pod);
            judge.removed(pod);
        }
        Replacement::Stuck { pod, container, state, after } => {
            let place = container.as_ref().map(|container| format!(", container {container}")).unwrap_or_default();
            let expected = format!("to become Ready as the replacement of pod {}", seen.deleted);
            let state = format!("{state}, {} after the deletion", seconds(*after));
            let hint = format!("run kubectl describe pod {pod}; the server is down until it is Ready");
            judge.reasons.insert(0, Reason::new(format!("pod {pod}{place}"), expected, state).hint(hint));
            judge.hop = container.as_ref().and_then(|container| hop_of(system, container)).or(judge.hop);
        }
        Replacement::Missing { after, obstacle } => {
            let expected = format!("a replacement of pod {}", seen.deleted);
            let (missing, hint) = match obstacle {
                Some(obstacle) => (format!("none: {}: {}", obstacle.object, obstacle.seen()), obstacle.hint.as_str()),
                None => (format!("none within {}", seconds(*after)), "run kubectl describe replicasets"),
            };
            let hint = format!("{hint}; the server is down until there is one");
            judge.reasons.insert(0, Reason::new(format!("server {}", seen.server), expected, missing).hint(hint));
        }
    }
    let verdict = match judge.unknown.into_iter().next() {
        Some(reason) if judge.reasons.is_empty() => Verdict::error(reason),
        _ => Verdict::judged(summary, judge.reasons),
    };
    Verdict { hop: judge.hop, ..verdict.notes(notes(seen)) }
}

/// What else was seen, which the restart need not have caused.
fn notes(seen: &Restarted) -> Vec<String> {
    let Restarted { folder, vanished, removed, .. } = seen;
    let mut notes = Vec::new();
    match vanished {
        None => {
            notes.push(format!("the files in {folder} before and after were not compared: too many, or not readable"));
        }
        Some((count @ 1.., names)) if seen.host_file_seen == Seen::Complete && removed.is_empty() => {
            notes.push(format!(
                "{} vanished from {folder} during the test, and no log of the new pod reports removing any: {}",
                count_files(*count),
                names.join(", ")
            ));
        }
        Some(_) => {}
    }
    notes.extend(seen.old_pod.iter().map(|old| format!("{old}, and can still write to {folder}")));
    notes
}

impl Judge<'_> {
    fn wrong(&mut self, hop: Hop, reason: Reason) {
        self.hop = self.hop.or(Some(hop));
        self.reasons.push(reason);
    }

    fn files_summary(&self) -> String {
        let present = self.seen.arrival.present.map(seconds).unwrap_or_default();
        let (export, within) = (&self.system.export.folder, self.check.within);
        let written = match self.check.written {
            Written::Lost => "a file that was only in the export is gone, as designed",
            Written::Kept => "a synced file is back",
        };
        format!("a file from the host folder was in {export} after {present}, limit {within}; {written}")
    }

    /// Whether the host folder still has the test's file, which no client or tester knows; their own files they may remove.
    fn folder(&mut self) {
        let Restarted { folder, host_file, host_file_seen: found, vanished, .. } = self.seen;
        let object = format!("folder {folder}");
        let expected = format!("still to hold {host_file}, created before the restart");
        match found {
            Seen::Complete => {}
            Seen::Unreadable(_) | Seen::NoMount(_) | Seen::Unknown(_) => {
                self.unknown.push(Reason::new(object, expected, found.to_string()));
            }
            Seen::Absent | Seen::Different(_) => {
                let others = match vanished {
                    Some((count @ 1.., names)) => {
                        format!("; other files that vanished: {count}, such as {}", names.join(", "))
                    }
                    _ => String::new(),
                };
                let hint = format!(
                    "a sidecar with --delete removes what is not in the export: check that {} fills the export first",
                    self.system.init_container
                );
                self.wrong(Hop::Init, Reason::new(object, expected, format!("{found}{others}")).hint(hint));
            }
        }
    }

    /// Whether the new pod removed testers' files.
    fn removed(&mut self, pod: &str) {
        let Restarted { folder, deleted, removed, vanished, .. } = self.seen;
        if removed.is_empty() {
            return;
        }
        let count = vanished.as_ref().map_or(0, |(count, _)| *count);
        let expected = format!("still to hold all its files from before pod {deleted} was deleted");
        let found = format!("{} vanished; log of pod {pod}: {}", count_files(count), removed.join("; "));
        let hint = format!(
            "check why {} does not copy the whole folder to the export: a sidecar with --delete then removes the rest",
            self.system.init_container
        );
        self.wrong(Hop::Init, Reason::new(format!("folder {folder}"), expected, found).hint(hint));
    }

    /// Whether the host file was in the export in time.
    fn host_file(&mut self, pod: &str) {
        let (within, Restarted { folder, host_file, arrival, .. }) = (self.check.within, self.seen);
        let is_late = |after: u64| after > millis(within.0);
        if arrival.present.is_some_and(|present| !is_late(present)) {
            return;
        }
        let object = format!("file {host_file} in {} of pod {pod}", self.system.export.folder);
        let expected = format!("copied from {folder} within {within} of the pod's creation (WIN-02)");
        let late = arrival.present.map(|present| format!("; present after {}", seconds(present))).unwrap_or_default();
        if let Some(absent) = arrival.absent.filter(|absent| is_late(*absent)) {
            let hint = format!(
                "read the log of {}: if it lists files of the folder, check its target; if it lists none, check whether the \
                 pod mounts this folder",
                self.system.init_container
            );
            let found = format!("{} after {}{late}", arrival.last, seconds(absent));
            self.wrong(Hop::Init, Reason::new(object, expected, found).hint(hint));
        } else {
            let hint = "check whether the cluster is busy, and run the test again";
            let found = format!("not checked in time: {}{late}", arrival.last);
            self.unknown.push(Reason::new(object, expected, found).hint(hint));
        }
    }

    /// Whether the export file is gone or back, as it should be.
    fn export_file(&mut self, pod: &str) {
        let unknown = Seen::Unknown("not checked".to_owned());
        let Restarted { folder, deleted, export_file, export_file_seen: found, .. } = self.seen;
        let object = format!("file {export_file} in {} of pod {pod}", self.system.export.folder);
        match (self.check.written, found.as_ref().unwrap_or(&unknown)) {
            (Written::Lost, Seen::Absent) | (Written::Kept, Seen::Complete) => {}
            (_, Seen::Unreadable(why) | Seen::NoMount(why) | Seen::Unknown(why)) => {
                self.unknown.push(Reason::new(object, "to be checked", why).hint("run the test again"));
            }
            (Written::Lost, found) => {
                let expected = format!("gone: it was only in the export of pod {deleted}");
                let hint = "check the pod's volumes, and what else copies to the host folder: the export must be a new emptyDir \
                            that only this folder fills";
                self.wrong(Hop::Export, Reason::new(object, expected, format!("still present: {found}")).hint(hint));
            }
            (Written::Kept, found) => {
                let expected = format!("back from {folder}, to which it had been copied");
                let init = &self.system.init_container;
                let hint = format!("read the log of {init}, and check whether the folder still has the file");
                self.wrong(Hop::Init, Reason::new(object, expected, found.to_string()).hint(hint));
            }
        }
    }
}

fn hop_of(system: &System, container: &String) -> Option<Hop> {
    let sidecar = system.sidecar.as_ref().map(|sidecar| (&sidecar.container, Hop::Sidecar));
    let others = [(&system.init_container, Hop::Init), (&system.export.container, Hop::Nfs)];
    others.into_iter().chain(sidecar).find(|(name, _)| *name == container).map(|(_, hop)| hop)
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
    use crate::cluster::example::with;
    use crate::event::Outcome;

    fn judged(written: &str, changes: &[(&str, Value)]) -> Verdict {
        let seen = json!({"Restarted": {
            "server": "nas-output-1", "folder": "/f", "deleted": "old", "put": "put.txt", "wrote": "written.txt",
            "came": {"Ready": {"pod": "new", "after": 3210}}, "arrival": {"there": 540, "absent": null, "last": ""},
            "written": if written == "kept" { "Whole" } else { "Absent" }, "kept": "Whole", "vanished": [0, []], "old": null
        }});
        judged_by::<Restart>(json!({"within": "30s", "written": written}), with(seen, changes))
    }

    #[test]
    fn each_wrong_file_is_a_fail_and_each_unknown_one_an_error() {
        let fail = |hop| (Outcome::Fail, Some(hop));
        let arrival = |there, absent| json!({"there": there, "absent": absent, "last": "no such file"});
        for (written, field, value, judgement) in [
            ("lost", "arrival", arrival(Some(31_000), Some(30_100)), fail(Hop::Init)),
            ("lost", "written", json!("Whole"), fail(Hop::Export)),
            ("kept", "written", json!("Absent"), fail(Hop::Init)),
            ("kept", "written", json!({"Different": 3}), fail(Hop::Init)),
            ("kept", "kept", json!("Absent"), fail(Hop::Init)),
            ("kept", "arrival", arrival(Some(31_000), None), (Outcome::Error, None)),
            ("kept", "arrival", arrival(None, Some(500)), (Outcome::Error, None)),
            ("kept", "written", json!({"Unreadable": "the connection broke"}), (Outcome::Error, None)),
            ("kept", "written", Value::Null, (Outcome::Error, None)),
            ("kept", "kept", json!({"Unreadable": "denied"}), (Outcome::Error, None)),
        ] {
            let verdict = judged(written, &[(&format!("/Restarted/{field}"), value)]);
            assert_eq!((verdict.outcome, verdict.hop), judgement, "{written} {field}: {verdict:?}");
        }
    }

    #[test]
    fn files_that_the_new_pod_removed_are_a_fail_and_others_that_vanished_a_note() {
        let gone = ("/Restarted/vanished", json!([2, ["a.csv", "b.csv"]]));
        let verdict = judged("kept", &[gone.clone(), ("/Restarted/removed", json!(["deleting a.csv"]))]);
        assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Init)), "{verdict:?}");
        for change in [gone, ("/Restarted/vanished", Value::Null), ("/Restarted/old", json!("pod old is there"))] {
            let verdict = judged("lost", std::slice::from_ref(&change));
            assert_eq!((verdict.outcome, verdict.notes.len()), (Outcome::Pass, 1), "{change:?}");
        }
    }

    #[test]
    fn a_stuck_replacement_fails_at_the_hop_of_its_container() {
        for (container, hop) in
            [("sync-windows-data", Hop::Init), ("sync-to-windows", Hop::Sidecar), ("nfs-server", Hop::Nfs)]
        {
            let stuck = json!({"Stuck": {"pod": "new", "container": container, "state": "waiting", "after": 4000}});
            let verdict = judged("kept", &[("/Restarted/came", stuck), ("/Restarted/written", Value::Null)]);
            assert_eq!((verdict.outcome, verdict.hop, verdict.reasons.len()), (Outcome::Fail, Some(hop), 1));
        }
    }
}
