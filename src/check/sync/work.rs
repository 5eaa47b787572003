//! What a sidecar did while a file was on its way, and why it did not copy it. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::tail::Tail;

/// What the sidecar did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// Its name.
    pub container: String,
    /// Whether it runs.
    pub is_running: bool,
    /// Its state in words.
    pub state: String,
    /// How often it was restarted since the file was written.
    pub restarts: i32,
    /// The exit code of its previous run.
    pub last_exit: Option<i32>,
    /// Whether its log lists the file as copied.
    pub is_listed: bool,
    /// The end of its log, or why that is not known.
    pub tail: Result<Tail, String>,
}

impl Work {
    /// All that is known of it.
    pub fn describe(&self) -> String {
        let Self { container, state, .. } = self;
        let mut facts = vec![format!("{container}: {state}")];
        facts.extend(self.last_exit.map(|code| format!("previous run: exit code {code}")));
        if self.restarts > 0 {
            facts.push(format!("restarts since the file was written: {}", self.restarts));
        }
        match &self.tail {
            Err(why) => facts.push(format!("its log was not read ({why})")),
            Ok(tail) => {
                let listed = if self.is_listed { "lists the file" } else { "does not list the file" };
                facts.push(format!("its log {listed}"));
                facts.extend(tail.last_end.map(|end| format!("last cycle ended {}", at(end))));
                let last = tail.last.as_ref().map(|(stamp, line)| format!("last line {}: {line}", at(*stamp)));
                facts.push(last.unwrap_or("no line".to_owned()));
            }
        }
        facts.join("; ")
    }

    /// Why it did not copy the file, as far as its log says, and what to do: to look into that log, at least.
    pub fn not_copied(&self, look: &str, folder: &str) -> (String, String) {
        let Self { container, state, .. } = self;
        let tail = self.tail.as_ref().ok();
        let error = tail.and_then(|tail| tail.error.as_ref()).map(|(stamp, line)| format!("{line} ({})", at(*stamp)));
        let remedy = error.as_deref().and_then(|error| remedy(error, folder, container));
        if !self.is_running {
            let error = error.map(|error| format!("; rsync's last error: {error}")).unwrap_or_default();
            let hint = remedy.unwrap_or_else(|| format!("{look} --previous"));
            return (format!("{container} is down: {state}{error}"), hint);
        }
        if tail.is_some_and(|tail| tail.has_deleted) {
            let hint = "look who removed it from the export while it was copied with --delete; a folder or an export of \
                        two servers does that";
            return (format!("{container} copied it and then deleted it, as its log says"), hint.to_owned());
        }
        if let Some(error) = error {
            return (format!("rsync failed: {error}"), remedy.unwrap_or_else(|| look.to_owned()));
        }
        if self.is_listed {
            let what = format!("{container} copied it somewhere else: its log lists the file as copied");
            let hint =
                format!("look at the target of rsync in the command of {container}, and at who removes files there");
            return (what, hint);
        }
        match tail {
            None => (format!("{container} did not copy it, and why is not known without its log"), look.to_owned()),
            Some(Tail { has_ended_since: true, .. }) => {
                let hint = format!("look at the source and the filters of rsync in the command of {container}");
                (format!("{container} ends its cycles and does not list the file"), hint)
            }
            Some(tail) => {
                let cycle = match tail.last_end {
                    Some(end) => format!("no cycle has ended since the file was written, the last {}", at(end)),
                    None => "no cycle has ended in its log".to_owned(),
                };
                let said = if tail.last.is_some() { "" } else { ", and it has said nothing at all" };
                let hint = format!(
                    "it hangs, or its interval (sidecar.syncInterval in the values) is longer than the limit; {look}"
                );
                (format!("{container} runs and did not copy it: {cycle}{said}"), hint)
            }
        }
    }
}

/// What to do about an error of rsync's that is the folder's.
fn remedy(error: &str, folder: &str, container: &str) -> Option<String> {
    if error.contains("No space left on device") {
        return Some(format!("make room in {folder}: it is full"));
    }
    let hint = || format!("make {folder} writable, or the mount of it in {container}: rsync sees it read-only");
    error.contains("Read-only file system").then(hint)
}

/// A moment by the node's clock, to a second.
fn at(stamp: Timestamp) -> String {
    stamp.strftime("at %Y-%m-%dT%H:%M:%SZ").to_string()
}
