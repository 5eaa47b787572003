//! Collects the findings of a judgement and makes a verdict of them; shared hints and formatting. Pure.

use std::fmt::Display;

use crate::event::{Reason, Verdict};

pub const EDITED: &str = "run helm upgrade if the live object was edited, else fix the chart";

/// Reasons to fail, in the order found, and notes.
#[derive(Debug, Default)]
pub struct Findings {
    reasons: Vec<Reason>,
    notes: Vec<String>,
}

impl Findings {
    pub fn add_finding(
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

    pub fn passes(&self) -> bool {
        self.reasons.is_empty()
    }

    /// The verdict: PASS with the summary, or FAIL.
    pub fn verdict(self, summary: impl Into<String>) -> Verdict {
        Verdict::judged(summary, self.reasons).notes(self.notes)
    }

    /// FAIL with one more reason, which prevents further judgement.
    pub fn fail(mut self, reason: Reason) -> Verdict {
        self.add(reason);
        self.verdict("")
    }

    /// ERROR for a reason that prevents the judgement.
    pub fn error(self, reason: Reason) -> Verdict {
        Verdict::error(reason).notes(self.notes)
    }
}

pub fn read_events(pod: &str) -> String {
    format!("check the pod's events: kubectl describe pod {pod}")
}

pub fn listed(all: impl IntoIterator<Item: Display>) -> String {
    all.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ")
}

/// The text, or `none` if it is empty.
pub fn or_none(found: impl Into<String>) -> String {
    Some(found.into()).filter(|found| !found.is_empty()).unwrap_or("none".to_owned())
}
