//! Whether a restarted server is as it should be. Pure.

use super::parameters::{Restart, Written};
use super::seen::{Came, Content, Phases, Restarted, Trouble, Unsynced, seconds};
use crate::check::millis;
use crate::event::{Hop, Reason, Verdict};

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

/// The judgement.
pub fn verdict(check: &Restart, seen: &Restarted) -> Verdict {
    let mut findings = Findings::default();
    let init = &check.init_container;
    folder(&mut findings, init, seen);
    let mut summary = String::new();
    let mut notes = Vec::new();
    match &seen.came {
        Came::Ready { pod, after, phases } => {
            summary = format!("{} {}", ready(seen, *after, phases), file(check, seen));
            if !phases.are_sound() {
                notes.push(format!(
                    "the node's clock is behind the API server's: what happened to pod {pod} is dated before its creation ({phases} s)"
                ));
            }
            notes.extend(seen.unsynced.as_ref().filter(|_| check.written == Written::Kept).map(window));
            arrived(&mut findings, check, seen, pod);
            written(&mut findings, check, seen, pod);
            removed(&mut findings, check, seen, pod);
        }
        Came::Stuck(trouble) => {
            let hop = hop_of(check, trouble);
            let object = match &trouble.container {
                Some(container) => format!("pod {}, container {container}", trouble.pod),
                None => format!("pod {}", trouble.pod),
            };
            let expected = format!("to become Ready in place of pod {}", seen.deleted);
            let hint = format!("the server is down until it does; kubectl describe pod {} says more", trouble.pod);
            let reason = Reason::new(object, expected, trouble.describe()).hint(hint);
            findings.reasons.insert(0, reason);
            findings.hop = hop.or(findings.hop);
        }
        Came::Nothing { obstacle: Some(obstacle), .. } => {
            let expected = format!("another pod in place of {}", seen.deleted);
            let object = format!("server {}", seen.server);
            let none = format!("none: {}: {}", obstacle.object, obstacle.seen());
            let hint = format!("{}; the server is down until there is one", obstacle.hint);
            findings.reasons.insert(0, Reason::new(object, expected, none).hint(hint));
        }
        Came::Nothing { after, warnings, .. } => {
            let expected = format!("another pod in place of {}", seen.deleted);
            let none = format!("none within {}; of its ReplicaSet: {warnings}", seconds(*after));
            let reason = Reason::new(format!("server {}", seen.server), expected, none);
            let hint = "the server is down until there is one; kubectl describe replicasets says more";
            findings.reasons.insert(0, reason.hint(hint));
        }
    }
    if let (Content::Whole, Some((count @ 1.., names)), []) = (&seen.kept, &seen.vanished, &seen.removed[..]) {
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
    let verdict = verdict.notes(notes);
    match findings.hop {
        Some(hop) => verdict.at(hop),
        None => verdict,
    }
}

/// What a restart loses of what no sync cycle has copied, in words.
fn window(unsynced: &Unsynced) -> String {
    let age = seconds(unsynced.age);
    let what = format!("a file that was written into the export {age} before its pod was deleted");
    match (&unsynced.found, &unsynced.host) {
        (Content::Absent, Content::Absent) => format!(
            "{what} is lost: no sync cycle had copied it, the last had ended {} before. So is what clients write there between \
             a cycle and a restart",
            seconds(unsynced.rested)
        ),
        (Content::Whole, _) | (_, Content::Whole) => {
            format!("{what} is not lost, though no sync cycle had copied it by then: the old pod may have, as it ended")
        }
        (found, host) => format!("what became of {what}: in the export {found}; in the folder {host}"),
    }
}

/// How the replacement came, in words.
fn ready(seen: &Restarted, after: u64, phases: &Phases) -> String {
    let by = if phases.are_sound() && phases.ready.is_some() {
        format!(" (seconds from its creation, by the API's timestamps: {phases})")
    } else {
        String::new()
    };
    format!("Ready {} after pod {} was deleted{by};", seconds(after), seen.deleted)
}

/// What became of the files, in words.
fn file(check: &Restart, seen: &Restarted) -> String {
    let there = seen.arrival.there.map(seconds).unwrap_or_default();
    let written = match check.written {
        Written::Lost => "what was only in the export is gone, as designed",
        Written::Kept => "what had been synced is back",
    };
    format!("a file of the folder was in {} after {there}, limit {}; {written}", check.export.folder, check.within)
}

/// Whether the tester's folder still has the file that nobody else knows of. Others' files are others' to remove.
fn folder(findings: &mut Findings, init: &str, seen: &Restarted) {
    let object = format!("folder {}", seen.folder);
    let expected = format!("still to have {}, which was put there before the restart", seen.put);
    match &seen.kept {
        Content::Whole => {}
        Content::Unknown(_) => findings.unknown.push(Reason::new(object, expected, seen.kept.to_string())),
        Content::Absent | Content::Other(_) => {
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
fn removed(findings: &mut Findings, check: &Restart, seen: &Restarted, pod: &str) {
    if seen.removed.is_empty() {
        return;
    }
    let count = seen.vanished.as_ref().map_or(0, |(count, _)| *count);
    let expected = format!("still to have all that it had before pod {} was deleted", seen.deleted);
    let lines = seen.removed.join("\n  ");
    let last = format!("files that are gone: {count}; the log of pod {pod} says:\n  {lines}");
    let hint = format!(
        "{} does not fill the export with all of the folder, and a sidecar with --delete then removes the rest",
        check.init_container
    );
    findings.wrong(Hop::Init, Reason::new(format!("folder {}", seen.folder), expected, last).hint(hint));
}

/// Whether the file of the folder was in the export in time.
fn arrived(findings: &mut Findings, check: &Restart, seen: &Restarted, pod: &str) {
    let within = millis(check.within.0);
    let (arrival, init) = (&seen.arrival, &check.init_container);
    if arrival.there.is_some_and(|there| there <= within) {
        return;
    }
    let object = format!("file {} in {} of pod {pod}", seen.put, check.export.folder);
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
fn written(findings: &mut Findings, check: &Restart, seen: &Restarted, pod: &str) {
    let unknown = Content::Unknown("not looked at".to_owned());
    let found = seen.written.as_ref().unwrap_or(&unknown);
    let object = format!("file {} in {} of pod {pod}", seen.wrote, check.export.folder);
    match (check.written, found) {
        (Written::Lost, Content::Absent) | (Written::Kept, Content::Whole) => {}
        (_, Content::Unknown(why)) => {
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
            let hint = format!("look at the log of {}, and whether the folder still has it", check.init_container);
            findings.wrong(Hop::Init, Reason::new(object, expected, found.to_string()).hint(hint));
        }
    }
}

/// The hop of the container that the replacement hangs on.
fn hop_of(check: &Restart, trouble: &Trouble) -> Option<Hop> {
    let container = trouble.container.as_deref()?;
    if container == check.init_container {
        return Some(Hop::Init);
    }
    if container == check.export.container {
        return Some(Hop::Nfs);
    }
    let is_sidecar = check.sidecar.as_ref().is_some_and(|sidecar| sidecar.container == container);
    is_sidecar.then_some(Hop::Sidecar)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::Kind;
    use crate::cluster::example::with;
    use crate::event::Outcome;

    fn judged(written: &str, changes: &[(&str, Value)]) -> Verdict {
        let check: Restart = serde_json::from_value(json!({
            "export": {"container": "nfs-server", "folder": "/data"}, "init-container": "sync-windows-data",
            "sidecar": {"container": "sync-to-windows", "cycle-end": "Synced", "interval": r"^Sync interval: (\d+)s"},
            "restart-window": "10m", "within": "30s", "written": written
        }))
        .unwrap();
        let seen = json!({"Restarted": {
            "server": "nas-output-1", "folder": "/f", "deleted": "old", "unsynced": {"age": 40, "rested": 90, "found": "Absent", "host": "Absent"}, "put": "put.txt", "wrote": "written.txt",
            "came": {"Ready": {"pod": "new", "after": 3210, "phases": {"scheduled": 0, "init": 1, "ready": 3}}},
            "arrival": {"there": 540, "absent": null, "last": ""},
            "written": if written == "kept" { "Whole" } else { "Absent" }, "kept": "Whole", "vanished": [0, []], "old": null
        }});
        check.judge(&serde_json::from_value(with(seen, changes)).unwrap())
    }

    #[test]
    fn a_replacement_with_its_files_passes_and_says_its_times() {
        for written in ["lost", "kept"] {
            let verdict = judged(written, &[]);
            assert_eq!((verdict.outcome, verdict.hop), (Outcome::Pass, None), "{verdict:?}");
            for part in ["Ready 3.2 s after pod old", "scheduled 0, init done 1, Ready 3", "after 0.5 s, limit 30s"] {
                assert!(verdict.summary.contains(part), "{}", verdict.summary);
            }
        }
        assert!(judged("lost", &[]).notes.is_empty());
    }

    #[test]
    fn what_a_restart_loses_is_told_as_it_was_seen() {
        for (path, seen, told) in [
            (
                "/Restarted/unsynced/rested",
                json!(1500),
                "is lost: no sync cycle had copied it, the last had ended 1.5 s before",
            ),
            ("/Restarted/unsynced/found", json!("Whole"), "is not lost"),
            ("/Restarted/unsynced/host", json!("Whole"), "is not lost"),
            ("/Restarted/unsynced/found", json!({"Unknown": "denied"}), "it is not known: denied"),
        ] {
            let verdict = judged("kept", &[(path, seen)]);
            assert_eq!(verdict.outcome, Outcome::Pass);
            assert!(verdict.notes[0].contains(told), "{verdict:?}");
        }
    }

    #[test]
    fn each_file_that_is_not_as_it_should_be_fails() {
        let late = json!({"there": null, "absent": 30_100, "last": "no file of that name"});
        let very_late = json!({"there": 31_000, "absent": 30_100, "last": "no file of that name"});
        for (written, change, hop) in [
            ("lost", ("/Restarted/arrival", late), Hop::Init),
            ("lost", ("/Restarted/arrival", very_late), Hop::Init),
            ("lost", ("/Restarted/written", json!("Whole")), Hop::Export),
            ("kept", ("/Restarted/written", json!("Absent")), Hop::Init),
            ("kept", ("/Restarted/written", json!({"Other": "a file of 3 bytes"})), Hop::Init),
            ("kept", ("/Restarted/kept", json!("Absent")), Hop::Init),
        ] {
            let verdict = judged(written, std::slice::from_ref(&change));
            assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(hop)), "{change:?}");
        }
        let emptied = judged(
            "kept",
            &[("/Restarted/kept", json!("Absent")), ("/Restarted/vanished", json!([7, ["a", "b", "c"]]))],
        );
        assert!(emptied.reasons[0].seen.contains("others that are gone: 7, such as a, b, c"), "{emptied:?}");
    }

    #[test]
    fn files_that_the_new_pod_removed_are_lost_by_the_restart() {
        let gone = ("/Restarted/vanished", json!([2, ["a.csv", "b.csv"]]));
        let verdict = judged("kept", &[gone, ("/Restarted/removed", json!(["deleting a.csv"]))]);
        assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Init)), "{verdict:?}");
        assert!(
            verdict.reasons[0].seen.contains("files that are gone: 2") && verdict.reasons[0].seen.contains("a.csv")
        );
    }

    #[test]
    fn a_replacement_that_does_not_come_fails_with_what_it_says() {
        let stuck = |container: &str| {
            let trouble = json!({"pod": "new", "container": container, "state": "waiting: CrashLoopBackOff", "said": ["boom"], "warnings": {"Ok": ["BackOff: again"]}, "after": 4000});
            judged("kept", &[("/Restarted/came", json!({"Stuck": trouble})), ("/Restarted/written", Value::Null)])
        };
        for (container, hop) in
            [("sync-windows-data", Hop::Init), ("sync-to-windows", Hop::Sidecar), ("nfs-server", Hop::Nfs)]
        {
            let verdict = stuck(container);
            assert_eq!((verdict.outcome, verdict.hop, verdict.reasons.len()), (Outcome::Fail, Some(hop), 1));
            let seen = &verdict.reasons[0].seen;
            assert!(seen.contains("boom") && seen.contains("BackOff: again"), "{verdict:?}");
        }
        for (warnings, said) in
            [(json!({"Ok": []}), "no event warns"), (json!({"Err": "no permission"}), "no permission")]
        {
            let nothing = json!({"Nothing": {"after": 120_000, "warnings": warnings}});
            let verdict = judged("lost", &[("/Restarted/came", nothing)]);
            assert_eq!(verdict.outcome, Outcome::Fail);
            assert!(verdict.reasons[0].seen.contains(said), "{verdict:?}");
        }
    }

    #[test]
    fn what_was_not_seen_is_neither_good_nor_bad() {
        for change in [
            ("/Restarted/arrival", json!({"there": 31_000, "absent": null, "last": "the connection broke"})),
            ("/Restarted/arrival", json!({"there": null, "absent": 500, "last": "the connection broke"})),
            ("/Restarted/written", json!({"Unknown": "the connection broke"})),
            ("/Restarted/written", Value::Null),
            ("/Restarted/kept", json!({"Unknown": "denied"})),
        ] {
            assert_eq!(judged("kept", std::slice::from_ref(&change)).outcome, Outcome::Error, "{change:?}");
        }
    }

    #[test]
    fn what_testers_remove_themselves_and_clocks_that_differ_are_notes() {
        let removed = ("/Restarted/vanished", json!([2, ["report.csv", "x/y.csv"]]));
        let behind = ("/Restarted/came/Ready/phases/init", json!(-180));
        for change in
            [removed, ("/Restarted/vanished", Value::Null), behind, ("/Restarted/old", json!("pod old is there"))]
        {
            let verdict = judged("lost", std::slice::from_ref(&change));
            assert_eq!((verdict.outcome, verdict.notes.len()), (Outcome::Pass, 1), "{change:?}");
        }
    }
}
