//! A session that a server did not serve to its end: what was seen of it, and what that means.

use serde::{Deserialize, Serialize};

use super::session::SESSION;
use super::trouble::{CONNECT, Trouble, What};
use crate::check::exits::Exit;
use crate::check::parameter::Span;
use crate::event::{Hop, Reason, Verdict};

/// With these a server refuses clients, and unfs3 those on high ports.
const UNWANTED: [&str; 4] = ["MNT3ERR_ACCES", "MNT3ERR_PERM", "AUTH_TOOWEAK", "AUTH_BADCRED"];
/// The last word of an unfs3 that wants to become a client's user and may not.
const MAY_NOT_SWITCH: &str = "euid/egid switching failed";
/// The tests that say more of a port that takes no connection.
const SEE: &str = "see the tests service and node-port of this server";

#[derive(Debug, Serialize, Deserialize)]
pub struct Unserved {
    pub object: String,
    pub trouble: Trouble,
    /// How many calls were answered.
    pub answered: u32,
    /// The live options of the export; `None` where the file does not say, or nobody could look.
    pub live: Option<Vec<String>>,
    /// Ports of other servers that answered when this one's node was not reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<u16>,
}

impl Unserved {
    /// FAIL, or SKIP where it says nothing of the server; `said` is what its options should be, and who says so.
    pub fn judged(&self, said: &str, within: Span) -> Verdict {
        let Self { object, trouble: Trouble { call, what }, answered, live, others } = self;
        let live = live.as_deref().unwrap_or_default();
        let is_unwanted = |status: &String| call.starts_with("MOUNT") && UNWANTED.contains(&status.as_str());
        let skip = |why: String| Verdict::skip(why).at(Hop::Nfs);
        let connect = || "to take a connection".to_owned();
        let (expected, seen, hint) = match what {
            What::Refused(status) if is_unwanted(status) && !live.iter().any(|option| option == "insecure") => {
                return skip(format!(
                    "export lacks insecure: add it to exportOptions ({object}: {call} gave {status}; its options are {})",
                    live.join(",")
                ));
            }
            What::Refused(status) if is_unwanted(status) => {
                let expected = format!("{call} to work (its options have insecure)");
                (expected, status.clone(), "look which clients the server's exports file names")
            }
            What::Unreachable(why) if others.is_empty() => {
                return skip(format!("{object} is not reachable from here ({why}): see the test node-port"));
            }
            What::Unreachable(why) => {
                (connect(), format!("{why}, while ports of other servers answer: {others:?}"), SEE)
            }
            What::Silent => {
                let after = if *answered == 0 { String::new() } else { format!(" after {answered} answers") };
                (
                    format!("to answer {call} within {within}, and all calls within {}", Span(within.0 * SESSION)),
                    format!("it takes the connection, and was waited for in vain{after}"),
                    "its probes only look for a connection: look at its log, at what it waits for and its CPU limit, or \
                     delete its pod",
                )
            }
            What::Exited(exit) => exited(call, exit),
            What::Ended(why) | What::Broken(why) if call == CONNECT => (connect(), why.clone(), SEE),
            What::Ended(why) | What::Broken(why) => (
                format!("to answer {call}"),
                format!("the connection ended ({why}); calls answered before: {answered}"),
                "look whether the server listens, at its log and its restarts",
            ),
            What::Refused(status) => (format!("{call} to work ({said})"), status.clone(), cure(status)),
            What::Wrong(expected, seen) => {
                (format!("of {call}: {expected}"), seen.clone(), "look at the server's log; restart its pod")
            }
        };
        Verdict::fail(Reason::new(object, expected, seen).hint(hint)).at(Hop::Nfs)
    }
}

/// What a server that a request ended was expected to do, what it did, and what to do about it.
fn exited(call: &str, exit: &Exit) -> (String, String, &'static str) {
    let said = exit.said.iter().map(|line| format!("`{line}`")).collect::<Vec<_>>().join(", ");
    let hint = if said.contains(MAY_NOT_SWITCH) {
        "start unfsd with -s: it may not become another user here, and with SETUID and SETGID it would have more rights than \
         the test security allows"
    } else {
        "look at its previous log: every client that does the same ends it again"
    };
    let seen = format!(
        "this request ended it: container {}, {}; its log ends with {said}; this run sends it no other",
        exit.container, exit.how
    );
    (format!("to answer {call}"), seen, hint)
}

fn cure(status: &str) -> &'static str {
    match status {
        "NFS3ERR_ROFS" => "the export is read-only: see the test export-options, and the container's mounts",
        "NFS3ERR_NOSPC" | "NFS3ERR_DQUOT" => "the export is full: remove files from it",
        "NFS3ERR_ACCES" | "NFS3ERR_PERM" => "root may not: does the export say no_root_squash?",
        "MNT3ERR_NOENT" | "MNT3ERR_NOTDIR" => "the server does not export that folder: look at its exports file",
        _ => "look at the server's log",
    }
}
