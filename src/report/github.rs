//! GitHub Actions: the run as the summary of its step, written once, at the end.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use minijinja::HtmlEscape;

use super::gather::Gathered;
use super::model::RunReport;
use super::text::{conclusion, counts};
use super::{Reporter, console, grid};
use crate::event::Event;
use crate::output::say;
use crate::redact::clean;

/// The most characters of the summary's text: GitHub refuses more than 1 MiB, and an escaped character has up to 6 bytes.
const LONGEST: usize = 150_000;

pub struct Github {
    summary: Option<PathBuf>,
    /// Until this is said, GitHub takes no line for a command: a pod's log may hold some.
    token: String,
    run: Gathered,
}

impl Github {
    /// The step of GitHub Actions that this process is a part of, if it is.
    pub fn of_this_step() -> Option<Self> {
        let is_set = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        let summary = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(Into::into);
        let token = format!("{:032x}", rand::random::<u128>());
        is_set.then(|| Self { summary, token, run: Gathered::default() })
    }
}

impl Reporter for Github {
    fn on(&mut self, event: &Event) -> anyhow::Result<()> {
        self.run.take(event);
        match (event, &self.summary) {
            (Event::RunStarted { .. }, _) => say(format!("::stop-commands::{}", self.token)),
            (Event::RunFinished { .. }, summary) => {
                say(format!("::{}::", self.token));
                let Some(path) = summary else { return Ok(()) };
                let append = || OpenOptions::new().create(true).append(true).open(path);
                let written = append().and_then(|mut file| file.write_all(text(&self.run.report(None)).as_bytes()));
                written.with_context(|| format!("cannot write the step's summary {}", path.display()))?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// What the console says at the end, as Markdown in which nothing of it is markup.
pub fn text(report: &RunReport) -> String {
    let (word, meaning) = conclusion(report.conclusion);
    let simulated = if report.is_simulated { ", on a SIMULATED cluster" } else { "" };
    let mut lines = vec![format!("{}: {}{simulated}: {meaning}", report.suites.join(", "), counts(&report.counts))];
    lines.extend(report.refusal.clone());
    lines.extend(grid::lines(&report.grid));
    lines.extend(console::failure_lines(report));
    lines.extend(report.notices.iter().map(|notice| notice.text.clone()));
    // The console's may have colours.
    let mut all = clean(&lines.join("\n"));
    if let Some((end, _)) = all.char_indices().nth(LONGEST) {
        all.truncate(end);
        all += "…\nsee the report files";
    }
    format!("## {word}\n\n<pre>{}</pre>\n", HtmlEscape(&all))
}
