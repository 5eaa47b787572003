//! What a session with an NFS server means. Pure.

use super::call::{CONNECT, SESSION, Trouble, What};
use super::session::Listed;
use super::way::Via;
use super::{Access, Nfs, Observation, access};
use crate::check::parameter::Span;
use crate::event::{Hop, Outcome, Reason, Verdict};

/// With this a server refuses what is read-only.
pub const READ_ONLY: &str = "NFS3ERR_ROFS";
/// With these it may refuse root alone, as an export without `no_root_squash` does.
const DENIED: [&str; 2] = ["NFS3ERR_ACCES", "NFS3ERR_PERM"];
/// With these a server refuses clients, and unfs3 those on high ports.
const UNWANTED: [&str; 4] = ["MNT3ERR_ACCES", "MNT3ERR_PERM", "AUTH_TOOWEAK", "AUTH_BADCRED"];

/// The last word of an unfs3 that wants to become a client's user and may not.
const MAY_NOT_SWITCH: &str = "euid/egid switching failed";

/// Judges what was seen.
pub fn judge(check: &Nfs, seen: &Observation) -> Verdict {
    let Some(options) = seen.expected.text() else { return check.unknown(&seen.expected) };
    let contradicted = check.requires.and_then(|own| own.contradicted(&check.access.values, &options, &seen.expected));
    if let Err(trouble) = &seen.end {
        let live = || options.split(',').map(|one| one.trim().to_owned()).collect();
        let live: &Vec<String> = &seen.live.clone().unwrap_or_else(live);
        let (answered, from, within) = (seen.seen.calls.answered, seen.seen.from, check.within);
        let (object, said) = (&seen.object, format!("{options}: {}", seen.expected.source));
        let (others, node_ports) = (&seen.others, &seen.node_ports);
        let stopped = Stopped { object, trouble, answered, from, live, said, others, node_ports, within };
        let stopped = self::stopped(&stopped).at(Hop::Nfs);
        let Some(contradicted) = contradicted else { return stopped };
        // Also where clients from here are not taken at all.
        let notes = (stopped.outcome == Outcome::Skip).then_some(stopped.summary);
        let reasons = std::iter::once(contradicted).chain(stopped.reasons).collect();
        return Verdict::judged("", reasons).notes(notes.into_iter().collect()).at(Hop::Nfs);
    }
    let (object, calls) = (&seen.object, &seen.seen.calls);
    let mut reasons: Vec<_> = contradicted.into_iter().collect();
    // What keeps the rest from being judged.
    let mut unknown = None;
    let mut listed = "not listed";
    match &seen.seen.listed {
        Some(Listed::Found(call)) => listed = call,
        Some(Listed::Changing) => unknown = Some(unlisted(seen)),
        Some(Listed::Missing(count)) => {
            let what = format!("{count} other names");
            let hint = "clients that list the folder do not see their files: look at the server's log";
            reasons.push(Reason::new(object, "to list a file that it gives", what).hint(hint));
        }
        None => reasons.push(Reason::new(object, "to list a folder", "nothing was listed")),
    }
    let what = if check.access(&options) == Access::ReadOnly {
        match refusal(check, seen, &options) {
            Ok(reason) => reasons.extend(reason),
            Err(reason) => unknown = Some(reason),
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
    match unknown {
        Some(reason) if reasons.is_empty() => Verdict::error(reason).at(Hop::Nfs),
        _ => Verdict::judged(summary, reasons).at(Hop::Nfs),
    }
}

/// Why a server that should be read-only is not, if it is not; from what CREATE gave.
///
/// # Errors
/// Why that is not known.
fn refusal(check: &Nfs, seen: &Observation, options: &str) -> Result<Option<Reason>, Reason> {
    let who = match check.requires {
        Some(required) => format!("the suite requires {}", required.names().0),
        None => format!("{options}: {}", seen.expected.source),
    };
    let reason = |what: String| Reason::new(&seen.object, format!("to refuse CREATE as read-only ({who})"), what);
    let is_read_only = seen.live.as_deref().and_then(access::is_read_only);
    Ok(match (seen.seen.refused.as_deref(), is_read_only) {
        (Some(READ_ONLY), _) => None,
        (None, _) => {
            let hint = "clients can write there: look at its export options, and run helm upgrade";
            Some(reason("it made the file (removed again)".to_owned()).hint(hint))
        }
        (Some(status), None) if DENIED.contains(&status) => {
            let what = format!("{status}, which may be for root alone; {} does not say ro or rw", check.file);
            return Err(reason(what).hint("see the test export-options; try to write there as another user"));
        }
        (Some(status), Some(is_read_only)) if DENIED.contains(&status) => (!is_read_only).then(|| {
            let live = seen.live.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(",");
            let what = format!("{status}, which is for root alone: its options are {live}");
            reason(what).hint("clients that are not root can write there: look at its export options")
        }),
        (Some(status), _) => Some(reason(status.to_owned())),
    })
}

/// Why it is not known whether a server lists a file: each list was broken off before its end.
fn unlisted(seen: &Observation) -> Reason {
    let expected = format!("to list {} to its end, or as far as the test's file", seen.mounted);
    let hint = "run the test again when fewer clients write there; if it stays so, look at the server's log";
    Reason::new(&seen.object, expected, "NFS3ERR_BAD_COOKIE, whenever it was listed anew").hint(hint)
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
    /// The NodePorts that the live Services have, where one of them was asked for.
    pub node_ports: &'a [u16],
    /// How long a call may take.
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
            let why = if seen.from.is_some_and(|port| port < 1024) {
                "; no server refuses such a port for that: a NAT on the way may give it another, or the exports file does \
                 not name this client"
            } else {
                ""
            };
            Verdict::skip(format!(
                "export lacks insecure: add it to exportOptions ({object}: {call} from {from} gave {status}; its options are {}{why})",
                live.join(",")
            ))
        }
        What::Unreachable(why) if seen.others.is_empty() => {
            Verdict::skip(format!("{object} is not reachable from here ({why}): see the test node-port"))
        }
        What::Unreachable(why) => {
            let what = format!("{why}, while its ports {} answer", listed(seen.others));
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
        What::Slow => failed(
            format!("to answer all calls of a session within {}", Span(within.0 * SESSION)),
            format!("it answers, but slowly: {answered} answers, then {call} was waited for"),
            "look at the server's CPU limit and at what the node does; through a port-forward, at the API server, too",
        ),
        What::Ended(why) | What::Broken(why) if call == CONNECT => {
            let what = match seen.node_ports {
                [] => why.clone(),
                ports => format!("{why}; its Service has NodePort {}", listed(ports)),
            };
            let hint =
                "see the tests service and node-port of this server: its NodePort, and whether it has a ready endpoint";
            failed("to take a connection".to_owned(), what, hint)
        }
        What::Exited(exit) => {
            let said = exit.said.iter().map(|line| format!("`{line}`")).collect::<Vec<_>>().join(", ");
            let what = format!(
                "this request ended it: container {}, {}; its log ends with {said}; this run sends it no other",
                exit.container, exit.how
            );
            let may_not_switch = exit.said.iter().any(|line| line.contains(MAY_NOT_SWITCH));
            let hint = if may_not_switch {
                "start unfsd with -s: it may not become another user here, and with SETUID and SETGID it would have more \
                 rights than the test security allows"
            } else {
                "look at its previous log: every client that does the same ends it again"
            };
            failed(format!("to answer {call}"), what, hint)
        }
        What::Ended(why) | What::Broken(why) if *answered > 0 => failed(
            format!("to answer {call}"),
            format!("the connection ended ({why}); calls answered before: {answered}"),
            "look at the server's log",
        ),
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

fn listed(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
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
        judged_by(&check("port-forward"), changes)
    }

    fn judged_by(check: &Nfs, changes: &[(&str, Value)]) -> Verdict {
        let seen = json!({
            "object": "NFS server of pod p", "mounted": "/data",
            "expected": {"value": "rw,sync,insecure", "source": "exportOptions in the values"},
            "seen": {"from": null, "calls": {"answered": 17, "slowest": ["COMMIT", 4]}, "writes": 3,
                "listed": {"Found": "READDIRPLUS"}, "export": {"Ok": null}, "refused": null},
            "end": {"Ok": null}, "live": null, "others": [], "node_ports": []
        });
        let seen: Observation = serde_json::from_value(with(seen, changes)).unwrap();
        judge(check, &seen)
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
        let changing = |more: &[_]| judged(&[&[("/seen/listed", json!("Changing"))], more].concat()).outcome;
        assert_eq!(changing(&[]), Outcome::Error);
        assert_eq!(changing(&[("/seen/export", json!({"Err": "No such file"}))]), Outcome::Fail);
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
        let with = |refused: Value, live: Value| {
            let nothing = ("/seen/export", Value::Null);
            judged(&[(READ_ONLY.0, json!(READ_ONLY.1)), nothing, ("/seen/refused", refused), ("/live", live)]).outcome
        };
        assert_eq!(with(json!("NFS3ERR_ROFS"), Value::Null), Outcome::Pass);
        assert_eq!([with(Value::Null, Value::Null), with(json!("NFS3ERR_IO"), Value::Null)], [Outcome::Fail; 2]);
        for denied in ["NFS3ERR_ACCES", "NFS3ERR_PERM"] {
            assert_eq!(with(json!(denied), json!(["ro", "sync"])), Outcome::Pass);
            assert_eq!(with(json!(denied), json!(["rw", "sync"])), Outcome::Fail, "root alone is refused");
            assert_eq!(with(json!(denied), json!(["ro", "rw"])), Outcome::Fail, "some clients may write");
            assert_eq!(with(json!(denied), Value::Null), Outcome::Error);
        }
    }

    #[test]
    fn what_the_suite_requires_holds_whatever_the_values_say() {
        let required = |requires: &str, options: &str, changes: &[(&str, Value)]| {
            let check = Nfs { requires: serde_json::from_value(json!(requires)).unwrap(), ..check("port-forward") };
            judged_by(&check, &[&[("/expected/value", json!(options))], changes].concat())
        };
        let rofs = ("/seen/refused", json!("NFS3ERR_ROFS"));
        assert_eq!(required("read-only", "ro,sync", std::slice::from_ref(&rofs)).outcome, Outcome::Pass);
        assert_eq!(required("read-write", "rw,sync", &[]).outcome, Outcome::Pass);
        // A backup that was made writable by values, and so is.
        let writable = required("read-only", "rw,sync", &[]);
        let said: Vec<_> =
            writable.reasons.iter().map(|reason| (reason.object.as_str(), reason.seen.as_str())).collect();
        let values = ("values", "rw,sync (exportOptions in the values)");
        assert_eq!(said, [values, ("NFS server of pod p", "it made the file (removed again)")]);
        assert_eq!(required("read-only", "rw,sync", &[rofs]).reasons.len(), 1);
        assert_eq!(required("read-only", "ro,sync", &[]).outcome, Outcome::Fail);
        // An output that was made read-only by values; also one that takes no clients from here.
        let end = |call: &str, status: &str| ("/end", json!({"Err": {"call": call, "what": {"Refused": status}}}));
        assert_eq!(required("read-write", "ro,sync", &[end("CREATE", "NFS3ERR_ROFS")]).reasons.len(), 2);
        let secure = required("read-write", "ro,sync", &[end("MOUNT /data", "MNT3ERR_ACCES")]);
        assert_eq!((secure.outcome, secure.reasons.len(), secure.notes.len()), (Outcome::Fail, 1, 1));
    }

    #[test]
    fn a_refused_mount_is_skipped_only_where_the_export_lacks_insecure() {
        let refused = |live: Value| stopped("MOUNT /data", &json!({"Refused": "MNT3ERR_ACCES"}), &[("/live", live)]);
        assert_eq!(refused(json!(["rw", "insecure"])).outcome, Outcome::Fail);
        assert_eq!(refused(Value::Null).outcome, Outcome::Fail);
        let secure = refused(json!(["rw", "sync"]));
        assert_eq!(secure.outcome, Outcome::Skip);
        assert!(secure.summary.starts_with("export lacks insecure: add it to exportOptions"), "{}", secure.summary);
        assert!(!secure.summary.contains("NAT"), "{}", secure.summary);
        let low = [("/live", json!(["rw"])), ("/seen/from", json!(801))];
        let low = stopped("MOUNT /data", &json!({"Refused": "MNT3ERR_ACCES"}), &low);
        assert!(low.outcome == Outcome::Skip && low.summary.contains("a NAT on the way"), "{}", low.summary);
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
    fn a_server_that_a_request_ended_fails_with_its_last_words_and_their_cure() {
        let by = json!({"suite": "nfs", "slug": "node-port", "server": "nas"});
        let exited = |said: &str| {
            let exit = json!({"by": by, "container": "nfs-server", "pod": "1", "at": "2026-11-21T03:55:00Z", "ran": "PT1M",
                "restarts": 0, "how": "exit code 1 (Error)", "said": [said]});
            let verdict = stopped("FSINFO", &json!({"Exited": exit}), &[]);
            assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Nfs)));
            verdict.reasons[0].clone()
        };
        let reason = exited("euid/egid switching failed, aborting");
        assert!(reason.hint.contains("unfsd with -s"), "{reason:?}");
        for part in ["this request ended it", "container nfs-server, exit code 1", "`euid/egid switching failed"] {
            assert!(reason.seen.contains(part), "{reason:?}");
        }
        assert!(!exited("Segmentation fault").hint.contains("-s"));
    }

    #[test]
    fn what_the_server_is_not_to_blame_for_has_another_hint() {
        let refused = |ports: Value| {
            let what = json!({"Ended": "port 32150 refused it"});
            stopped("connect", &what, &[("/node_ports", ports)]).reasons.remove(0)
        };
        assert_eq!(refused(json!([32199])).seen, "port 32150 refused it; its Service has NodePort 32199");
        assert_eq!(refused(json!([])).seen, "port 32150 refused it");
        let of = |call: &str, what: Value| stopped(call, &what, &[]).reasons.remove(0);
        let ended = of("FSINFO", json!({"Ended": "early eof"}));
        assert_eq!(ended.seen, "the connection ended (early eof); calls answered before: 17");
        let slow = of("READDIR", json!("Slow"));
        assert_eq!(slow.expected, "to answer all calls of a session within 30s");
        assert_eq!(slow.seen, "it answers, but slowly: 17 answers, then READDIR was waited for");
    }

    #[test]
    fn a_node_that_is_not_reached_fails_only_where_it_answers_elsewhere() {
        let unreachable =
            |others: Value| stopped("connect", &json!({"Unreachable": "no answer"}), &[("/others", others)]);
        assert_eq!(unreachable(json!([])).outcome, Outcome::Skip);
        assert_eq!(unreachable(json!([32150])).outcome, Outcome::Fail);
    }

    #[test]
    fn parameters_are_checked() {
        assert!(serde_json::from_value::<Nfs>(json!({"port": {"values": "service.nodePort"}, "oops": 1})).is_err());
    }
}
