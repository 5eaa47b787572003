//! What a session with an NFS server means. Pure.

use super::call::{Trouble, What};
use super::session::Listed;
use super::way::Via;
use super::{Nfs, Observation, is_read_only};
use crate::check::parameter::Span;
use crate::event::{Hop, Reason, Verdict};

/// With these a server refuses what is read-only.
const READ_ONLY: [&str; 3] = ["NFS3ERR_ROFS", "NFS3ERR_ACCES", "NFS3ERR_PERM"];
/// With these a server refuses clients, and unfs3 those on high ports.
const UNWANTED: [&str; 4] = ["MNT3ERR_ACCES", "MNT3ERR_PERM", "AUTH_TOOWEAK", "AUTH_BADCRED"];

/// Judges what was seen.
pub fn judge(check: &Nfs, seen: &Observation) -> Verdict {
    let Some(options) = seen.expected.text() else { return check.unknown(&seen.expected) };
    if let Err(trouble) = &seen.end {
        let live = || options.split(',').map(|one| one.trim().to_owned()).collect();
        let live: &Vec<String> = &seen.live.clone().unwrap_or_else(live);
        let (answered, from, within) = (seen.seen.calls.answered, seen.seen.from, check.within);
        let (object, said, others) = (&seen.object, format!("{options}: {}", seen.expected.source), &seen.others);
        return stopped(&Stopped { object, trouble, answered, from, live, said, others, within }).at(Hop::Nfs);
    }
    let (object, calls) = (&seen.object, &seen.seen.calls);
    let (mut reasons, mut notes) = (Vec::new(), Vec::new());
    let mut listed = "not listed";
    match &seen.seen.listed {
        Some(Listed::Found(call)) => listed = call,
        Some(Listed::Changing) => notes.push(format!("{} changed whenever it was listed", seen.mounted)),
        Some(Listed::Missing(count)) => {
            let what = format!("{count} other names");
            let hint = "clients that list the folder do not see their files: look at the server's log";
            reasons.push(Reason::new(object, "to list a file that it gives", what).hint(hint));
        }
        None => reasons.push(Reason::new(object, "to list a folder", "nothing was listed")),
    }
    let what = if is_read_only(&options) {
        let expected = format!("to refuse CREATE as read-only ({options}: {})", seen.expected.source);
        match seen.seen.refused.as_deref() {
            None => {
                let hint = "clients can write there: look at its export options, and run helm upgrade";
                reasons.push(Reason::new(object, expected, "it made the file (removed again)").hint(hint));
            }
            Some(status) if !READ_ONLY.contains(&status) => reasons.push(Reason::new(object, expected, status)),
            Some(_) => {}
        }
        let refused = seen.seen.refused.as_deref().unwrap_or_default();
        format!("a file read and listed ({listed}), CREATE refused ({refused})")
    } else {
        match &seen.seen.export {
            Some(Ok(())) => {}
            Some(Err(problem)) => {
                let expected = "to write into the export of this pod, where its container sees the file";
                let hint = match check.via {
                    Via::NodePort => "the NodePort leads to another server: see the test service",
                    Via::PortForward => "the server exports another folder: look at its mounts and its exports file",
                };
                reasons.push(Reason::new(object, expected, problem).hint(hint));
            }
            None => reasons.push(Reason::new(object, "a file that the container sees too", "nothing was written")),
        }
        let writes = seen.seen.writes;
        format!(
            "a file written ({writes} WRITEs), committed, read, listed ({listed}), seen in the pod, renamed, removed"
        )
    };
    let slowest = calls
        .slowest
        .iter()
        .map(|(call, ms)| format!(", slowest {} with {ms} ms", call.split(' ').next().unwrap_or(call)));
    let from = seen.seen.from.map(|port| format!(" from port {port}")).unwrap_or_default();
    let (mounted, answered) = (&seen.mounted, calls.answered);
    let summary = format!("{object}: {mounted} mounted{from}, {what}; {answered} calls{}", slowest.collect::<String>());
    Verdict::judged(summary, reasons).notes(notes).at(Hop::Nfs)
}

/// A session that did not come to its end.
pub struct Stopped<'a> {
    /// The server, and the way to it.
    pub object: &'a str,
    /// What ended it.
    pub trouble: &'a Trouble,
    /// How many calls were answered before.
    pub answered: u32,
    /// The port that the connection came from; `None` where only the node knows.
    pub from: Option<u16>,
    /// The export's options.
    pub live: &'a [String],
    /// What its options should be, and who says so.
    pub said: String,
    /// Ports of other servers that answered when this one's node was not reached.
    pub others: &'a [u16],
    /// How long the calls may take.
    pub within: Span,
}

/// The verdict on it.
pub fn stopped(seen: &Stopped<'_>) -> Verdict {
    let Stopped { object, trouble: Trouble { call, what }, answered, live, said, within, .. } = seen;
    let failed = |expected: String, what: String, hint: &str| {
        Verdict::judged("", vec![Reason::new(*object, expected, what).hint(hint)])
    };
    match what {
        What::Refused(status) if call.starts_with("MOUNT") && UNWANTED.contains(&status.as_str()) => {
            let from = seen.from.map_or("a high port".to_owned(), |port| format!("port {port}"));
            if live.iter().any(|option| option == "insecure") {
                let expected = format!("{call} to work, also from {from} (its options have insecure)");
                return failed(expected, status.clone(), "look which clients the server's exports file names");
            }
            Verdict::skip(format!(
                "export lacks insecure: add it to exportOptions ({object}: {call} from {from} gave {status}; its options are {})",
                live.join(",")
            ))
        }
        What::Unreachable(why) if seen.others.is_empty() => {
            Verdict::skip(format!("{object} is not reachable from here ({why}): see the test node-port"))
        }
        What::Unreachable(why) => {
            let others = seen.others.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{why}, while its ports {others} answer");
            failed("to take a connection".to_owned(), what, "see the tests service and node-port of this server")
        }
        What::Silent => {
            let after = if *answered == 0 { String::new() } else { format!(" after {answered} answers") };
            failed(
                format!("to answer {call} within {within}"),
                format!("it takes the connection and stays silent{after}"),
                "its probes only look for a connection: look at its log and at what it waits for, or delete its pod",
            )
        }
        What::Ended(why) | What::Broken(why) => {
            let hint = "the server does not listen, or ends connections: look at its log and its restarts";
            failed(format!("to answer {call}"), why.clone(), hint)
        }
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
            failed(format!("{call} to work ({said})"), status.clone(), hint)
        }
        What::Wrong(expected, what) => {
            failed(format!("of {call}: {expected}"), what.clone(), "look at the server's log; restart its pod")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::with;
    use crate::event::Outcome;

    fn check(via: &str) -> Nfs {
        serde_json::from_value(json!({
            "port": 2049, "via": via, "export": {"container": "nfs-server", "folder": "/data"},
            "access": {"values": "exportOptions"}, "file": "/etc/exports", "within": "10s"
        }))
        .unwrap()
    }

    fn judged(changes: &[(&str, Value)]) -> Verdict {
        let seen = json!({
            "object": "NFS server of pod p", "mounted": "/data",
            "expected": {"value": "rw,sync,insecure", "source": "exportOptions in the values"},
            "seen": {"from": null, "calls": {"answered": 17, "slowest": ["COMMIT", 4]}, "writes": 3,
                "listed": {"Found": "READDIRPLUS"}, "export": {"Ok": null}, "refused": null},
            "end": {"Ok": null}, "live": null, "others": []
        });
        let seen: Observation = serde_json::from_value(with(seen, changes)).unwrap();
        judge(&check("port-forward"), &seen)
    }

    fn stopped(call: &str, what: &Value, changes: &[(&str, Value)]) -> Verdict {
        let end = ("/end", json!({"Err": {"call": call, "what": what}}));
        judged(&[&[end], changes].concat())
    }

    const READ_ONLY: (&str, &str) = ("/expected/value", "ro,sync,insecure");

    #[test]
    fn a_whole_session_passes_and_says_what_it_did() {
        let verdict = judged(&[]);
        assert_eq!(verdict.reasons, Vec::new());
        assert!(verdict.summary.contains("17 calls, slowest COMMIT with 4 ms"), "{}", verdict.summary);
        let changing = judged(&[("/seen/listed", json!("Changing"))]);
        assert_eq!((changing.outcome, changing.notes.len()), (Outcome::Pass, 1));
    }

    #[test]
    fn a_file_that_is_not_listed_or_not_in_the_pod_fails() {
        assert_eq!(judged(&[("/seen/listed", json!({"Missing": 2}))]).outcome, Outcome::Fail);
        assert_eq!(judged(&[("/seen/export", json!({"Err": "No such file"}))]).outcome, Outcome::Fail);
        assert_eq!(judged(&[("/seen/listed", Value::Null)]).outcome, Outcome::Fail);
        assert_eq!(judged(&[("/seen/export", Value::Null)]).outcome, Outcome::Fail);
    }

    #[test]
    fn a_read_only_server_refuses_to_write() {
        let with = |refused: Value| {
            let nothing = ("/seen/export", Value::Null);
            judged(&[(READ_ONLY.0, json!(READ_ONLY.1)), nothing, ("/seen/refused", refused)]).outcome
        };
        assert_eq!([with(json!("NFS3ERR_ROFS")), with(json!("NFS3ERR_ACCES"))], [Outcome::Pass; 2]);
        assert_eq!([with(Value::Null), with(json!("NFS3ERR_IO"))], [Outcome::Fail; 2]);
    }

    #[test]
    fn a_refused_mount_is_skipped_only_where_the_export_lacks_insecure() {
        let refused = |live: Value| stopped("MOUNT /data", &json!({"Refused": "MNT3ERR_ACCES"}), &[("/live", live)]);
        assert_eq!(refused(json!(["rw", "insecure"])).outcome, Outcome::Fail);
        assert_eq!(refused(Value::Null).outcome, Outcome::Fail);
        let secure = refused(json!(["rw", "sync"]));
        assert_eq!(secure.outcome, Outcome::Skip);
        assert!(secure.summary.starts_with("export lacks insecure: add it to exportOptions"), "{}", secure.summary);
        let other = stopped("MOUNT /data", &json!({"Refused": "MNT3ERR_NOENT"}), &[("/live", json!(["rw"]))]);
        assert_eq!(other.outcome, Outcome::Fail);
    }

    #[test]
    fn silence_an_end_a_refusal_and_nonsense_fail_and_name_the_call() {
        for what in [
            json!("Silent"),
            json!({"Ended": "connection refused"}),
            json!({"Refused": "NFS3ERR_NOSPC"}),
            json!({"Wrong": ["a", "b"]}),
        ] {
            let verdict = stopped("WRITE", &what, &[]);
            assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Nfs)));
            assert!(verdict.reasons[0].expected.contains("WRITE"), "{verdict:?}");
        }
    }

    #[test]
    fn a_node_that_is_not_reached_fails_only_where_it_answers_elsewhere() {
        let unreachable =
            |others: Value| stopped("connect", &json!({"Unreachable": "no answer"}), &[("/others", others)]);
        assert_eq!(unreachable(json!([])).outcome, Outcome::Skip);
        assert_eq!(unreachable(json!([32150])).outcome, Outcome::Fail);
    }

    #[test]
    fn options_are_read_and_parameters_checked() {
        let text = "# /data *(ro)\n/data 10.0.0.0/8(rw,sync) *(ro,insecure)\n/data2 *(x)";
        assert_eq!(super::super::options(text, "/data"), ["insecure", "ro", "rw", "sync"]);
        assert!(is_read_only("sync, ro") && !is_read_only("rw,no_root_squash"));
        assert!(serde_json::from_value::<Nfs>(json!({"port": {"values": "service.nodePort"}, "oops": 1})).is_err());
    }
}
