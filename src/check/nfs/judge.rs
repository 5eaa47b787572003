//! Judges a session with an NFS server. Pure.

use super::access::{self, Access};
use super::calls::Listed;
use super::failed_session::FailedSession;
use super::route::Via;
use super::{Nfs, Observation};
use crate::check::System;
use crate::event::{Hop, Outcome, Reason, Verdict};

/// The status of a read-only export; other refusals may affect root only.
const READ_ONLY: &str = "NFS3ERR_ROFS";

impl Nfs {
    pub fn judged(&self, system: &System, seen: &Observation) -> Verdict {
        let Some(options) = seen.expected.text() else { return access::undefined(system, &seen.expected) };
        let contradiction = self.requires.and_then(|access| access.contradicted_by(system, &options, &seen.expected));
        let Err(failure) = &seen.end else { return self.succeeded(&options, contradiction, seen) };
        let live = seen.live.clone().unwrap_or_else(|| access::split(&options).map(str::to_owned).collect());
        let (object, failure, others) = (seen.object.clone(), failure.clone(), seen.others.clone());
        let failed = FailedSession { object, failure, answered: seen.progress.answered, live: Some(live), others };
        let failed = failed.judge(&format!("{options}: {}", seen.expected.source), self.within);
        let Some(contradiction) = contradiction else { return failed };
        // The contradiction counts even if the server refuses all clients from this machine.
        let notes = (failed.outcome == Outcome::Skip).then_some(failed.summary);
        let reasons = std::iter::once(contradiction).chain(failed.reasons).collect();
        Verdict::judged("", reasons).notes(notes.into_iter().collect()).at(Hop::Nfs)
    }

    fn succeeded(&self, options: &str, contradiction: Option<Reason>, seen: &Observation) -> Verdict {
        let Observation { object, mounted, progress, .. } = seen;
        let mut reasons: Vec<_> = contradiction.into_iter().collect();
        let mut unlisted = None;
        let mut listed = "not listed";
        match &progress.listed {
            Some(Listed::Found(call)) => listed = call,
            Some(Listed::Changing) => {
                let expected = format!("to list {mounted} to the end, or up to the test's file");
                let hint =
                    "run the test again when fewer clients write there; if that does not help, read the server's log";
                let what = "NFS3ERR_BAD_COOKIE each time the list was restarted";
                unlisted = Some(Reason::new(object, expected, what).hint(hint));
            }
            Some(Listed::Missing(count)) => {
                let what = format!("{count} other names");
                let hint = "clients that list the folder do not see their files: read the server's log";
                reasons.push(Reason::new(object, "to list a file that it serves", what).hint(hint));
            }
            None => reasons.push(Reason::new(object, "to list a folder", "nothing was listed")),
        }
        let done = if self.access(options) == Access::ReadOnly {
            reasons.extend(self.writable(options, seen));
            let refused = progress.refused.as_deref().unwrap_or_default();
            format!("a file read and listed ({listed}), CREATE refused ({refused})")
        } else {
            reasons.extend(self.misplaced(seen));
            let writes = progress.writes;
            format!(
                "a file written ({writes} WRITEs), committed, read, listed ({listed}), seen in the pod, renamed, removed"
            )
        };
        let summary = format!("{object}: {mounted} mounted, {done}; {} calls", progress.answered);
        match unlisted {
            Some(reason) if reasons.is_empty() => Verdict::error(reason).at(Hop::Nfs),
            _ => Verdict::judged(summary, reasons).at(Hop::Nfs),
        }
    }

    fn writable(&self, options: &str, seen: &Observation) -> Option<Reason> {
        let (what, hint) = match seen.progress.refused.as_deref() {
            Some(READ_ONLY) => return None,
            None => (
                "it created the file, which was removed again",
                "clients can write there: check its export options, and run helm upgrade",
            ),
            Some(status) => {
                (status, "this status does not mean a read-only export: check its export options and read its log")
            }
        };
        let source = match self.requires {
            Some(required) => format!("the suite requires {}", required.names().0),
            None => format!("{options}: {}", seen.expected.source),
        };
        Some(Reason::new(&seen.object, format!("to refuse CREATE with {READ_ONLY} ({source})"), what).hint(hint))
    }

    fn misplaced(&self, seen: &Observation) -> Option<Reason> {
        let problem = match &seen.progress.export {
            Some(Ok(())) => return None,
            Some(Err(problem)) => problem,
            None => "nothing was written",
        };
        let expected = "a file written over NFS to appear in the export of this pod";
        let hint = match self.via {
            Via::NodePort => {
                "if NFS through a port-forward fails too, the server exports another folder; else the NodePort leads to another server: \
                 check the Service's selector and NodePort"
            }
            Via::PortForward => "the server exports another folder: check its mounts and read its exports file",
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

    fn failed(call: &str, cause: &Value, field: &str, value: &Value) -> Verdict {
        let end = json!({"Err": {"call": call, "what": cause}});
        judged_by(&Value::Null, &[("/end", end), (&format!("/{field}"), value.clone())])
    }

    #[test]
    fn a_complete_session_is_judged_by_its_effects() {
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
    fn values_that_contradict_the_suite_fail_even_if_the_server_refuses_this_client() {
        let end = json!({"Err": {"call": "MOUNT /data", "what": {"Refused": "MNT3ERR_ACCES"}}});
        let secure = judged_by(&json!("read-write"), &[("/expected/value", json!("ro,sync")), ("/end", end)]);
        assert_eq!((secure.outcome, secure.reasons.len(), secure.notes.len()), (Outcome::Fail, 1, 1));
    }

    #[test]
    fn a_failed_session_fails_unless_the_export_lacks_insecure_or_the_node_is_unreachable() {
        let refused = |status: &str| json!({"Refused": status});
        let unreachable = json!({"Unreachable": "no answer"});
        for (call, cause, field, value, outcome) in [
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
            let verdict = failed(call, &cause, field, &value);
            assert_eq!((verdict.outcome, verdict.hop), (outcome, Some(Hop::Nfs)), "{cause} {value}: {verdict:?}");
        }
    }

    #[test]
    fn a_server_that_exits_at_a_request_fails_with_the_end_of_its_log_and_a_hint() {
        let by = json!({"suite": "nfs", "slug": "node-port", "server": "nas"});
        let exited = |log: &str| {
            let exit = json!({"by": by, "container": "nfs-server", "pod": "1", "at": "2026-11-21T03:55:00Z", "ran": "PT1M",
                "restarts": 0, "how": "exit code 1 (Error)", "said": [log]});
            failed("FSINFO", &json!({"Exited": exit}), "live", &Value::Null).reasons.remove(0)
        };
        let reason = exited("euid/egid switching failed, aborting");
        assert!(reason.hint.contains("unfsd with -s"), "{reason:?}");
        for part in
            ["this request ended the server", "container nfs-server, exit code 1", "`euid/egid switching failed"]
        {
            assert!(reason.seen.contains(part), "{reason:?}");
        }
        assert!(!exited("Segmentation fault").hint.contains("-s"));
    }
}
