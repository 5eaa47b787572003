//! Whether written files arrived, and what it means if not. Pure.

use serde::{Deserialize, Serialize};

use super::trace::Trace;
use crate::check::parameter::DurationParam;
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};

const MAX_REASONS: usize = 3;

/// The names of a pod and of the host folder that its export is copied to, for messages.
#[derive(Debug, Serialize, Deserialize)]
pub struct SyncPair {
    pub pod: String,
    pub folder: String,
}

/// A file that must arrive: its path in the server's folder, and its content.
pub type ExpectedFile = (String, Digest);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery(pub Result<Arrival, String>);

impl Delivery {
    pub fn is_complete(&self) -> bool {
        self.0.as_ref().is_ok_and(|arrival| arrival.wrong.is_empty())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Arrival {
    /// How many were written.
    pub files: usize,
    /// When the last of them arrived, in milliseconds after the acknowledged write.
    pub millis: u64,
    pub wrong: Vec<WrongFile>,
}

/// A file that did not arrive complete, or did not stay so.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WrongFile {
    pub name: String,
    pub had_arrived: bool,
    pub seen: String,
    /// Of the first file that did not arrive.
    #[serde(default, rename = "trail")]
    pub trace: Option<Trace>,
}

impl SyncPair {
    /// The arrival of a complete delivery.
    /// Errors: FAIL: the export did not accept the files, or they are not complete in the folder.
    pub fn check_arrival<'s>(
        &self,
        delivery: Option<&'s Delivery>,
        what: &str,
        sidecar: &str,
        within: DurationParam,
    ) -> Result<&'s Arrival, Verdict> {
        let Self { pod, folder } = self;
        let accept = format!("to accept {what}");
        let arrival = match delivery.map(|delivery| &delivery.0) {
            None => return Err(Verdict::error(Reason::new(format!("pod {pod}"), accept, "nothing was written"))),
            Some(Err(problem)) => {
                let reason = Reason::new(format!("export of pod {pod}"), accept, problem);
                return Err(Verdict::fail(reason.hint("check whether the export is full or read-only")).at(Hop::Export));
            }
            Some(Ok(arrival)) if arrival.wrong.is_empty() => return Ok(arrival),
            Some(Ok(arrival)) => arrival,
        };
        let mut hop = Hop::Sidecar;
        let affected = match arrival.wrong.len() {
            1 => String::new(),
            wrong => format!(" ({wrong} of {} affected)", count_files(arrival.files)),
        };
        let reasons = arrival.wrong.iter().take(MAX_REASONS).map(|wrong| {
            let object = format!("file {} from pod {pod}", wrong.name);
            let seen = format!("{}{affected}", wrong.seen);
            if wrong.had_arrived {
                let expected = format!("{what} to stay complete in {folder} after the sync cycle that copied it");
                let hint = format!(
                    "find out what else {sidecar} or a second pod does to the folder, and whether the pod still mounts it: \
                     see the test host-mount"
                );
                return Reason::new(object, expected, seen).hint(hint);
            }
            let expected = format!("{what} to arrive complete in {folder} within {within}");
            let Some(trace) = &wrong.trace else {
                let hint = format!("read the log of {sidecar}, and check the target of its rsync");
                return Reason::new(object, expected, seen).hint(hint);
            };
            let (lost_at, found, hint) = trace.finding();
            hop = lost_at;
            Reason::new(object, expected, format!("{seen}: {found}")).hint(hint)
        });
        let reasons = reasons.collect();
        Err(Verdict::judged("", reasons).at(hop))
    }

    /// FAIL reasons for files that were never written.
    pub fn unexpected_files(&self, names: &[String], sidecar: &str) -> Vec<Reason> {
        let reasons = names.iter().take(MAX_REASONS).map(|name| {
            let hint = format!(
                "a name like .NAME.XXXXXX is an rsync temporary file: check whether {sidecar} is killed while it copies"
            );
            let expected =
                "only the files that were written to the export, under their names, after the last sync cycle";
            Reason::new(format!("folder {}", self.folder), expected, format!("an extra file: {name}")).hint(hint)
        });
        reasons.collect()
    }
}

pub fn count_files(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::check::Kind;
    use crate::check::kind::tests::judged as judged_by;
    use crate::event::Outcome;

    /// The parameters that all checks of deliveries share, with others.
    pub fn parameters(others: &Value) -> Value {
        let mut all = json!({"within": "60s"});
        all.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        all
    }

    pub fn judged<K: Kind + DeserializeOwned>(others: &Value, seen: &Value, changes: &Value) -> Verdict {
        let mut all = json!({"scene": {"pod": "p", "folder": "f"}});
        for part in [seen, changes] {
            all.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        judged_by::<K>(parameters(others), all)
    }

    pub fn arrived() -> Value {
        json!({"Ok": {"files": 2, "millis": 900, "wrong": []}})
    }

    pub fn wrong(had_arrived: bool) -> Value {
        let wrong = json!({"name": "a", "had_arrived": had_arrived, "seen": "5 bytes"});
        json!({"Ok": {"files": 2, "millis": 900, "wrong": [wrong]}})
    }

    #[test]
    fn only_files_that_stay_complete_have_arrived() {
        let pair = SyncPair { pod: "p".into(), folder: "f".into() };
        let judged = |delivery: Value| {
            let delivery: Option<Delivery> = serde_json::from_value(delivery).unwrap();
            let within = DurationParam(Duration::from_secs(60));
            let judged = pair.check_arrival(delivery.as_ref(), "it", "sidecar", within).map(|arrival| arrival.millis);
            judged.map_err(|verdict| (verdict.outcome, verdict.hop))
        };
        assert_eq!(judged(arrived()), Ok(900));
        assert_eq!([wrong(true), wrong(false)].map(judged), [Err((Outcome::Fail, Some(Hop::Sidecar))); 2]);
        assert_eq!(judged(json!({"Err": "No space left"})), Err((Outcome::Fail, Some(Hop::Export))));
        assert_eq!(judged(Value::Null), Err((Outcome::Error, None)));
    }
}
