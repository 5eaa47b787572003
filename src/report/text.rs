//! The words for verdicts: one text, for the terminal and for JUnit.

use std::time::Duration;

use super::model::{Conclusion, Counts};
use crate::event::{Reason, Verdict};

/// A verdict's first reason in one line; its summary, if it has none.
pub fn headline(verdict: &Verdict) -> String {
    if let Some(blocker) = &verdict.blocked_by {
        return format!("blocked by {blocker}");
    }
    let line = verdict.reasons.first().map_or_else(
        || verdict.summary.clone(),
        |reason| format!("{}: expected {}, seen {}", reason.object, reason.expected, reason.seen),
    );
    line.replace('\n', " ")
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
    let mut lines = vec![reason.object.clone()];
    for (name, text) in [("expected", &reason.expected), ("seen", &reason.seen), ("do", &reason.hint)] {
        if !text.is_empty() {
            lines.extend(field(name, text).into_iter().map(|line| format!("  {line}")));
        }
    }
    lines
}

/// A named text; further lines stand under the first.
fn field(name: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| format!("{:<9} {line}", if index == 0 { format!("{name}:") } else { String::new() }))
        .collect()
}

/// How far the further lines of a result are in.
pub const INDENT: usize = 6;

/// A line folded to a width, if there is one; what follows stands under the text of a `name: text`, else further in.
pub fn fold(line: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return line.to_owned() };
    let text = line.trim_start();
    let margin = line.len() - text.len();
    let hang = if margin == 0 { INDENT } else { 2 };
    let hang = text
        .split_once(' ')
        .filter(|(name, _)| name.ends_with(':'))
        .map_or(hang, |(name, text)| name.len() + 1 + text.len() - text.trim_start().len());
    let [first, further] = [margin, margin + hang].map(|indent| " ".repeat(indent));
    // Names and paths stay whole, so that they can be copied.
    let options = textwrap::Options::new(width)
        .initial_indent(&first)
        .subsequent_indent(&further)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit);
    textwrap::fill(text, options)
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
    fn long_lines_are_folded_under_their_text_and_names_stay_whole() {
        let folded = |line| fold(line, Some(24));
        assert_eq!(folded("  seen:     a file of another run"), "  seen:     a file of\n            another run");
        assert_eq!(folded(" pod nas-output-1-abcdefghi and more"), " pod\n   nas-output-1-abcdefghi\n   and more");
        assert_eq!(
            folded("\u{1b}[32mPASS \u{1b}[39m a::b it is as it should be"),
            "\u{1b}[32mPASS \u{1b}[39m a::b it is as it\n      should be"
        );
        assert_eq!(fold("a line that is too long for it", None), "a line that is too long for it");
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
