//! The terminal: a header, one line for each result, live lines for long waits, the grid, the failures again, the counts.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::ProgressDrawTarget;
use owo_colors::{OwoColorize, Stream};

use super::gather::{Gathered, test};
use super::live::Live;
use super::model::{RunReport, TestReport, Transfers};
use super::text::{INDENT, count, counts, fold, seconds};
use super::{Reporter, diagnostics, grid};
use crate::event::{Ending, Event, Outcome};
use crate::output::{Out, tell};

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Nothing of tests that pass.
    Quiet,
    /// Results.
    Normal,
    /// Also what tests wait for, when files came, and what is known of broken servers.
    Verbose,
}

/// What the user wants to see.
#[derive(Debug, Clone)]
pub struct Look {
    /// How much is told.
    pub verbosity: Verbosity,
    /// Say what the newest upgrade changed.
    pub tells_changes: bool,
    /// Where reports are written.
    pub reports: PathBuf,
}

/// Writes to standard output; live lines go to standard error, and only if that is a terminal.
pub struct Console<W> {
    out: W,
    look: Look,
    /// The terminal's width; none if it is no terminal.
    width: fn() -> Option<usize>,
    run: Gathered,
    live: Live,
}

impl Console<Out> {
    /// A console on this program's own output.
    pub fn new(look: Look) -> Self {
        let width = || console::Term::stdout().size_checked().map(|(_, columns)| columns.into());
        Self::on(Out, width, ProgressDrawTarget::stderr(), look)
    }
}

impl<W: Write + Send> Console<W> {
    /// A console on `out`, which is so wide; live lines go to another place.
    pub fn on(out: W, width: fn() -> Option<usize>, live: ProgressDrawTarget, look: Look) -> Self {
        Self { out, look, width, run: Gathered::default(), live: Live::new(live) }
    }

    fn line(&mut self, line: &str) -> std::io::Result<()> {
        self.print(&[line.to_owned()])
    }

    /// Prints lines at once, so that nothing comes between them; folded to the terminal.
    fn print(&mut self, lines: &[String]) -> std::io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let width = (self.width)();
        let text: String = lines.iter().flat_map(|line| [fold(line, width), "\n".to_owned()]).collect();
        self.show();
        let out = &mut self.out;
        self.live.suspend(|| out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Brings the live lines up to date.
    fn show(&mut self) {
        let width = console::Term::stderr().size().1;
        self.live.show(Instant::now(), width.saturating_sub(1).into());
    }

    fn is(&self, verbosity: Verbosity) -> bool {
        self.look.verbosity == verbosity
    }

    fn result(&mut self, test: &TestReport) -> std::io::Result<()> {
        if self.is(Verbosity::Quiet) && test.outcome == Outcome::Pass {
            return Ok(());
        }
        let mut lines = result_lines(test);
        if let Some(transfers) = test.transfers.as_ref().filter(|_| self.is(Verbosity::Verbose)) {
            lines.extend(transfer_lines(transfers).into_iter().map(indented));
        }
        self.print(&lines)
    }

    fn summary(&mut self, ending: &Ending, elapsed: Duration) -> std::io::Result<()> {
        self.live.clear(Instant::now());
        // Standard error says why, and no test has anything to tell.
        if matches!(ending, Ending::Refused(_)) {
            return Ok(());
        }
        let report = self.run.report(None);
        let grid = grid::lines(&report.grid);
        if !grid.is_empty() {
            // Folded, it would be no grid.
            self.live.suspend(|| writeln!(self.out, "\n{}", grid.join("\n")))?;
        }
        self.print(&failure_lines(&report))?;
        self.diagnoses(&report)?;
        for notice in &report.notices {
            self.print(&[String::new(), notice.text.clone()])?;
        }
        let interrupted = if *ending == Ending::Interrupted { ", interrupted" } else { "" };
        let simulated = if report.is_simulated { ", on a SIMULATED cluster" } else { "" };
        let counts = counts(&report.counts);
        self.print(&[String::new(), format!("{counts} in {}{interrupted}{simulated}", seconds(elapsed))])
    }

    /// Where more is said of servers that are broken; and what, if that is wanted.
    fn diagnoses(&mut self, report: &RunReport) -> std::io::Result<()> {
        let mut lines = Vec::new();
        for known in &report.diagnosed {
            let path = diagnostics::path(&self.look.reports, &known.server);
            if lines.is_empty() || self.is(Verbosity::Verbose) {
                lines.push(String::new());
            }
            lines.push(format!("more of {}: {}", known.server, path.display()));
            if self.is(Verbosity::Verbose) {
                lines.extend(diagnostics::lines(known).into_iter().map(|line| format!("  {line}")));
            }
        }
        self.print(&lines)
    }
}

/// A result in lines.
fn result_lines(test: &TestReport) -> Vec<String> {
    let head = format!("{} {} ({})", painted(test.outcome), test.id(), seconds(Duration::from_millis(test.millis)));
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
fn failure_lines(report: &RunReport) -> Vec<String> {
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
        let head = format!("{} {} {why}", painted(Outcome::Error), count(ids.len(), "test"));
        lines.extend([String::new(), format!("{head}: {}", ids.join(", "))]);
        // The blocker says why itself, if it was run.
        if !report.tests.iter().any(|test| Some(&test.name) == first.blocked_by.as_ref()) {
            lines.extend(first.details.iter().map(indented));
        }
    }
    lines
}

fn indented(line: impl Display) -> String {
    format!("{:INDENT$}{line}", "")
}

/// How long files took, and when cycles ended.
fn transfer_lines(transfers: &Transfers) -> Vec<String> {
    let seconds = |millis: u64| seconds(Duration::from_millis(millis));
    let took = transfers.files.iter().map(|file| match file.arrived {
        Some(arrived) => seconds(arrived.saturating_sub(file.written)),
        None => "not there".to_owned(),
    });
    let files: Vec<String> = took.collect();
    let cycles: Vec<String> = transfers.cycles.iter().map(|end| seconds(*end)).collect();
    vec![
        format!("files:    {} (at most {})", files.join(", "), seconds(transfers.limit)),
        format!("cycles:   ended {} after the start of the run", cycles.join(", ")),
    ]
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
    fn on(&mut self, event: &Event) -> anyhow::Result<()> {
        self.run.take(event);
        match event {
            Event::Connected { facts, changes } => {
                let mut lines: Vec<String> =
                    facts.iter().map(|fact| format!("{:<10} {}", format!("{}:", fact.name), fact.value)).collect();
                if self.look.tells_changes {
                    lines.extend(changes.iter().map(|change| format!("{:<10} {change}", "changed:")));
                }
                let tests = self.run.report(None).counts.tests;
                lines.extend([format!("{:<10} {tests}", "tests:"), String::new()]);
                self.print(&lines)?;
            }
            Event::CaseWaiting { id, what, limit, next_cycle } => {
                self.live.begin(id, what, *limit, *next_cycle, Instant::now());
                if self.is(Verbosity::Verbose) {
                    self.line(&format!("...   {id} waits at most {}s for {what}", limit.as_secs()))?;
                }
            }
            Event::CaseFinished { id, verdict, elapsed } => {
                self.live.end(id);
                self.result(&test(id, verdict.clone(), *elapsed))?;
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
        if self.is(Verbosity::Normal) {
            self.print(&long)?;
        }
        self.show();
        Ok(())
    }
}
