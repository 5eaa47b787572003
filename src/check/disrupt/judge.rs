//! Whether a restarted server is as it should be. Pure.

use super::seen::{Came, Restarted};
use super::{Restart, Written};
use crate::check::{System, millis};
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

/// What is wrong with a restarted server, where, and what is not known of it.
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
    match &seen.came {
        Came::Ready { pod, after } => {
            summary =
                format!("Ready {} after pod {} was deleted; {}", seconds(*after), seen.deleted, judge.files_in_words());
            judge.arrived(pod);
            judge.written(pod);
            judge.removed(pod);
        }
        Came::Stuck { pod, container, state, after } => {
            let place = container.as_ref().map(|container| format!(", container {container}")).unwrap_or_default();
            let expected = format!("to become Ready in place of pod {}", seen.deleted);
            let state = format!("{state}, {} after the deletion", seconds(*after));
            let hint = format!("the server is down until it does; kubectl describe pod {pod} says more");
            judge.reasons.insert(0, Reason::new(format!("pod {pod}{place}"), expected, state).hint(hint));
            judge.hop = container.as_ref().and_then(|container| hop_of(system, container)).or(judge.hop);
        }
        Came::Nothing { after, obstacle } => {
            let expected = format!("another pod in place of {}", seen.deleted);
            let (none, hint) = match obstacle {
                Some(obstacle) => (format!("none: {}: {}", obstacle.object, obstacle.seen()), obstacle.hint.as_str()),
                None => (format!("none within {}", seconds(*after)), "kubectl describe replicasets says more"),
            };
            let hint = format!("{hint}; the server is down until there is one");
            judge.reasons.insert(0, Reason::new(format!("server {}", seen.server), expected, none).hint(hint));
        }
    }
    let verdict = match judge.unknown.into_iter().next() {
        Some(reason) if judge.reasons.is_empty() => Verdict::error(reason),
        _ => Verdict::judged(summary, judge.reasons),
    };
    Verdict { hop: judge.hop, ..verdict.notes(notes(seen)) }
}

/// What else was seen, for which the restart need not be to blame.
fn notes(seen: &Restarted) -> Vec<String> {
    let Restarted { folder, vanished, removed, .. } = seen;
    let mut notes = Vec::new();
    match vanished {
        None => {
            notes.push(format!("{folder} was not compared with what it had before: too many files, or not readable"));
        }
        Some((count @ 1.., names)) if seen.kept == Seen::Whole && removed.is_empty() => {
            let files = if *count == 1 { "1 file has".to_owned() } else { format!("{count} files have") };
            let names = names.join(", ");
            notes.push(format!(
                "{files} gone from {folder} meanwhile, and no log of the new pod says that it did it: {names}"
            ));
        }
        Some(_) => {}
    }
    notes.extend(seen.old.iter().map(|old| format!("{old}, and could still write to {folder}")));
    notes
}

impl Judge<'_> {
    fn wrong(&mut self, hop: Hop, reason: Reason) {
        self.hop = self.hop.or(Some(hop));
        self.reasons.push(reason);
    }

    fn files_in_words(&self) -> String {
        let there = self.seen.arrival.there.map(seconds).unwrap_or_default();
        let (export, within) = (&self.system.export.folder, self.check.within);
        let written = match self.check.written {
            Written::Lost => "what was only in the export is gone, as designed",
            Written::Kept => "what had been synced is back",
        };
        format!("a file of the folder was in {export} after {there}, limit {within}; {written}")
    }

    /// Whether the host folder still has the file that nobody else knows of. Others' files are others' to remove.
    fn folder(&mut self) {
        let Restarted { folder, put, kept, vanished, .. } = self.seen;
        let object = format!("folder {folder}");
        let expected = format!("still to have {put}, which was put there before the restart");
        match kept {
            Seen::Whole => {}
            Seen::Unreadable(_) => self.unknown.push(Reason::new(object, expected, kept.to_string())),
            Seen::Absent | Seen::Different(_) => {
                let others = match vanished {
                    Some((count @ 1.., names)) => {
                        format!("; others that are gone: {count}, such as {}", names.join(", "))
                    }
                    _ => String::new(),
                };
                let hint = format!(
                    "a sidecar with --delete removes what is not in the export: look whether {} fills that, and first",
                    self.system.init_container
                );
                self.wrong(Hop::Init, Reason::new(object, expected, format!("{kept}{others}")).hint(hint));
            }
        }
    }

    /// Whether the new pod removed files of the tester's that the old one had left.
    fn removed(&mut self, pod: &str) {
        let Restarted { folder, deleted, removed, vanished, .. } = self.seen;
        if removed.is_empty() {
            return;
        }
        let count = vanished.as_ref().map_or(0, |(count, _)| *count);
        let expected = format!("still to have all that it had before pod {deleted} was deleted");
        let lines = removed.join("\n  ");
        let last = format!("files that are gone: {count}; the log of pod {pod} says:\n  {lines}");
        let hint = format!(
            "{} does not fill the export with all of the folder, and a sidecar with --delete then removes the rest",
            self.system.init_container
        );
        self.wrong(Hop::Init, Reason::new(format!("folder {folder}"), expected, last).hint(hint));
    }

    /// Whether the file of the folder was in the export in time.
    fn arrived(&mut self, pod: &str) {
        let (within, Restarted { folder, put, arrival, .. }) = (self.check.within, self.seen);
        let is_late = |after: u64| after > millis(within.0);
        if arrival.there.is_some_and(|there| !is_late(there)) {
            return;
        }
        let object = format!("file {put} in {} of pod {pod}", self.system.export.folder);
        let expected = format!("from {folder} within {within} of the pod's creation (WIN-02)");
        let there = arrival.there.map(|there| format!("; it was there after {}", seconds(there))).unwrap_or_default();
        if let Some(absent) = arrival.absent.filter(|absent| is_late(*absent)) {
            let hint = format!(
                "look at the log of {}: if it names files of the folder, look at its target; if it names none, look whether \
                 the folder is the one that the pod mounts",
                self.system.init_container
            );
            let last = format!("{} after {}{there}", arrival.last, seconds(absent));
            self.wrong(Hop::Init, Reason::new(object, expected, last).hint(hint));
        } else {
            let hint = "look whether the cluster is busy, and run the test again";
            let last = format!("not looked at in time: {}{there}", arrival.last);
            self.unknown.push(Reason::new(object, expected, last).hint(hint));
        }
    }

    /// Whether of the file that was written into the old export became what should.
    fn written(&mut self, pod: &str) {
        let unknown = Seen::Unreadable("not looked at".to_owned());
        let Restarted { folder, deleted, wrote, written, .. } = self.seen;
        let object = format!("file {wrote} in {} of pod {pod}", self.system.export.folder);
        match (self.check.written, written.as_ref().unwrap_or(&unknown)) {
            (Written::Lost, Seen::Absent) | (Written::Kept, Seen::Whole) => {}
            (_, Seen::Unreadable(why)) => {
                self.unknown.push(Reason::new(object, "to be looked for", why).hint("run the test again"));
            }
            (Written::Lost, found) => {
                let expected = format!("gone, because it was written into the export of pod {deleted} only");
                let hint = "the export is to be a new emptyDir that the folder alone fills: look at the pod's volumes, and \
                            at what else copies to the folder";
                self.wrong(Hop::Export, Reason::new(object, expected, found.to_string()).hint(hint));
            }
            (Written::Kept, found) => {
                let expected = format!("back from {folder}, into which it had been synced");
                let init = &self.system.init_container;
                let hint = format!("look at the log of {init}, and whether the folder still has it");
                self.wrong(Hop::Init, Reason::new(object, expected, found.to_string()).hint(hint));
            }
        }
    }
}

/// The hop of the container that the replacement hangs on.
fn hop_of(system: &System, container: &String) -> Option<Hop> {
    let sidecar = system.sidecar.as_ref().map(|sidecar| (&sidecar.container, Hop::Sidecar));
    let others = [(&system.init_container, Hop::Init), (&system.export.container, Hop::Nfs)];
    others.into_iter().chain(sidecar).find(|(name, _)| *name == container).map(|(_, hop)| hop)
}

/// Milliseconds in words.
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
    fn each_file_that_is_not_as_it_should_be_fails_and_what_was_not_seen_is_an_error() {
        let fail = |hop| (Outcome::Fail, Some(hop));
        let arrival = |there, absent| json!({"there": there, "absent": absent, "last": "no file of that name"});
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
    fn files_that_the_new_pod_removed_are_lost_by_the_restart_and_what_testers_remove_is_a_note() {
        let gone = ("/Restarted/vanished", json!([2, ["a.csv", "b.csv"]]));
        let verdict = judged("kept", &[gone.clone(), ("/Restarted/removed", json!(["deleting a.csv"]))]);
        assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Init)), "{verdict:?}");
        for change in [gone, ("/Restarted/vanished", Value::Null), ("/Restarted/old", json!("pod old is there"))] {
            let verdict = judged("lost", std::slice::from_ref(&change));
            assert_eq!((verdict.outcome, verdict.notes.len()), (Outcome::Pass, 1), "{change:?}");
        }
    }

    #[test]
    fn a_replacement_that_does_not_come_fails_at_what_it_hangs_on() {
        for (container, hop) in
            [("sync-windows-data", Hop::Init), ("sync-to-windows", Hop::Sidecar), ("nfs-server", Hop::Nfs)]
        {
            let stuck = json!({"Stuck": {"pod": "new", "container": container, "state": "waiting", "after": 4000}});
            let verdict = judged("kept", &[("/Restarted/came", stuck), ("/Restarted/written", Value::Null)]);
            assert_eq!((verdict.outcome, verdict.hop, verdict.reasons.len()), (Outcome::Fail, Some(hop), 1));
        }
    }
}
