//! The words for verdicts: one text, for the terminal and for JUnit.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::model::{Conclusion, Counts};
use crate::event::{Reason, Verdict};

/// Removes what neither a terminal nor XML should get from a pod: escape sequences and control characters.
///
/// XML 1.0 allows of the control characters only tab, line feed and carriage return, and neither U+FFFE nor U+FFFF.
pub fn clean(text: &str) -> String {
    static ESCAPES: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?)").ok());
    let text = ESCAPES.as_ref().map_or_else(|| text.into(), |escapes| escapes.replace_all(text, ""));
    text.chars()
        .filter(|c| matches!(c, '\t' | '\n') || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')))
        .collect()
}

/// A verdict's first reason in one line; its summary, if it has none.
pub fn headline(verdict: &Verdict) -> String {
    if let Some(blocker) = &verdict.blocked_by {
        return clean(&format!("blocked by {blocker}")).replace('\n', " ");
    }
    let line = verdict.reasons.first().map_or_else(
        || verdict.summary.clone(),
        |reason| format!("{}: expected {}, seen {}", reason.object, reason.expected, reason.seen),
    );
    clean(&line).replace('\n', " ")
}

/// Everything that a verdict says, in lines.
pub fn details(verdict: &Verdict) -> Vec<String> {
    let mut lines = Vec::new();
    for reason in &verdict.reasons {
        lines.extend(explain(reason));
    }
    for note in &verdict.notes {
        lines.extend(field("note", note));
    }
    lines
}

fn explain(reason: &Reason) -> Vec<String> {
    let mut lines = vec![clean(&reason.object).replace('\n', " ")];
    for (name, text) in [("expected", &reason.expected), ("seen", &reason.seen), ("do", &reason.hint)] {
        if !text.is_empty() {
            lines.extend(field(name, text).into_iter().map(|line| format!("  {line}")));
        }
    }
    lines
}

/// A named text; further lines stand under the first.
fn field(name: &str, text: &str) -> Vec<String> {
    let text = clean(text);
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| format!("{:<9} {line}", if index == 0 { format!("{name}:") } else { String::new() }))
        .collect()
}

/// A run's end in a word, and what it means.
pub fn conclusion(conclusion: Conclusion) -> (&'static str, &'static str) {
    match conclusion {
        Conclusion::NotFinished => ("NOT FINISHED", "the run still goes on, or was killed before it could end"),
        Conclusion::Refused => ("NOT STARTED", "the run could not start"),
        Conclusion::Interrupted => ("INTERRUPTED", "a signal stopped the run"),
        Conclusion::Failed => ("FAIL", "the system is wrong"),
        Conclusion::CouldNotJudge => ("ERROR", "it could not be judged"),
        Conclusion::NothingJudged => ("SKIP", "nothing was judged"),
        Conclusion::Passed => ("PASS", "the system is as required"),
    }
}

/// Numbers of tests in words.
pub fn counts(counts: &Counts) -> String {
    let Counts { pass, fail, error, skip, not_finished, .. } = counts;
    let unfinished = if *not_finished == 0 { String::new() } else { format!(" ({not_finished} not finished)") };
    format!("{pass} PASS, {fail} FAIL, {error} ERROR{unfinished}, {skip} SKIP")
}

/// A duration for people: tenths of a second.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

/// `1 test`, `2 tests`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_printed_cannot_steer_a_terminal_or_break_xml() {
        assert_eq!(clean("a\u{1b}[31mred\u{1b}[0m\0\u{8}\u{fffe}\r\n\u{1b}]0;title\u{7}b"), "ared\nb");
    }

    #[test]
    fn a_reason_names_object_expected_seen_and_what_to_do() {
        let verdict = Verdict::judged("", vec![Reason::new("pod a", "1 replica", "2\nof them").hint("scale it")]);
        let expected =
            ["pod a", "  expected: 1 replica", "  seen:     2", "            of them", "  do:       scale it"];
        assert_eq!(details(&verdict), expected);
        assert_eq!(headline(&verdict), "pod a: expected 1 replica, seen 2 of them");
    }
}
