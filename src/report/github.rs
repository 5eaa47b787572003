//! GitHub Actions: the run as the summary of its step, written once, at the end.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use minijinja::HtmlEscape;

use super::text::{conclusion, counts};
use super::{Reporter, console, grid, model::Run};
use crate::event::Event;
use crate::{output::say, redact::clean};

/// The most characters of the summary's text: GitHub refuses more than 1 MiB, and an escaped character has up to 6 bytes.
const LONGEST: usize = 150_000;

pub struct Github {
    summary: Option<PathBuf>,
    /// Until this is said, GitHub takes no line for a command: a pod's log may hold some.
    token: String,
}

/// The step of GitHub Actions that this process is a part of, if it is.
pub fn this_step() -> Option<Github> {
    let is_set = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    let summary = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(Into::into);
    is_set.then(|| Github { summary, token: format!("{:032x}", rand::random::<u128>()) })
}

impl Reporter for Github {
    fn on(&mut self, event: &Event, run: &Run) -> anyhow::Result<()> {
        let (command, summary) = match event {
            Event::RunStarted { .. } => (format!("::stop-commands::{}", self.token), None),
            Event::RunFinished { .. } => (format!("::{}::", self.token), self.summary.as_ref()),
            _ => return Ok(()),
        };
        say(command);
        let Some(path) = summary else { return Ok(()) };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(text(run).as_bytes()));
        written.with_context(|| format!("cannot write the step's summary {}", path.display()))
    }
}

/// What the console says at the end, as Markdown in which nothing of it is markup.
pub fn text(run: &Run) -> String {
    let (word, meaning, _) = conclusion(run.conclusion);
    let simulated = if run.is_simulated { ", on a SIMULATED cluster" } else { "" };
    let mut lines = vec![format!("{}: {}{simulated}: {meaning}", run.suites.join(", "), counts(&run.counts))];
    lines.extend(run.refusal.iter().cloned().chain(grid::lines(&run.grid)).chain(console::failure_lines(run)));
    lines.extend(run.notices.iter().map(|notice| notice.text.clone()));
    // The console's may have colours.
    let all = clean(&lines.join("\n"));
    let shown: String = all.chars().take(LONGEST).collect();
    let more = if shown.len() < all.len() { "…\nsee the report files" } else { "" };
    format!("## {word}\n\n<pre>{}{more}</pre>\n", HtmlEscape(&shown))
}
