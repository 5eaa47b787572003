//! A session that failed: what was observed, and what it means.

use serde::{Deserialize, Serialize};

use super::failure::{CONNECT, Cause, Failure};
use super::session::SESSION_FACTOR;
use crate::check::findings::listed;
use crate::check::parameter::DurationParam;
use crate::check::server_exits::ServerExit;
use crate::event::{Hop, Reason, Verdict};

/// A server refuses clients with these statuses; unfs3 refuses clients on high ports without `insecure`.
const ACCESS_DENIED: [&str; 4] = ["MNT3ERR_ACCES", "MNT3ERR_PERM", "AUTH_TOOWEAK", "AUTH_BADCRED"];
/// What unfs3 logs before it exits because it lacks the rights to switch to a client's user.
const CANNOT_SWITCH_USER: &str = "euid/egid switching failed";
const SEE: &str = "check that the pod is Ready, and the NodePort and endpoints of its Service (suite phase2)";

#[derive(Debug, Serialize, Deserialize)]
pub struct FailedSession {
    pub object: String,
    #[serde(rename = "trouble")]
    pub failure: Failure,
    pub answered: u32,
    /// The export's live options; `None` if the exports file does not list them or was not read.
    pub live: Option<Vec<String>>,
    /// NodePorts of other servers that replied while this one's node was unreachable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<u16>,
}

impl FailedSession {
    /// FAIL; or SKIP if it proves nothing about the server. `options` are the expected ones with their source.
    pub fn judge(&self, options: &str, within: DurationParam) -> Verdict {
        let Self { object, failure: Failure { call, cause }, answered, live, others } = self;
        let live = live.as_deref().unwrap_or_default();
        let is_denied = |status: &String| call.starts_with("MOUNT") && ACCESS_DENIED.contains(&status.as_str());
        let skip = |why: String| Verdict::skip(why).at(Hop::Nfs);
        let connect = || "to accept a connection".to_owned();
        let (expected, seen, hint) = match cause {
            Cause::Refused(status) if is_denied(status) && !live.iter().any(|option| option == "insecure") => {
                return skip(format!(
                    "the export lacks insecure: add it to exportOptions ({object}: {call} gave {status}; options: {})",
                    live.join(",")
                ));
            }
            Cause::Refused(status) if is_denied(status) => {
                let expected = format!("{call} to succeed (the export has insecure)");
                (expected, status.clone(), "check which clients the server's exports file allows")
            }
            Cause::Unreachable(why) if others.is_empty() => {
                return skip(format!("{object} is not reachable from this machine ({why}): see the test node-port"));
            }
            Cause::Unreachable(why) => {
                (connect(), format!("{why}, although other servers' NodePorts reply: {}", listed(others)), SEE)
            }
            Cause::Silent => {
                let after = if *answered == 0 { String::new() } else { format!("; replies before that: {answered}") };
                (
                    format!(
                        "a reply to {call} within {within}, and to all calls within {}",
                        DurationParam(within.0 * SESSION_FACTOR)
                    ),
                    format!("it accepts the connection but does not reply{after}"),
                    "its probes check only that it accepts connections: read its log, check its CPU limit and what it \
                     waits for, or delete its pod",
                )
            }
            Cause::Exited(exit) => exited(call, exit),
            Cause::Ended(why) | Cause::Broken(why) if call == CONNECT => (connect(), why.clone(), SEE),
            Cause::Ended(why) | Cause::Broken(why) => (
                format!("a reply to {call}"),
                format!("the connection ended ({why}); replies before that: {answered}"),
                "check whether the server listens; read its log and check its restart count",
            ),
            Cause::Refused(status) => (format!("{call} to succeed ({options})"), status.clone(), hint(status)),
            Cause::Wrong(expected, seen) => {
                (format!("{call} to return {expected}"), seen.clone(), "read the server's log; restart its pod")
            }
        };
        Verdict::fail(Reason::new(object, expected, seen).hint(hint)).at(Hop::Nfs)
    }
}

/// Expected, seen and hint for a server that exited at a request.
fn exited(call: &str, exit: &ServerExit) -> (String, String, &'static str) {
    let log = exit.log.iter().map(|line| format!("`{line}`")).collect::<Vec<_>>().join(", ");
    let hint = if log.contains(CANNOT_SWITCH_USER) {
        "start unfsd with -s: the container may not switch to a client's user, and the capabilities for it, SETUID and \
         SETGID, fail the test security"
    } else {
        "read its previous log: any client that sends the same request ends it again"
    };
    let seen = format!(
        "this request ended the server: container {}, {}; its log ends with {log}; this run sends it no more requests",
        exit.container, exit.how
    );
    (format!("a reply to {call}"), seen, hint)
}

fn hint(status: &str) -> &'static str {
    match status {
        "NFS3ERR_ROFS" => "the export is read-only: see the test export-options, and check the container's mounts",
        "NFS3ERR_NOSPC" | "NFS3ERR_DQUOT" => "the export is full: remove files from it",
        "NFS3ERR_ACCES" | "NFS3ERR_PERM" => "root has no access: check that the export has no_root_squash",
        "MNT3ERR_NOENT" | "MNT3ERR_NOTDIR" => "the server does not export this folder: read its exports file",
        _ => "read the server's log",
    }
}
