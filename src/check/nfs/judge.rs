//! What a session with an NFS server means. Pure.

use super::call::{CONNECT, SESSION, Trouble, What};
use super::session::Listed;
use super::way::Via;
use super::{Access, Nfs, Observation, access, unknown};
use crate::check::System;
use crate::check::parameter::Span;
use crate::event::{Hop, Outcome, Reason, Verdict};

/// With this a server refuses what is read-only; other refusals may be for root alone.
const READ_ONLY: &str = "NFS3ERR_ROFS";
/// With these a server refuses clients, and unfs3 those on high ports.
const UNWANTED: [&str; 4] = ["MNT3ERR_ACCES", "MNT3ERR_PERM", "AUTH_TOOWEAK", "AUTH_BADCRED"];

/// The last word of an unfs3 that wants to become a client's user and may not.
const MAY_NOT_SWITCH: &str = "euid/egid switching failed";

pub fn judge(check: &Nfs, system: &System, seen: &Observation) -> Verdict {
    let Some(options) = seen.expected.text() else { return unknown(system, &seen.expected) };
    let contradicted = check.requires.and_then(|own| own.contradicted(system, &options, &seen.expected));
    if let Err(trouble) = &seen.end {
        let said = || access::words(&options).map(str::to_owned).collect();
        let live: Vec<String> = seen.live.clone().unwrap_or_else(said);
        let stopped = stopped(&Stopped {
            object: &seen.object,
            trouble,
            answered: seen.seen.answered,
            live: &live,
            said: format!("{options}: {}", seen.expected.source),
            others: &seen.others,
            within: check.within,
        });
        let Some(contradicted) = contradicted else { return stopped };
        // Also where clients from here are not taken at all.
        let notes = (stopped.outcome == Outcome::Skip).then_some(stopped.summary);
        let reasons = std::iter::once(contradicted).chain(stopped.reasons).collect();
        return Verdict::judged("", reasons).notes(notes.into_iter().collect()).at(Hop::Nfs);
    }
    let object = &seen.object;
    let mut reasons: Vec<_> = contradicted.into_iter().collect();
    let mut unlisted = None;
    let mut listed = "not listed";
    match &seen.seen.listed {
        Some(Listed::Found(call)) => listed = call,
        Some(Listed::Changing) => {
            let expected = format!("to list {} to its end, or as far as the test's file", seen.mounted);
            let hint = "run the test again when fewer clients write there; if it stays so, look at the server's log";
            let what = "NFS3ERR_BAD_COOKIE, whenever it was listed anew";
            unlisted = Some(Reason::new(object, expected, what).hint(hint));
        }
        Some(Listed::Missing(count)) => {
            let what = format!("{count} other names");
            let hint = "clients that list the folder do not see their files: look at the server's log";
            reasons.push(Reason::new(object, "to list a file that it gives", what).hint(hint));
        }
        None => reasons.push(Reason::new(object, "to list a folder", "nothing was listed")),
    }
    let what = if check.access(&options) == Access::ReadOnly {
        let refused = seen.seen.refused.as_deref().unwrap_or_default();
        if refused != READ_ONLY {
            let who = match check.requires {
                Some(required) => format!("the suite requires {}", required.names().0),
                None => format!("{options}: {}", seen.expected.source),
            };
            let made = "it made the file (removed again)";
            let what = if refused.is_empty() { made } else { refused };
            let hint = if refused.is_empty() {
                "clients can write there: look at its export options, and run helm upgrade"
            } else {
                "it refuses for another reason than a read-only export: look at its export options and its log"
            };
            reasons.push(Reason::new(object, format!("to refuse CREATE as read-only ({who})"), what).hint(hint));
        }
        format!("a file read and listed ({listed}), CREATE refused ({refused})")
    } else {
        let unwritten = || Err("nothing was written".to_owned());
        if let Err(problem) = seen.seen.export.clone().unwrap_or_else(unwritten) {
            let expected = "to write into the export of this pod, where its container sees the file";
            let hint = match check.via {
                Via::NodePort => "the NodePort leads to another server: see the test service",
                Via::PortForward => "the server exports another folder: look at its mounts and its exports file",
            };
            reasons.push(Reason::new(object, expected, problem).hint(hint));
        }
        let writes = seen.seen.writes;
        format!(
            "a file written ({writes} WRITEs), committed, read, listed ({listed}), seen in the pod, renamed, removed"
        )
    };
    let (mounted, answered) = (&seen.mounted, seen.seen.answered);
    let summary = format!("{object}: {mounted} mounted, {what}; {answered} calls");
    match unlisted {
        Some(reason) if reasons.is_empty() => Verdict::error(reason).at(Hop::Nfs),
        _ => Verdict::judged(summary, reasons).at(Hop::Nfs),
    }
}

/// A session that did not come to its end.
pub struct Stopped<'a> {
    pub object: &'a str,
    pub trouble: &'a Trouble,
    pub answered: u32,
    pub live: &'a [String],
    /// What its options should be, and who says so.
    pub said: String,
    /// Ports of other servers that answered when this one's node was not reached.
    pub others: &'a [u16],
    pub within: Span,
}

pub fn stopped(seen: &Stopped<'_>) -> Verdict {
    let Stopped { object, trouble: Trouble { call, what }, answered, live, said, within, others, .. } = seen;
    let skip = |why: String| Verdict::skip(why).at(Hop::Nfs);
    let see = "see the tests service and node-port of this server";
    let connect = || "to take a connection".to_owned();
    let (expected, what, hint) = match what {
        What::Refused(status) if call.starts_with("MOUNT") && UNWANTED.contains(&status.as_str()) => {
            if !live.iter().any(|option| option == "insecure") {
                return skip(format!(
                    "export lacks insecure: add it to exportOptions ({object}: {call} gave {status}; its options are {})",
                    live.join(",")
                ));
            }
            let expected = format!("{call} to work (its options have insecure)");
            (expected, status.clone(), "look which clients the server's exports file names")
        }
        What::Unreachable(why) if others.is_empty() => {
            return skip(format!("{object} is not reachable from here ({why}): see the test node-port"));
        }
        What::Unreachable(why) => (connect(), format!("{why}, while ports of other servers answer: {others:?}"), see),
        What::Silent => {
            let after = if *answered == 0 { String::new() } else { format!(" after {answered} answers") };
            (
                format!("to answer {call} within {within}, and all calls within {}", Span(within.0 * SESSION)),
                format!("it takes the connection, and was waited for in vain{after}"),
                "its probes only look for a connection: look at its log, at what it waits for and its CPU limit, or delete \
                 its pod",
            )
        }
        What::Exited(exit) => {
            let said = exit.said.iter().map(|line| format!("`{line}`")).collect::<Vec<_>>().join(", ");
            let what = format!(
                "this request ended it: container {}, {}; its log ends with {said}; this run sends it no other",
                exit.container, exit.how
            );
            let hint = if said.contains(MAY_NOT_SWITCH) {
                "start unfsd with -s: it may not become another user here, and with SETUID and SETGID it would have more \
                 rights than the test security allows"
            } else {
                "look at its previous log: every client that does the same ends it again"
            };
            (format!("to answer {call}"), what, hint)
        }
        What::Ended(why) | What::Broken(why) if call == CONNECT => (connect(), why.clone(), see),
        What::Ended(why) | What::Broken(why) => (
            format!("to answer {call}"),
            format!("the connection ended ({why}); calls answered before: {answered}"),
            "look whether the server listens, at its log and its restarts",
        ),
        What::Refused(status) => {
            let hint = match status.as_str() {
                "NFS3ERR_ROFS" => "the export is read-only: see the test export-options, and the container's mounts",
                "NFS3ERR_NOSPC" | "NFS3ERR_DQUOT" => "the export is full: remove files from it",
                "NFS3ERR_ACCES" | "NFS3ERR_PERM" => "root may not: does the export say no_root_squash?",
                "MNT3ERR_NOENT" | "MNT3ERR_NOTDIR" => {
                    "the server does not export that folder: look at its exports file"
                }
                _ => "look at the server's log",
            };
            (format!("{call} to work ({said})"), status.clone(), hint)
        }
        What::Wrong(expected, what) => {
            (format!("of {call}: {expected}"), what.clone(), "look at the server's log; restart its pod")
        }
    };
    Verdict::judged("", vec![Reason::new(*object, expected, what).hint(hint)]).at(Hop::Nfs)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged;
    use crate::cluster::example::with;

    fn judged_by(requires: &Value, changes: &[(&str, Value)]) -> Verdict {
        let healthy = json!({
            "object": "NFS server of pod p", "mounted": "/data",
            "expected": {"value": "rw,sync,insecure", "source": "exportOptions in the values"},
            "seen": {"answered": 17, "writes": 3,
                "listed": {"Found": "READDIRPLUS"}, "export": {"Ok": null}, "refused": null},
            "end": {"Ok": null}, "live": null, "others": []
        });
        judged::<Nfs>(json!({"requires": requires, "within": "10s"}), with(healthy, changes))
    }

    fn stopped(call: &str, what: &Value, changes: &[(&str, Value)]) -> Verdict {
        let end = ("/end", json!({"Err": {"call": call, "what": what}}));
        judged_by(&Value::Null, &[&[end], changes].concat())
    }

    #[test]
    fn what_a_whole_session_did_is_judged() {
        let changing = ("/seen/listed", json!("Changing"));
        let unseen = ("/seen/export", json!({"Err": "No such file"}));
        let read_only = |refused: Value| vec![("/expected/value", json!("ro,sync")), ("/seen/refused", refused)];
        for (changes, outcome) in [
            (vec![("/seen/listed", json!({"Missing": 2}))], Outcome::Fail),
            (vec![("/seen/listed", Value::Null)], Outcome::Fail),
            (vec![("/seen/export", Value::Null)], Outcome::Fail),
            (vec![changing.clone()], Outcome::Error),
            (vec![changing, unseen], Outcome::Fail),
            (read_only(json!("NFS3ERR_ROFS")), Outcome::Pass),
            (read_only(Value::Null), Outcome::Fail),
            (read_only(json!("NFS3ERR_ACCES")), Outcome::Fail),
        ] {
            let verdict = judged_by(&Value::Null, &changes);
            assert_eq!(verdict.outcome, outcome, "{changes:?}: {verdict:?}");
        }
    }

    #[test]
    fn values_that_the_suite_contradicts_fail_also_where_no_client_is_taken_from_here() {
        let end = json!({"Err": {"call": "MOUNT /data", "what": {"Refused": "MNT3ERR_ACCES"}}});
        let secure = judged_by(&json!("read-write"), &[("/expected/value", json!("ro,sync")), ("/end", end)]);
        assert_eq!((secure.outcome, secure.reasons.len(), secure.notes.len()), (Outcome::Fail, 1, 1));
    }

    #[test]
    fn a_refused_mount_is_skipped_only_where_the_export_lacks_insecure() {
        for (status, live, outcome) in [
            ("MNT3ERR_ACCES", json!(["rw", "insecure"]), Outcome::Fail),
            ("MNT3ERR_ACCES", Value::Null, Outcome::Fail),
            ("MNT3ERR_ACCES", json!(["rw", "sync"]), Outcome::Skip),
            ("MNT3ERR_NOENT", json!(["rw"]), Outcome::Fail),
        ] {
            let verdict = stopped("MOUNT /data", &json!({"Refused": status}), &[("/live", live.clone())]);
            assert_eq!(verdict.outcome, outcome, "{status} {live}");
        }
    }

    #[test]
    fn silence_an_end_a_refusal_and_nonsense_fail_and_a_node_that_is_not_reached_only_where_it_answers_elsewhere() {
        for (what, others, outcome) in [
            (json!("Silent"), json!([]), Outcome::Fail),
            (json!({"Ended": "connection refused"}), json!([]), Outcome::Fail),
            (json!({"Refused": "NFS3ERR_NOSPC"}), json!([]), Outcome::Fail),
            (json!({"Wrong": ["a", "b"]}), json!([]), Outcome::Fail),
            (json!({"Unreachable": "no answer"}), json!([]), Outcome::Skip),
            (json!({"Unreachable": "no answer"}), json!([32150]), Outcome::Fail),
        ] {
            let verdict = stopped("WRITE", &what, &[("/others", others)]);
            assert_eq!((verdict.outcome, verdict.hop), (outcome, Some(Hop::Nfs)), "{what}: {verdict:?}");
        }
    }

    #[test]
    fn a_server_that_a_request_ended_fails_with_its_last_words_and_their_cure() {
        let by = json!({"suite": "nfs", "slug": "node-port", "server": "nas"});
        let exited = |said: &str| {
            let exit = json!({"by": by, "container": "nfs-server", "pod": "1", "at": "2026-11-21T03:55:00Z", "ran": "PT1M",
                "restarts": 0, "how": "exit code 1 (Error)", "said": [said]});
            stopped("FSINFO", &json!({"Exited": exit}), &[]).reasons.remove(0)
        };
        let reason = exited("euid/egid switching failed, aborting");
        assert!(reason.hint.contains("unfsd with -s"), "{reason:?}");
        for part in ["this request ended it", "container nfs-server, exit code 1", "`euid/egid switching failed"] {
            assert!(reason.seen.contains(part), "{reason:?}");
        }
        assert!(!exited("Segmentation fault").hint.contains("-s"));
    }
}
