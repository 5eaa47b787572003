//! GitHub Actions: writes the step summary at the end of the run.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use minijinja::HtmlEscape;

use super::text::{conclusion, counts};
use super::{Reporter, console, grid, model::Run};
use crate::event::Event;
use crate::{output::print_line, redact::clean};

/// The limit of the summary in characters: GitHub accepts up to 1 MiB, and an escaped character has up to 6 bytes.
const MAX_CHARS: usize = 150_000;

pub struct Github {
    summary: Option<PathBuf>,
    /// GitHub executes no workflow commands in the output until this token is printed: a pod's log may contain some.
    token: String,
}

/// The GitHub Actions step that this process runs in, if any.
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
        print_line(command);
        let Some(path) = summary else { return Ok(()) };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(text(run).as_bytes()));
        written.with_context(|| format!("cannot write the step summary {}", path.display()))
    }
}

pub fn text(run: &Run) -> String {
    let (word, meaning, _) = conclusion(run.conclusion);
    let simulated = if run.is_simulated { ", on a SIMULATED cluster" } else { "" };
    let mut lines = vec![format!("{}: {}{simulated}: {meaning}", run.suites.join(", "), counts(&run.counts))];
    lines.extend(run.refusal.iter().cloned().chain(grid::lines(&run.grid)).chain(console::failure_lines(run)));
    lines.extend(run.notices.iter().map(|notice| notice.text.clone()));
    // Removes the console's colors.
    let all = clean(&lines.join("\n"));
    let shown: String = all.chars().take(MAX_CHARS).collect();
    let more = if shown.len() < all.len() { "…\nsee the report files" } else { "" };
    format!("## {word}\n\n<pre>{}{more}</pre>\n", HtmlEscape(&shown))
}
