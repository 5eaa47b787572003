//! The terminal output: a header, a line for each result, live lines for waits, the grid, all failures again, the counts.

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
use crate::output::{Out, print_error};

#[derive(Debug, Clone)]
pub struct ConsoleOptions {
    pub quiet: bool,
    pub verbose: bool,
    pub reports: PathBuf,
}

/// Writes results to standard output, and live lines to standard error if that is a terminal.
pub struct Console<W> {
    out: W,
    options: ConsoleOptions,
    live: Live,
}

impl Console<Out> {
    pub fn new(options: ConsoleOptions) -> Self {
        Self::on(Out, ProgressDrawTarget::stderr(), options)
    }
}

impl<W: Write + Send> Console<W> {
    pub fn on(out: W, live: ProgressDrawTarget, options: ConsoleOptions) -> Self {
        Self { out, options, live: Live::new(live) }
    }

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
        // Standard error shows why, and no test ran.
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

    /// The files with the diagnosis of each broken server; with `--verbose`, also their content.
    fn diagnoses(&self, run: &Run) -> Vec<String> {
        let mut lines = Vec::new();
        for diagnosis in &run.diagnosed {
            let path = diagnostics::path(&self.options.reports, &diagnosis.server);
            if lines.is_empty() || self.options.verbose {
                lines.push(String::new());
            }
            lines.push(format!("diagnosis of {}: {}", diagnosis.server, path.display()));
            if self.options.verbose {
                lines.extend(diagnostics::lines(diagnosis).into_iter().map(|line| format!("  {line}")));
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

/// Repeats all failures; tests that are ERROR for the same reason share a line.
pub(super) fn failure_lines(run: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    for test in run.failures() {
        lines.push(String::new());
        lines.extend(result_lines(test));
    }
    for (why, tests) in run.blocked() {
        // The run could not start, or was aborted.
        let Some(first) = tests.first().filter(|first| first.is_finished) else { continue };
        let mut ids: Vec<String> = tests.iter().map(|test| test.id()).collect();
        ids.sort();
        let head = format!("{} {} {why}", painted(Outcome::Error), count(ids.len(), "test"));
        lines.extend([String::new(), format!("{head}: {}", ids.join(", "))]);
        // If the blocking test ran, its own result explains it.
        if !run.tests.iter().any(|test| Some(&test.name) == first.blocked_by.as_ref()) {
            lines.extend(details(first).into_iter().map(indented));
        }
    }
    lines
}

fn indented(line: impl Display) -> String {
    format!("      {line}")
}

/// The outcome, in color if standard output supports it.
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
                if self.options.verbose {
                    self.print(&[format!("...   {id} waits up to {} s for {what}", limit.as_secs())])?;
                }
            }
            Event::TestFinished { id, .. } => {
                self.live.end(id);
                let shown = run.test(id).filter(|test| !self.options.quiet || test.outcome != Outcome::Pass);
                self.print(&shown.map(result_lines).unwrap_or_default())?;
            }
            Event::Interrupted { cleanup_limit } => {
                let limit = cleanup_limit.as_secs();
                let text = format!("interrupted: cleaning up, up to {limit} s; press Ctrl-C again to skip the cleanup");
                self.live.suspend(|| print_error(text));
            }
            Event::RunStarted { .. } | Event::Diagnosed(_) | Event::Noticed(_) => {}
            Event::RunFinished { .. } => self.summary(run)?,
        }
        Ok(())
    }

    fn flush(&mut self, _: &Run) -> anyhow::Result<()> {
        let long = self.live.long_waits(Instant::now());
        if !self.options.quiet && !self.options.verbose {
            self.print(&long)?;
        }
        self.live.show(Instant::now());
        Ok(())
    }
}
