//! The terminal: a header, one line for each result, live lines for long waits, the grid, the failures again, the counts.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use indicatif::ProgressDrawTarget;
use owo_colors::{OwoColorize, Stream};

use super::live::Live;
use super::model::{Conclusion, Run, Test};
use super::text::{count, counts, details, seconds};
use super::{Reporter, diagnostics, grid};
use crate::event::{Event, Outcome};
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
        Self { out, look, live: Live::new(live) }
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

    fn summary(&mut self, run: &Run) -> std::io::Result<()> {
        self.live.clear();
        // Standard error says why, and no test has anything to tell.
        if run.conclusion == Conclusion::Refused {
            return Ok(());
        }
        let mut lines = grid::lines(&run.grid);
        if !lines.is_empty() {
            lines.insert(0, String::new());
        }
        lines.extend(failure_lines(run));
        lines.extend(self.diagnoses(run));
        lines.extend(run.notices.iter().flat_map(|notice| [String::new(), notice.text.clone()]));
        let interrupted = if run.conclusion == Conclusion::Interrupted { ", interrupted" } else { "" };
        let simulated = if run.is_simulated { ", on a SIMULATED cluster" } else { "" };
        let counts = counts(&run.counts);
        lines.extend([String::new(), format!("{counts} in {}{interrupted}{simulated}", seconds(run.millis))]);
        self.print(&lines)
    }

    /// Where more is said of servers that are broken; and what, if that is wanted.
    fn diagnoses(&self, run: &Run) -> Vec<String> {
        let mut lines = Vec::new();
        for known in &run.diagnosed {
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

fn result_lines(test: &Test) -> Vec<String> {
    let head = format!("{} {} ({})", painted(test.outcome), test.id(), seconds(test.millis));
    let details = || details(test).into_iter().map(indented);
    match (test.outcome, &test.blocked_by) {
        (Outcome::Pass | Outcome::Skip, _) => {
            std::iter::once(format!("{head} {}", test.summary)).chain(details()).collect()
        }
        (_, Some(_)) => vec![format!("{head} {}", test.headline)],
        _ => std::iter::once(head).chain(details()).collect(),
    }
}

/// All that is not as it should be, once more; tests with one blocker in one line.
pub(super) fn failure_lines(run: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    for test in run.failures() {
        lines.push(String::new());
        lines.extend(result_lines(test));
    }
    for (why, tests) in run.blocked() {
        // What did not even begin has nothing to say.
        let Some(first) = tests.first().filter(|first| first.is_finished) else { continue };
        let mut ids: Vec<String> = tests.iter().map(|test| test.id()).collect();
        ids.sort();
        let head = format!("{} {} {why}", painted(Outcome::Error), count(ids.len(), "test"));
        lines.extend([String::new(), format!("{head}: {}", ids.join(", "))]);
        // The blocker says why itself, if it was run.
        if !run.tests.iter().any(|test| Some(&test.name) == first.blocked_by.as_ref()) {
            lines.extend(details(first).into_iter().map(indented));
        }
    }
    lines
}

fn indented(line: impl Display) -> String {
    format!("      {line}")
}

/// The outcome in its colour, if standard output takes colours.
fn painted(outcome: Outcome) -> String {
    let word = format!("{outcome:<5}");
    match outcome {
        Outcome::Pass => word.if_supports_color(Stream::Stdout, |word| word.green()).to_string(),
        Outcome::Fail => word.if_supports_color(Stream::Stdout, |word| word.red()).to_string(),
        Outcome::Error => word.if_supports_color(Stream::Stdout, |word| word.magenta()).to_string(),
        Outcome::Skip => word.if_supports_color(Stream::Stdout, |word| word.yellow()).to_string(),
    }
}

impl<W: Write + Send> Reporter for Console<W> {
    fn on(&mut self, event: &Event, run: &Run) -> anyhow::Result<()> {
        match event {
            Event::Connected { facts } => {
                let mut lines: Vec<String> =
                    facts.iter().map(|fact| format!("{:<10} {}", format!("{}:", fact.name), fact.value)).collect();
                lines.extend([format!("{:<10} {}", "tests:", run.tests.len()), String::new()]);
                self.print(&lines)?;
            }
            Event::TestWaiting { id, what, limit } => {
                self.live.begin(id, what, *limit, Instant::now());
                if self.look.verbose {
                    self.print(&[format!("...   {id} waits at most {}s for {what}", limit.as_secs())])?;
                }
            }
            Event::TestFinished { id, .. } => {
                self.live.end(id);
                let told = run.test(id).filter(|test| !self.look.quiet || test.outcome != Outcome::Pass);
                self.print(&told.map(result_lines).unwrap_or_default())?;
            }
            Event::Interrupted { tidying } => {
                let text = format!(
                    "interrupted: tidying up, for {}s at the most; press Ctrl-C again to skip it",
                    tidying.as_secs()
                );
                self.live.suspend(|| tell(text));
            }
            Event::RunStarted { .. } | Event::Diagnosed(_) | Event::Noticed(_) => {}
            Event::RunFinished { .. } => self.summary(run)?,
        }
        Ok(())
    }

    fn flush(&mut self, _: &Run) -> anyhow::Result<()> {
        let long = self.live.long(Instant::now());
        if !self.look.quiet && !self.look.verbose {
            self.print(&long)?;
        }
        self.live.show(Instant::now());
        Ok(())
    }
}
