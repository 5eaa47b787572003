//! What a judgement finds, one thing after the other, until it is a verdict; and words that such findings share. Pure.

use std::fmt::Display;

use crate::event::{Reason, Verdict};

/// The hint for an object that is not as its release is.
pub const EDITED: &str = "run helm upgrade: the live object was edited, or the chart has it otherwise";
/// The hint for a pod that does not get on.
pub const EVENTS: &str = "look at the pod's events: kubectl describe pod";

/// What is wrong, in the order in which it was found, and what the user should know besides.
#[derive(Debug, Default)]
pub struct Findings {
    reasons: Vec<Reason>,
    notes: Vec<String>,
}

impl Findings {
    /// An object is not as expected; the hint says what the user can do next, and may be empty.
    pub fn wrong(
        &mut self,
        object: impl Into<String>,
        expected: impl Into<String>,
        seen: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.reasons.push(Reason::new(object, expected, seen).hint(hint));
    }

    pub fn add(&mut self, reason: Reason) {
        self.reasons.push(reason);
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub fn are_good(&self) -> bool {
        self.reasons.is_empty()
    }

    /// The verdict, with what was established if nothing is wrong.
    pub fn verdict(self, established: impl Into<String>) -> Verdict {
        Verdict::judged(established, self.reasons).notes(self.notes)
    }

    /// FAIL, because this too is wrong, and nothing more can be judged.
    pub fn fail(mut self, reason: Reason) -> Verdict {
        self.add(reason);
        self.verdict("")
    }

    /// ERROR, because of something that keeps it from being judged.
    pub fn error(self, reason: Reason) -> Verdict {
        Verdict::error(reason).notes(self.notes)
    }
}

/// All of them, with commas between.
pub fn listed(all: impl IntoIterator<Item: Display>) -> String {
    all.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}

/// What was found, where that may be nothing.
pub fn or_none(found: impl Into<String>) -> String {
    Some(found.into()).filter(|found| !found.is_empty()).unwrap_or("none".to_owned())
}
