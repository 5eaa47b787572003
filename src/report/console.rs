//! The terminal: a header, one line for each result, live lines for long waits, the grid, the failures again, the counts.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::ProgressDrawTarget;
use owo_colors::{OwoColorize, Stream};

use super::Reporter;
use super::diagnostics;
use super::grid::Grid;
use super::live::Live;
use super::text::{INDENT, count, details, fold, headline, seconds};
use crate::event::{CaseId, Ending, Event, Outcome, SIMULATED, Section, Timeline, Verdict};

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
    tests: usize,
    /// Said once more in the last line.
    is_simulated: bool,
    grid: Grid,
    results: Vec<(CaseId, Verdict, Duration)>,
    diagnosed: BTreeMap<String, Vec<Section>>,
    notices: Vec<String>,
    live: Live,
}

impl Console<std::io::Stdout> {
    /// A console on this program's own output.
    pub fn new(look: Look) -> Self {
        let width = || console::Term::stdout().size_checked().map(|(_, columns)| columns.into());
        Self::on(std::io::stdout(), width, ProgressDrawTarget::stderr(), look)
    }
}

impl<W: Write + Send> Console<W> {
    /// A console on `out`, which is so wide; live lines go to another place.
    pub fn on(out: W, width: fn() -> Option<usize>, live: ProgressDrawTarget, look: Look) -> Self {
        let (grid, results, diagnosed, notices) = Default::default();
        let live = Live::new(live);
        Self { out, look, width, tests: 0, is_simulated: false, grid, results, diagnosed, notices, live }
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

    fn result(&mut self, id: &CaseId, verdict: &Verdict, elapsed: Duration) -> std::io::Result<()> {
        self.live.end(id);
        if self.is(Verbosity::Quiet) && verdict.outcome == Outcome::Pass {
            return Ok(());
        }
        let mut lines = result_lines(id, verdict, elapsed);
        if let Some(timeline) = verdict.timeline.as_ref().filter(|_| self.is(Verbosity::Verbose)) {
            lines.extend(timeline_lines(timeline).into_iter().map(indented));
        }
        self.print(&lines)
    }

    fn summary(&mut self, ending: &Ending, elapsed: Duration) -> std::io::Result<()> {
        self.live.clear(Instant::now());
        // Standard error says why, and no test has anything to tell.
        if matches!(ending, Ending::Refused(_)) {
            return Ok(());
        }
        let grid = self.grid.lines();
        if !grid.is_empty() {
            // Folded, it would be no grid.
            self.live.suspend(|| writeln!(self.out, "\n{}", grid.join("\n")))?;
        }
        let failures = failure_lines(&self.results);
        self.print(&failures)?;
        self.diagnoses()?;
        for notice in std::mem::take(&mut self.notices) {
            self.print(&[String::new(), notice])?;
        }
        let counts = [Outcome::Pass, Outcome::Fail, Outcome::Error, Outcome::Skip].map(|outcome| {
            let number = self.results.iter().filter(|(_, verdict, _)| verdict.outcome == outcome).count();
            format!("{number} {outcome}")
        });
        let interrupted = if *ending == Ending::Interrupted { ", interrupted" } else { "" };
        let simulated = if self.is_simulated { ", on a SIMULATED cluster" } else { "" };
        self.line("")?;
        self.line(&format!("{} in {}{interrupted}{simulated}", counts.join(", "), seconds(elapsed)))
    }

    /// Where more is said of servers that are broken; and what, if that is wanted.
    fn diagnoses(&mut self) -> std::io::Result<()> {
        let mut lines = Vec::new();
        for (server, sections) in std::mem::take(&mut self.diagnosed) {
            let path = diagnostics::path(&self.look.reports, &server);
            if lines.is_empty() || self.is(Verbosity::Verbose) {
                lines.push(String::new());
            }
            lines.push(format!("more of {server}: {}", path.display()));
            if self.is(Verbosity::Verbose) {
                lines.extend(diagnostics::lines(&sections).into_iter().map(|line| format!("  {line}")));
            }
        }
        self.print(&lines)
    }
}

/// A result in lines.
fn result_lines(id: &CaseId, verdict: &Verdict, elapsed: Duration) -> Vec<String> {
    let head = format!("{} {id} ({})", painted(verdict.outcome), seconds(elapsed));
    match (verdict.outcome, &verdict.blocked_by) {
        (Outcome::Pass | Outcome::Skip, _) => {
            let mut lines = vec![format!("{head} {}", verdict.summary)];
            lines.extend(details(verdict).into_iter().map(indented));
            lines
        }
        (_, Some(_)) => vec![format!("{head} {}", headline(verdict))],
        _ => std::iter::once(head).chain(details(verdict).into_iter().map(indented)).collect(),
    }
}

/// All that is not as it should be, once more; tests with one blocker in one line.
fn failure_lines(results: &[(CaseId, Verdict, Duration)]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut blocked: BTreeMap<&str, (Vec<String>, &Verdict)> = BTreeMap::new();
    for (id, verdict, elapsed) in results {
        match (verdict.outcome, &verdict.blocked_by) {
            (Outcome::Pass | Outcome::Skip, _) => {}
            (_, Some(by)) => blocked.entry(by).or_insert((Vec::new(), verdict)).0.push(id.to_string()),
            _ => {
                lines.push(String::new());
                lines.extend(result_lines(id, verdict, *elapsed));
            }
        }
    }
    for (by, (mut ids, verdict)) in blocked {
        ids.sort();
        let head = format!("{} {} blocked by {}", painted(Outcome::Error), count(ids.len(), "test"), by);
        lines.extend([String::new(), format!("{head}: {}", ids.join(", "))]);
        // The blocker says why itself, if it was run.
        if !results.iter().any(|(id, ..)| id.name() == by) {
            lines.extend(details(verdict).into_iter().map(indented));
        }
    }
    lines
}

fn indented(line: impl Display) -> String {
    format!("{:INDENT$}{line}", "")
}

/// How long files took, and when cycles ended.
fn timeline_lines(timeline: &Timeline) -> Vec<String> {
    let seconds = |millis: u64| seconds(Duration::from_millis(millis));
    let took = |(written, came): &(u64, Option<u64>)| {
        came.map_or("not there".to_owned(), |came| seconds(came.saturating_sub(*written)))
    };
    let files: Vec<String> = timeline.files.iter().map(took).collect();
    let cycles: Vec<String> = timeline.cycles.iter().map(|end| seconds(*end)).collect();
    vec![
        format!("files:    {} (at most {})", files.join(", "), seconds(timeline.limit)),
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
        match event {
            Event::RunStarted { cases, .. } => {
                self.tests = cases.len();
                self.grid = Grid::new(cases);
            }
            Event::Connected { facts, changes } => {
                self.is_simulated = facts.iter().any(|fact| fact.name == SIMULATED);
                let mut lines: Vec<String> =
                    facts.iter().map(|fact| format!("{:<10} {}", format!("{}:", fact.name), fact.value)).collect();
                if self.look.tells_changes {
                    lines.extend(changes.iter().map(|change| format!("{:<10} {}", "changed:", change)));
                }
                lines.extend([format!("{:<10} {}", "tests:", self.tests), String::new()]);
                self.print(&lines)?;
            }
            Event::CaseWaiting { id, what, limit, next_cycle } => {
                self.live.begin(id, what, *limit, *next_cycle, Instant::now());
                if self.is(Verbosity::Verbose) {
                    self.line(&format!("...   {id} waits at most {}s for {}", limit.as_secs(), what))?;
                }
            }
            Event::CaseFinished { id, verdict, elapsed } => {
                self.grid.take(id, verdict);
                self.result(id, verdict, *elapsed)?;
                self.results.push((id.clone(), verdict.clone(), *elapsed));
            }
            Event::Interrupted { tidying } => {
                let text = format!(
                    "interrupted: tidying up, for {}s at the most; press Ctrl-C again to skip it",
                    tidying.as_secs()
                );
                // Whoever closed standard error does not want to know.
                self.live.suspend(|| writeln!(std::io::stderr(), "{text}").ok());
            }
            Event::Diagnosed { server, sections } => drop(self.diagnosed.insert(server.clone(), sections.clone())),
            Event::CaseObserved { .. } => {}
            Event::Noticed { text, .. } => self.notices.push(text.clone()),
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
