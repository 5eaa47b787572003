//! The terminal: a header, one line for each result, live lines for long waits, the grid, the failures again, the counts.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::ProgressDrawTarget;
use owo_colors::{AnsiColors, OwoColorize, Stream};

use super::gather::{Gathered, test};
use super::live::Live;
use super::model::{RunReport, TestReport};
use super::text::{count, counts, seconds};
use super::{Reporter, diagnostics, grid};
use crate::event::{Ending, Event, Outcome};
use crate::output::{Out, tell};

/// What the user wants to see.
#[derive(Debug, Clone)]
pub struct Look {
    pub quiet: bool,
    /// Also what tests wait for, and what is known of broken servers.
    pub verbose: bool,
    pub reports: PathBuf,
}

/// Writes to standard output; live lines go to standard error, and only if that is a terminal.
pub struct Console<W> {
    out: W,
    look: Look,
    run: Gathered,
    live: Live,
}

impl Console<Out> {
    pub fn new(look: Look) -> Self {
        Self::on(Out, ProgressDrawTarget::stderr(), look)
    }
}

impl<W: Write + Send> Console<W> {
    /// A console on `out`; live lines go to another place.
    pub fn on(out: W, live: ProgressDrawTarget, look: Look) -> Self {
        Self { out, look, run: Gathered::default(), live: Live::new(live) }
    }

    /// Prints lines at once, so that nothing comes between them.
    fn print(&mut self, lines: &[String]) -> std::io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.live.show(Instant::now());
        let out = &mut self.out;
        self.live.suspend(|| writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush()))
    }

    fn summary(&mut self, ending: &Ending, elapsed: Duration) -> std::io::Result<()> {
        self.live.clear();
        // Standard error says why, and no test has anything to tell.
        if matches!(ending, Ending::Refused(_)) {
            return Ok(());
        }
        let report = self.run.report(None);
        let mut lines = grid::lines(&report.grid);
        if !lines.is_empty() {
            lines.insert(0, String::new());
        }
        lines.extend(failure_lines(&report));
        lines.extend(self.diagnoses(&report));
        lines.extend(report.notices.iter().flat_map(|notice| [String::new(), notice.text.clone()]));
        let interrupted = if *ending == Ending::Interrupted { ", interrupted" } else { "" };
        let simulated = if report.is_simulated { ", on a SIMULATED cluster" } else { "" };
        let counts = counts(&report.counts);
        lines.extend([String::new(), format!("{counts} in {}{interrupted}{simulated}", seconds(elapsed))]);
        self.print(&lines)
    }

    /// Where more is said of servers that are broken; and what, if that is wanted.
    fn diagnoses(&self, report: &RunReport) -> Vec<String> {
        let mut lines = Vec::new();
        for known in &report.diagnosed {
            let path = diagnostics::path(&self.look.reports, &known.server);
            if lines.is_empty() || self.look.verbose {
                lines.push(String::new());
            }
            lines.push(format!("more of {}: {}", known.server, path.display()));
            if self.look.verbose {
                lines.extend(diagnostics::lines(known).into_iter().map(|line| format!("  {line}")));
            }
        }
        lines
    }
}

fn result_lines(test: &TestReport) -> Vec<String> {
    let head = format!("{} {} ({})", outcome(test.outcome), test.id(), seconds(Duration::from_millis(test.millis)));
    let details = || test.details.iter().map(indented);
    match (test.outcome, &test.blocked_by) {
        (Outcome::Pass | Outcome::Skip, _) => {
            std::iter::once(format!("{head} {}", test.summary)).chain(details()).collect()
        }
        (_, Some(_)) => vec![format!("{head} {}", test.headline)],
        _ => std::iter::once(head).chain(details()).collect(),
    }
}

/// All that is not as it should be, once more; tests with one blocker in one line.
pub(super) fn failure_lines(report: &RunReport) -> Vec<String> {
    let mut lines = Vec::new();
    for test in report.failures() {
        lines.push(String::new());
        lines.extend(result_lines(test));
    }
    for (why, tests) in report.blocked() {
        // What did not even begin has nothing to say.
        let Some(first) = tests.first().filter(|first| first.is_finished) else { continue };
        let mut ids: Vec<String> = tests.iter().map(|test| test.id()).collect();
        ids.sort();
        let head = format!("{} {} {why}", outcome(Outcome::Error), count(ids.len(), "test"));
        lines.extend([String::new(), format!("{head}: {}", ids.join(", "))]);
        // The blocker says why itself, if it was run.
        if !report.tests.iter().any(|test| Some(&test.name) == first.blocked_by.as_ref()) {
            lines.extend(first.details.iter().map(indented));
        }
    }
    lines
}

fn indented(line: impl Display) -> String {
    format!("      {line}")
}

fn outcome(outcome: Outcome) -> String {
    let colour = match outcome {
        Outcome::Pass => AnsiColors::Green,
        Outcome::Fail => AnsiColors::Red,
        Outcome::Error => AnsiColors::Magenta,
        Outcome::Skip => AnsiColors::Yellow,
    };
    painted(&format!("{outcome:<5}"), colour)
}

/// A word in its colour, if standard output takes colours.
pub fn painted(word: &str, colour: AnsiColors) -> String {
    word.if_supports_color(Stream::Stdout, |word| word.color(colour)).to_string()
}

impl<W: Write + Send> Reporter for Console<W> {
    fn on(&mut self, event: &Event) -> anyhow::Result<()> {
        self.run.take(event);
        match event {
            Event::Connected { facts } => {
                let mut lines: Vec<String> =
                    facts.iter().map(|fact| format!("{:<10} {}", format!("{}:", fact.name), fact.value)).collect();
                let tests = self.run.report(None).counts.tests;
                lines.extend([format!("{:<10} {tests}", "tests:"), String::new()]);
                self.print(&lines)?;
            }
            Event::CaseWaiting { id, what, limit } => {
                self.live.begin(id, what, *limit, Instant::now());
                if self.look.verbose {
                    self.print(&[format!("...   {id} waits at most {}s for {what}", limit.as_secs())])?;
                }
            }
            Event::CaseFinished { id, verdict, elapsed } => {
                self.live.end(id);
                if !(self.look.quiet && verdict.outcome == Outcome::Pass) {
                    self.print(&result_lines(&test(id, verdict.clone(), *elapsed)))?;
                }
            }
            Event::Interrupted { tidying } => {
                let text = format!(
                    "interrupted: tidying up, for {}s at the most; press Ctrl-C again to skip it",
                    tidying.as_secs()
                );
                self.live.suspend(|| tell(text));
            }
            Event::RunStarted { .. } | Event::CaseObserved { .. } | Event::Diagnosed { .. } | Event::Noticed { .. } => {
            }
            Event::RunFinished { ending, elapsed } => self.summary(ending, *elapsed)?,
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let long = self.live.long(Instant::now());
        if !self.look.quiet && !self.look.verbose {
            self.print(&long)?;
        }
        self.live.show(Instant::now());
        Ok(())
    }
}
