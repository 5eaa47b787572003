//! Whether a restarted server is as it should be. Pure.

use super::seen::{Came, Restarted, seconds};
use super::{Restart, Written};
use crate::check::{System, millis};
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

/// What is wrong with a server, where, and what is not known of it.
#[derive(Default)]
struct Findings {
    reasons: Vec<Reason>,
    unknown: Vec<Reason>,
    hop: Option<Hop>,
}

impl Findings {
    fn wrong(&mut self, hop: Hop, reason: Reason) {
        self.hop = self.hop.or(Some(hop));
        self.reasons.push(reason);
    }
}

pub fn verdict(check: &Restart, system: &System, seen: &Restarted) -> Verdict {
    let mut findings = Findings::default();
    let init = &system.init_container;
    folder(&mut findings, init, seen);
    let mut summary = String::new();
    let mut notes = Vec::new();
    match &seen.came {
        Came::Ready { pod, after } => {
            summary = format!(
                "Ready {} after pod {} was deleted; {}",
                seconds(*after),
                seen.deleted,
                file(check, system, seen)
            );
            arrived(&mut findings, check, system, seen, pod);
            written(&mut findings, check, system, seen, pod);
            removed(&mut findings, init, seen, pod);
        }
        Came::Stuck { pod, container, state, after } => {
            let place = container.as_ref().map(|container| format!(", container {container}")).unwrap_or_default();
            let expected = format!("to become Ready in place of pod {}", seen.deleted);
            let state = format!("{state}, {} after the deletion", seconds(*after));
            let hint = format!("the server is down until it does; kubectl describe pod {pod} says more");
            findings.reasons.insert(0, Reason::new(format!("pod {pod}{place}"), expected, state).hint(hint));
            findings.hop = container.as_ref().and_then(|container| hop_of(system, container)).or(findings.hop);
        }
        Came::Nothing { after, obstacle } => {
            let expected = format!("another pod in place of {}", seen.deleted);
            let (none, hint) = match obstacle {
                Some(obstacle) => (format!("none: {}: {}", obstacle.object, obstacle.seen()), obstacle.hint.as_str()),
                None => (format!("none within {}", seconds(*after)), "kubectl describe replicasets says more"),
            };
            let hint = format!("{hint}; the server is down until there is one");
            findings.reasons.insert(0, Reason::new(format!("server {}", seen.server), expected, none).hint(hint));
        }
    }
    if let (Seen::Whole, Some((count @ 1.., names)), []) = (&seen.kept, &seen.vanished, &seen.removed[..]) {
        let files = if *count == 1 { "1 file has".to_owned() } else { format!("{count} files have") };
        let names = names.join(", ");
        let folder = &seen.folder;
        notes.push(format!(
            "{files} gone from {folder} meanwhile, and no log of the new pod says that it did it: {names}"
        ));
    }
    if seen.vanished.is_none() {
        notes
            .push(format!("{} was not compared with what it had before: too many files, or not readable", seen.folder));
    }
    notes.extend(seen.old.iter().map(|old| format!("{old}, and could still write to {}", seen.folder)));
    let verdict = match findings.unknown.into_iter().next() {
        Some(reason) if findings.reasons.is_empty() => Verdict::error(reason),
        _ => Verdict::judged(summary, findings.reasons),
    };
    Verdict { hop: findings.hop, ..verdict.notes(notes) }
}

/// What became of the files, in words.
fn file(check: &Restart, system: &System, seen: &Restarted) -> String {
    let there = seen.arrival.there.map(seconds).unwrap_or_default();
    let written = match check.written {
        Written::Lost => "what was only in the export is gone, as designed",
        Written::Kept => "what had been synced is back",
    };
    format!("a file of the folder was in {} after {there}, limit {}; {written}", system.export.folder, check.within)
}

/// Whether the tester's folder still has the file that nobody else knows of. Others' files are others' to remove.
fn folder(findings: &mut Findings, init: &str, seen: &Restarted) {
    let object = format!("folder {}", seen.folder);
    let expected = format!("still to have {}, which was put there before the restart", seen.put);
    match &seen.kept {
        Seen::Whole => {}
        Seen::Unreadable(_) => findings.unknown.push(Reason::new(object, expected, seen.kept.to_string())),
        Seen::Absent | Seen::Different(_) => {
            let others = match &seen.vanished {
                Some((count @ 1.., names)) => format!("; others that are gone: {count}, such as {}", names.join(", ")),
                _ => String::new(),
            };
            let hint = format!(
                "a sidecar with --delete removes what is not in the export: look whether {init} fills that, and first"
            );
            findings.wrong(Hop::Init, Reason::new(object, expected, format!("{}{others}", seen.kept)).hint(hint));
        }
    }
}

/// Whether the new pod removed files of the tester's that the old one had left.
fn removed(findings: &mut Findings, init: &str, seen: &Restarted, pod: &str) {
    if seen.removed.is_empty() {
        return;
    }
    let count = seen.vanished.as_ref().map_or(0, |(count, _)| *count);
    let expected = format!("still to have all that it had before pod {} was deleted", seen.deleted);
    let lines = seen.removed.join("\n  ");
    let last = format!("files that are gone: {count}; the log of pod {pod} says:\n  {lines}");
    let hint = format!(
        "{init} does not fill the export with all of the folder, and a sidecar with --delete then removes the rest"
    );
    findings.wrong(Hop::Init, Reason::new(format!("folder {}", seen.folder), expected, last).hint(hint));
}

/// Whether the file of the folder was in the export in time.
fn arrived(findings: &mut Findings, check: &Restart, system: &System, seen: &Restarted, pod: &str) {
    let within = millis(check.within.0);
    let (arrival, init) = (&seen.arrival, &system.init_container);
    if arrival.there.is_some_and(|there| there <= within) {
        return;
    }
    let object = format!("file {} in {} of pod {pod}", seen.put, system.export.folder);
    let expected = format!("from {} within {} of the pod's creation (WIN-02)", seen.folder, check.within);
    let there = arrival.there.map(|there| format!("; it was there after {}", seconds(there))).unwrap_or_default();
    match arrival.absent {
        Some(absent) if absent > within => {
            let hint = format!(
                "look at the log of {init}: if it names files of the folder, look at its target; if it names none, look \
                 whether the folder is the one that the pod mounts"
            );
            let last = format!("{} after {}{there}", arrival.last, seconds(absent));
            findings.wrong(Hop::Init, Reason::new(object, expected, last).hint(hint));
        }
        _ => {
            let hint = "look whether the cluster is busy, and run the test again";
            let last = format!("not looked at in time: {}{there}", arrival.last);
            findings.unknown.push(Reason::new(object, expected, last).hint(hint));
        }
    }
}

/// Whether of the file that was written into the old export became what should.
fn written(findings: &mut Findings, check: &Restart, system: &System, seen: &Restarted, pod: &str) {
    let unknown = Seen::Unreadable("not looked at".to_owned());
    let found = seen.written.as_ref().unwrap_or(&unknown);
    let object = format!("file {} in {} of pod {pod}", seen.wrote, system.export.folder);
    match (check.written, found) {
        (Written::Lost, Seen::Absent) | (Written::Kept, Seen::Whole) => {}
        (_, Seen::Unreadable(why)) => {
            let hint = "run the test again";
            findings.unknown.push(Reason::new(object, "to be looked for", why).hint(hint));
        }
        (Written::Lost, found) => {
            let expected = format!("gone, because it was written into the export of pod {} only", seen.deleted);
            let hint = "the export is to be a new emptyDir that the folder alone fills: look at the pod's volumes, and at what \
                        else copies to the folder";
            findings.wrong(Hop::Export, Reason::new(object, expected, found.to_string()).hint(hint));
        }
        (Written::Kept, found) => {
            let expected = format!("back from {}, into which it had been synced", seen.folder);
            let hint = format!("look at the log of {}, and whether the folder still has it", system.init_container);
            findings.wrong(Hop::Init, Reason::new(object, expected, found.to_string()).hint(hint));
        }
    }
}

/// The hop of the container that the replacement hangs on.
fn hop_of(system: &System, container: &String) -> Option<Hop> {
    let sidecar = system.sidecar.as_ref().map(|sidecar| (&sidecar.container, Hop::Sidecar));
    let others = [(&system.init_container, Hop::Init), (&system.export.container, Hop::Nfs)];
    others.into_iter().chain(sidecar).find(|(name, _)| *name == container).map(|(_, hop)| hop)
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
        let [late, very_late] = [arrival(None, Some(30_100)), arrival(Some(31_000), Some(30_100))];
        for (written, field, value, judgement) in [
            ("lost", "old", Value::Null, (Outcome::Pass, None)),
            ("kept", "old", Value::Null, (Outcome::Pass, None)),
            ("lost", "arrival", late, fail(Hop::Init)),
            ("lost", "arrival", very_late, fail(Hop::Init)),
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
