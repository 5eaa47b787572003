//! What came of files that were to arrive, and what that means. Pure.

use serde::{Deserialize, Serialize};

use super::trail::Trail;
use crate::check::parameter::Span;
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};

/// So many reasons say enough.
const MOST_REASONS: usize = 3;

/// The pod and the folder of a test, for its messages.
#[derive(Debug, Serialize, Deserialize)]
pub struct Scene {
    pub pod: String,
    pub folder: String,
}

/// A file that must arrive: its path in the server's folder, and its content.
pub type Wanted = (String, Digest);

/// What came of files that were to be written; the error is why the export did not take them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery(pub Result<Arrival, String>);

impl Delivery {
    pub fn is_whole(&self) -> bool {
        self.0.as_ref().is_ok_and(|arrival| arrival.wrong.is_empty())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Arrival {
    /// How many there were.
    pub files: usize,
    /// When the last of them was there, in milliseconds after the write was acknowledged.
    pub millis: u64,
    /// Those that are not whole.
    pub wrong: Vec<Wrong>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wrong {
    pub name: String,
    /// Whether it had been.
    pub had_arrived: bool,
    pub seen: String,
    /// Where it was instead; of the first that did not arrive.
    #[serde(default)]
    pub trail: Option<Trail>,
}

impl Scene {
    /// What was delivered whole.
    ///
    /// # Errors
    /// FAIL: the export did not take the files, or they are not whole in the folder.
    pub fn delivered<'s>(
        &self,
        delivery: Option<&'s Delivery>,
        what: &str,
        name: &str,
        within: Span,
    ) -> Result<&'s Arrival, Verdict> {
        match delivery.map(|delivery| &delivery.0) {
            None => {
                let object = format!("pod {}", self.pod);
                Err(Verdict::error(Reason::new(object, format!("to take {what}"), "nothing was written")))
            }
            Some(Err(problem)) => {
                let object = format!("export of pod {}", self.pod);
                let reason = Reason::new(object, format!("to take {what}"), problem);
                let reason = reason.hint("look whether the export is full or read-only");
                Err(Verdict::fail(reason).at(Hop::Export))
            }
            Some(Ok(arrival)) if arrival.wrong.is_empty() => Ok(arrival),
            Some(Ok(arrival)) => {
                let mut hop = Hop::Sidecar;
                let reasons = arrival.wrong.iter().take(MOST_REASONS).map(|wrong| {
                    let object = format!("file {} of pod {}", wrong.name, self.pod);
                    let others = match arrival.wrong.len() {
                        1 => String::new(),
                        wrong => format!("; so with {wrong} of {}", counted(arrival.files)),
                    };
                    let seen = format!("{}{others}", wrong.seen);
                    if wrong.had_arrived {
                        let hint = format!(
                            "look for what else {name} or a second pod does to the folder, and whether pods still mount it: \
                             host-mount tells"
                        );
                        let expected =
                            format!("{what} to stay whole in {} after the cycle that brought it", self.folder);
                        return Reason::new(object, expected, seen).hint(hint);
                    }
                    let expected = format!("{what} whole in {} within {within}", self.folder);
                    let Some(trail) = &wrong.trail else {
                        let hint = format!("look at the log of {name} and at the target of its rsync");
                        return Reason::new(object, expected, seen).hint(hint);
                    };
                    let (broken, found, hint) = trail.finding();
                    hop = broken;
                    Reason::new(object, expected, format!("{seen}\n{found}")).hint(hint)
                });
                let reasons = reasons.collect();
                Err(Verdict::judged("", reasons).at(hop))
            }
        }
    }

    /// FAIL reasons for files that nobody wrote.
    pub fn strange(&self, names: &[String], sidecar: &str) -> Vec<Reason> {
        let reasons = names.iter().take(MOST_REASONS).map(|name| {
            let hint = format!(
                "a name like .NAME.XXXXXX is a temporary of rsync's: look whether {sidecar} is killed while it copies"
            );
            let object = format!("folder {}", self.folder);
            let expected = "only files that were written into the export, under their names, after the last cycle";
            Reason::new(object, expected, format!("the file {name}")).hint(hint)
        });
        reasons.collect()
    }
}

pub fn counted(files: usize) -> String {
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

    /// The parameters that all have, with others.
    pub fn parameters(others: &Value) -> Value {
        let mut all = json!({"within": "60s"});
        all.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        all
    }

    /// What a check with these parameters besides says of an observation, the scene and changes added to it.
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

    /// One that did not, or did not stay so.
    pub fn wrong(had_arrived: bool) -> Value {
        let wrong = json!({"name": "a", "had_arrived": had_arrived, "seen": "5 bytes"});
        json!({"Ok": {"files": 2, "millis": 900, "wrong": [wrong]}})
    }

    #[test]
    fn only_what_stays_whole_is_delivered() {
        let scene = Scene { pod: "p".into(), folder: "f".into() };
        let judged = |delivery: Value| {
            let delivery: Option<Delivery> = serde_json::from_value(delivery).unwrap();
            let within = Span(Duration::from_secs(60));
            let judged = scene.delivered(delivery.as_ref(), "it", "sidecar", within).map(|arrival| arrival.millis);
            judged.map_err(|verdict| (verdict.outcome, verdict.hop))
        };
        assert_eq!(judged(arrived()), Ok(900));
        assert_eq!([wrong(true), wrong(false)].map(judged), [Err((Outcome::Fail, Some(Hop::Sidecar))); 2]);
        assert_eq!(judged(json!({"Err": "No space left"})), Err((Outcome::Fail, Some(Hop::Export))));
        assert_eq!(judged(Value::Null), Err((Outcome::Error, None)));
    }
}
