//! GitHub Actions: failures as annotations of the step, and the run as its summary. Written once, at the end.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::Reporter;
use super::gather::Gathered;
use super::model::{RunReport, TestReport};
use super::text::{conclusion, count, counts, seconds};
use crate::event::{Event, Hop, SIMULATED};
use crate::output::Out;

/// GitHub shows so many error annotations of a step.
const ANNOTATIONS: usize = 10;
/// The most characters of a text that may be long, such as a failure's.
const LONG: usize = 4_000;
/// GitHub refuses a step's summary of more than 1 MiB.
const SUMMARY: usize = 900_000;

/// Tells the step that runs this program.
pub struct Github<W> {
    out: W,
    summary: Option<PathBuf>,
    /// Until this is said, GitHub takes no line for a command: a pod's log may hold some.
    token: String,
    run: Gathered,
}

impl Github<Out> {
    /// The step of GitHub Actions that this process is a part of, if it is.
    pub fn of_this_step() -> Option<Self> {
        let is_set = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        let summary = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(Into::into);
        is_set.then(|| Self::new(Out, summary, format!("{:032x}", rand::random::<u128>())))
    }
}

impl<W: Write + Send> Github<W> {
    /// Annotations to `out`, the summary to the end of that file; nobody can guess the token.
    pub fn new(out: W, summary: Option<PathBuf>, token: String) -> Self {
        Self { out, summary, token, run: Gathered::default() }
    }
}

impl<W: Write + Send> Reporter for Github<W> {
    fn on(&mut self, event: &Event) -> anyhow::Result<()> {
        self.run.take(event);
        match event {
            Event::RunStarted { .. } => writeln!(self.out, "::stop-commands::{}", self.token)?,
            Event::RunFinished { .. } => self.finish()?,
            _ => {}
        }
        Ok(())
    }
}

impl<W: Write> Github<W> {
    fn finish(&mut self) -> anyhow::Result<()> {
        let report = self.run.report(None);
        writeln!(self.out, "::{}::", self.token)?;
        for line in annotations(&report) {
            writeln!(self.out, "{line}")?;
        }
        if let Some(path) = &self.summary {
            let append = || OpenOptions::new().create(true).append(true).open(path);
            let written = append().and_then(|mut file| file.write_all(summary(&report).as_bytes()));
            written.with_context(|| format!("cannot write the step's summary {}", path.display()))?;
        }
        Ok(())
    }
}

/// Workflow commands that annotate the step: each failure, as many as GitHub shows.
pub fn annotations(report: &RunReport) -> Vec<String> {
    let failure = |test: &TestReport| (format!("{} {}", test.outcome, test.id()), test.details.join("\n"));
    let errors = report.notices.iter().filter(|notice| notice.is_error);
    let blocked = report.blocked();
    let groups =
        blocked.iter().map(|(why, tests)| (format!("ERROR {}", count(tests.len(), "test")), (*why).to_owned()));
    let mut all: Vec<(String, String)> = report.failures().map(failure).collect();
    all.extend(errors.map(|notice| ("ERROR the run".to_owned(), notice.text.clone())));
    all.extend(groups);
    if all.len() > ANNOTATIONS {
        let more = format!("the step's summary and {} report tell them all", count(all.len(), "other"));
        let more = (format!("{} more", count(all.len() - ANNOTATIONS + 1, "failure")), more);
        all.truncate(ANNOTATIONS - 1);
        all.push(more);
    }
    let line = |(title, text): &(String, String)| {
        let title = command(title).replace(':', "%3A").replace(',', "%2C");
        format!("::error title={title}::{}", command(&bounded(text)))
    };
    all.iter().map(line).collect()
}

/// Text in a workflow command.
fn command(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The run as Markdown, as GitHub shows it.
pub fn summary(report: &RunReport) -> String {
    let (word, meaning) = conclusion(report.conclusion);
    let time = seconds(Duration::from_millis(report.millis));
    let suites = markdown(&report.suites.join(", "));
    let mut text = format!("## {word}: {suites}\n\n{} in {time}: {meaning}.\n\n", counts(&report.counts));
    if report.is_simulated {
        text.extend(["> **", SIMULATED, "**: this says nothing of a real cluster.\n\n"]);
    }
    if let Some(why) = &report.refusal {
        text += &pre(why);
    }
    if !report.grid.is_empty() {
        let cells = |cells: &[String]| format!("|{}|\n", cells.join("|"));
        let head: Vec<String> =
            std::iter::once("server".to_owned()).chain(Hop::ALL.map(|hop| hop.to_string())).collect();
        text += &(cells(&head) + &cells(&vec!["---".to_owned(); head.len()]));
        for row in &report.grid {
            let marks = row.hops.iter().map(|hop| markdown(&hop.mark));
            text += &cells(&std::iter::once(markdown(&row.server)).chain(marks).collect::<Vec<_>>());
        }
        text.push('\n');
    }
    let failures = report.failures().map(|test| {
        let title = format!("{} {}", test.outcome, test.id());
        format!("<details open><summary>{}</summary>\n\n{}</details>\n\n", html(&title), pre(&test.details.join("\n")))
    });
    let blocked = report.blocked();
    let blocked = blocked.iter().map(|(why, tests)| {
        let names: Vec<String> = tests.iter().map(|test| test.id()).collect();
        format!("{}: {}\n\n{}", count(tests.len(), "test"), markdown(why), pre(&names.join("\n")))
    });
    let notices = report.notices.iter().map(|notice| markdown(&bounded(&notice.text)) + "\n\n");
    let parts: Vec<String> = failures.chain(blocked).chain(notices).collect();
    for (index, part) in parts.iter().enumerate() {
        if text.len() + part.len() > SUMMARY {
            text.extend([&(parts.len() - index).to_string(), " more: see the report files.\n"]);
            break;
        }
        text += part;
    }
    text
}

/// Lines as they are.
fn pre(text: &str) -> String {
    format!("<pre>{}</pre>\n\n", html(&bounded(text)))
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text in a line of Markdown or a cell of its tables, in which nothing of it is markup.
fn markdown(text: &str) -> String {
    let mut escaped = String::new();
    for c in html(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '!' | '|' | '~' | '$') {
            escaped.push('\\');
        }
        escaped.push(if c == '\n' { ' ' } else { c });
    }
    escaped
}

/// The beginning of a text that may be long.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
