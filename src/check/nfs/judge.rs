//! What a session with an NFS server means. Pure.

use super::access::{self, Access};
use super::calls::Listed;
use super::unserved::Unserved;
use super::way::Via;
use super::{Nfs, Observation};
use crate::check::System;
use crate::event::{Hop, Outcome, Reason, Verdict};

/// With this a server refuses what is read-only; other refusals may be for root alone.
const READ_ONLY: &str = "NFS3ERR_ROFS";

impl Nfs {
    pub fn judged(&self, system: &System, seen: &Observation) -> Verdict {
        let Some(options) = seen.expected.text() else { return access::unknown(system, &seen.expected) };
        let contradicted = self.requires.and_then(|own| own.contradicted(system, &options, &seen.expected));
        let Err(trouble) = &seen.end else { return self.served(&options, contradicted, seen) };
        let live = seen.live.clone().unwrap_or_else(|| access::words(&options).map(str::to_owned).collect());
        let (object, trouble, others) = (seen.object.clone(), trouble.clone(), seen.others.clone());
        let unserved = Unserved { object, trouble, answered: seen.seen.answered, live: Some(live), others };
        let unserved = unserved.judged(&format!("{options}: {}", seen.expected.source), self.within);
        let Some(contradicted) = contradicted else { return unserved };
        // Also where clients from here are not taken at all.
        let notes = (unserved.outcome == Outcome::Skip).then_some(unserved.summary);
        let reasons = std::iter::once(contradicted).chain(unserved.reasons).collect();
        Verdict::judged("", reasons).notes(notes.into_iter().collect()).at(Hop::Nfs)
    }

    /// What a session says that came to its end.
    fn served(&self, options: &str, contradicted: Option<Reason>, seen: &Observation) -> Verdict {
        let Observation { object, mounted, .. } = seen;
        let mut reasons: Vec<_> = contradicted.into_iter().collect();
        let mut unlisted = None;
        let mut listed = "not listed";
        match &seen.seen.listed {
            Some(Listed::Found(call)) => listed = call,
            Some(Listed::Changing) => {
                let expected = format!("to list {mounted} to its end, or as far as the test's file");
                let hint =
                    "run the test again when fewer clients write there; if it stays so, look at the server's log";
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
        let done = if self.access(options) == Access::ReadOnly {
            reasons.extend(self.writable(options, seen));
            let refused = seen.seen.refused.as_deref().unwrap_or_default();
            format!("a file read and listed ({listed}), CREATE refused ({refused})")
        } else {
            reasons.extend(self.astray(seen));
            let writes = seen.seen.writes;
            format!(
                "a file written ({writes} WRITEs), committed, read, listed ({listed}), seen in the pod, renamed, removed"
            )
        };
        let summary = format!("{object}: {mounted} mounted, {done}; {} calls", seen.seen.answered);
        match unlisted {
            Some(reason) if reasons.is_empty() => Verdict::error(reason).at(Hop::Nfs),
            _ => Verdict::judged(summary, reasons).at(Hop::Nfs),
        }
    }

    /// What is wrong if a server does not refuse to write because it is read-only.
    fn writable(&self, options: &str, seen: &Observation) -> Option<Reason> {
        let (what, hint) = match seen.seen.refused.as_deref() {
            Some(READ_ONLY) => return None,
            None => (
                "it made the file (removed again)",
                "clients can write there: look at its export options, and run helm upgrade",
            ),
            Some(refused) => (
                refused,
                "it refuses for another reason than a read-only export: look at its export options and its log",
            ),
        };
        let who = match self.requires {
            Some(required) => format!("the suite requires {}", required.names().0),
            None => format!("{options}: {}", seen.expected.source),
        };
        Some(Reason::new(&seen.object, format!("to refuse CREATE as read-only ({who})"), what).hint(hint))
    }

    /// What is wrong if a file that was written is not in the export of the pod.
    fn astray(&self, seen: &Observation) -> Option<Reason> {
        let problem = match &seen.seen.export {
            Some(Ok(())) => return None,
            Some(Err(problem)) => problem,
            None => "nothing was written",
        };
        let expected = "to write into the export of this pod, where its container sees the file";
        let hint = match self.via {
            Via::NodePort => "the NodePort leads to another server: see the test service",
            Via::PortForward => "the server exports another folder: look at its mounts and its exports file",
        };
        Some(Reason::new(&seen.object, expected, problem).hint(hint))
    }
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

    fn unserved(call: &str, what: &Value, field: &str, value: &Value) -> Verdict {
        let end = json!({"Err": {"call": call, "what": what}});
        judged_by(&Value::Null, &[("/end", end), (&format!("/{field}"), value.clone())])
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
    fn a_session_that_ends_early_fails_unless_the_export_lacks_insecure_or_the_node_is_not_reached_at_all() {
        let refused = |status: &str| json!({"Refused": status});
        let unreachable = json!({"Unreachable": "no answer"});
        for (call, what, field, value, outcome) in [
            ("MOUNT /data", refused("MNT3ERR_ACCES"), "live", json!(["rw", "insecure"]), Outcome::Fail),
            ("MOUNT /data", refused("MNT3ERR_ACCES"), "live", Value::Null, Outcome::Fail),
            ("MOUNT /data", refused("MNT3ERR_ACCES"), "live", json!(["rw", "sync"]), Outcome::Skip),
            ("MOUNT /data", refused("MNT3ERR_NOENT"), "live", json!(["rw"]), Outcome::Fail),
            ("WRITE", refused("NFS3ERR_NOSPC"), "live", json!(["rw"]), Outcome::Fail),
            ("WRITE", json!({"Ended": "connection refused"}), "others", json!([]), Outcome::Fail),
            ("WRITE", json!({"Wrong": ["a", "b"]}), "others", json!([]), Outcome::Fail),
            ("connect", unreachable.clone(), "others", json!([]), Outcome::Skip),
            ("connect", unreachable, "others", json!([32150]), Outcome::Fail),
        ] {
            let verdict = unserved(call, &what, field, &value);
            assert_eq!((verdict.outcome, verdict.hop), (outcome, Some(Hop::Nfs)), "{what} {value}: {verdict:?}");
        }
    }

    #[test]
    fn a_server_that_a_request_ended_fails_with_its_last_words_and_their_cure() {
        let by = json!({"suite": "nfs", "slug": "node-port", "server": "nas"});
        let exited = |said: &str| {
            let exit = json!({"by": by, "container": "nfs-server", "pod": "1", "at": "2026-11-21T03:55:00Z", "ran": "PT1M",
                "restarts": 0, "how": "exit code 1 (Error)", "said": [said]});
            unserved("FSINFO", &json!({"Exited": exit}), "live", &Value::Null).reasons.remove(0)
        };
        let reason = exited("euid/egid switching failed, aborting");
        assert!(reason.hint.contains("unfsd with -s"), "{reason:?}");
        for part in ["this request ended it", "container nfs-server, exit code 1", "`euid/egid switching failed"] {
            assert!(reason.seen.contains(part), "{reason:?}");
        }
        assert!(!exited("Segmentation fault").hint.contains("-s"));
    }
}
