//! The terminal: a header, one line for each result, live lines for long waits, the grid, the failures again, the counts.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::{OwoColorize, Stream};

use super::Reporter;
use super::grid::Grid;
use super::text::{clean, count, details, headline, seconds};
use crate::event::{CaseId, Ending, Event, Outcome, SIMULATED, Verdict};

/// Writes to standard output; live lines go to standard error, and only if that is a terminal.
pub struct Console<W> {
    out: W,
    /// Print nothing of tests that passed.
    quiet: bool,
    /// Say what the newest upgrade changed.
    tells_changes: bool,
    tests: usize,
    /// Said once more in the last line.
    is_simulated: bool,
    grid: Grid,
    results: Vec<(CaseId, Verdict, Duration)>,
    notices: Vec<String>,
    live: MultiProgress,
    waits: HashMap<CaseId, ProgressBar>,
}

impl<W: Write + Send> Console<W> {
    /// A console on `out`.
    pub fn new(out: W, quiet: bool, tells_changes: bool) -> Self {
        let (grid, results, notices, live, waits) = Default::default();
        Self { out, quiet, tells_changes, tests: 0, is_simulated: false, grid, results, notices, live, waits }
    }

    fn line(&mut self, text: &str) -> std::io::Result<()> {
        let out = &mut self.out;
        self.live.suspend(|| writeln!(out, "{text}"))
    }

    fn wait(&mut self, id: &CaseId, what: &str, limit: Duration) {
        let bar = self.live.add(ProgressBar::new_spinner());
        let template = format!("{{spinner}} {{wide_msg}} {{elapsed}} of {}s", limit.as_secs());
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(clean(&format!("{id}: {what}")));
        bar.enable_steady_tick(Duration::from_millis(250));
        if let Some(before) = self.waits.insert(id.clone(), bar) {
            before.finish_and_clear();
        }
    }

    fn result(&mut self, id: &CaseId, verdict: &Verdict, elapsed: Duration) -> std::io::Result<()> {
        if let Some(bar) = self.waits.remove(id) {
            bar.finish_and_clear();
        }
        if self.quiet && verdict.outcome == Outcome::Pass {
            return Ok(());
        }
        for line in result_lines(id, verdict, elapsed) {
            self.line(&line)?;
        }
        Ok(())
    }

    fn summary(&mut self, ending: &Ending, elapsed: Duration) -> std::io::Result<()> {
        self.waits.drain().for_each(|(_, bar)| bar.finish_and_clear());
        // Standard error says why, and no test has anything to tell.
        if matches!(ending, Ending::Refused(_)) {
            return Ok(());
        }
        let grid = self.grid.lines();
        if !grid.is_empty() {
            self.line(&format!("\n{}", grid.join("\n")))?;
        }
        for line in failure_lines(&self.results) {
            self.line(&line)?;
        }
        for notice in std::mem::take(&mut self.notices) {
            self.line(&format!("\n{}", clean(&notice)))?;
        }
        let counts = [Outcome::Pass, Outcome::Fail, Outcome::Error, Outcome::Skip].map(|outcome| {
            let number = self.results.iter().filter(|(_, verdict, _)| verdict.outcome == outcome).count();
            format!("{number} {outcome}")
        });
        let interrupted = if *ending == Ending::Interrupted { ", interrupted" } else { "" };
        let simulated = if self.is_simulated { ", on a SIMULATED cluster" } else { "" };
        self.line(&format!("\n{} in {}{interrupted}{simulated}", counts.join(", "), seconds(elapsed)))
    }
}

/// A result in lines.
fn result_lines(id: &CaseId, verdict: &Verdict, elapsed: Duration) -> Vec<String> {
    let head = format!("{} {id} ({})", painted(verdict.outcome), seconds(elapsed));
    match (verdict.outcome, &verdict.blocked_by) {
        (Outcome::Pass | Outcome::Skip, _) => {
            let mut lines = vec![format!("{head} {}", clean(&verdict.summary))];
            lines.extend(details(verdict).into_iter().map(|line| format!("      {line}")));
            lines
        }
        (_, Some(_)) => vec![format!("{head} {}", headline(verdict))],
        _ => std::iter::once(head).chain(details(verdict).into_iter().map(|line| format!("      {line}"))).collect(),
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
        let head = format!("{} {} blocked by {}", painted(Outcome::Error), count(ids.len(), "test"), clean(by));
        lines.push(format!("\n{head}: {}", ids.join(", ")));
        // The blocker says why itself, if it was run.
        if !results.iter().any(|(id, ..)| id.name() == by) {
            lines.extend(details(verdict).into_iter().map(|line| format!("      {line}")));
        }
    }
    lines
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
                for fact in facts {
                    self.line(&format!("{:<10} {}", format!("{}:", fact.name), clean(&fact.value)))?;
                }
                if self.tells_changes {
                    for change in changes {
                        self.line(&format!("{:<10} {}", "changed:", clean(change)))?;
                    }
                }
                self.line(&format!("{:<10} {}\n", "tests:", self.tests))?;
            }
            Event::CaseWaiting { id, what, limit, .. } => self.wait(id, what, *limit),
            Event::CaseFinished { id, verdict, elapsed } => {
                self.grid.take(id, verdict);
                self.result(id, verdict, *elapsed)?;
                self.results.push((id.clone(), verdict.clone(), *elapsed));
            }
            Event::CaseObserved { .. } | Event::Diagnosed { .. } => {}
            Event::Interrupted { tidying } => {
                let text = format!(
                    "interrupted: tidying up, for {}s at the most; press Ctrl-C again to skip it",
                    tidying.as_secs()
                );
                // Whoever closed standard error does not want to know.
                self.live.suspend(|| writeln!(std::io::stderr(), "{text}").ok());
            }
            Event::Noticed { text, .. } => self.notices.push(text.clone()),
            Event::RunFinished { ending, elapsed } => self.summary(ending, *elapsed)?,
        }
        Ok(())
    }
}
