//! The text of verdicts, shared by the terminal, JUnit and the other reports.

use std::time::Duration;

use super::model::{Conclusion, Counts, Test};
use crate::event::{Reason, Verdict};

pub fn headline(verdict: &Verdict) -> String {
    if let Some(blocker) = &verdict.blocked_by {
        return format!("blocked by {blocker}");
    }
    let line = verdict.reasons.first().map_or_else(
        || verdict.summary.clone(),
        |reason| format!("{}: expected {}, seen {}", reason.object, reason.expected, reason.seen),
    );
    line.replace('\n', "; ")
}

pub fn details(test: &Test) -> Vec<String> {
    let notes = test.notes.iter().flat_map(|note| field("note", note));
    test.reasons.iter().flat_map(explain).chain(notes).collect()
}

fn explain(reason: &Reason) -> Vec<String> {
    let mut lines = vec![reason.object.clone()];
    for (name, text) in [("expected", &reason.expected), ("seen", &reason.seen), ("do", &reason.hint)] {
        if !text.is_empty() {
            lines.extend(field(name, text).into_iter().map(|line| format!("  {line}")));
        }
    }
    lines
}

/// A labelled text; further lines are aligned with the first.
fn field(name: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| format!("{:<9} {line}", if index == 0 { format!("{name}:") } else { String::new() }))
        .collect()
}

/// The conclusion in a word, its meaning, and the outcome that sets its color.
pub fn conclusion(conclusion: Conclusion) -> (&'static str, &'static str, &'static str) {
    match conclusion {
        Conclusion::NotFinished => ("NOT FINISHED", "the run is in progress, or was killed", "FAIL"),
        Conclusion::Refused => ("NOT STARTED", "the run could not start", "FAIL"),
        Conclusion::Interrupted => ("INTERRUPTED", "a signal stopped the run", "ERROR"),
        Conclusion::Failed => ("FAIL", "a requirement is not met", "FAIL"),
        Conclusion::CouldNotJudge => ("ERROR", "the system could not be judged", "ERROR"),
        Conclusion::NothingJudged => ("SKIP", "nothing was judged", "SKIP"),
        Conclusion::Passed => ("PASS", "the system is as required", "PASS"),
    }
}

pub fn counts(counts: &Counts) -> String {
    let Counts { pass, fail, error, skip, not_finished, .. } = counts;
    let unfinished = if *not_finished == 0 { String::new() } else { format!(" ({not_finished} not finished)") };
    format!("{pass} PASS, {fail} FAIL, {error} ERROR{unfinished}, {skip} SKIP")
}

pub fn seconds(millis: u64) -> String {
    format!("{:.1}s", Duration::from_millis(millis).as_secs_f64())
}

pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Completes the kubectl commands in a hint, so that none uses the current context.
pub fn complete(hint: &str, context: &str, namespace: &str) -> String {
    let verbs = ["delete", "describe", "edit", "get", "logs", "port-forward", "rollout"];
    verbs.iter().fold(hint.to_owned(), |hint, verb| {
        hint.replace(&format!("kubectl {verb}"), &format!("kubectl --context={context} -n {namespace} {verb}"))
    })
}
