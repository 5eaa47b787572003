//! The page of a run: one file that needs no other, no script and no network.

use std::time::Duration;

use anyhow::Context;
use indexmap::IndexMap;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::model::{Conclusion, Diagnosis, Notice, RunReport, TestReport};
use super::text::{conclusion, counts, seconds};
use crate::event::{Hop, Outcome};

const TEMPLATE: &str = include_str!("page.html");

#[derive(Serialize)]
struct Page<'a> {
    run: &'a RunReport,
    /// The conclusion: its word, its meaning, and the outcome whose colours it has.
    word: &'static str,
    meaning: &'static str,
    tone: &'static str,
    counts: String,
    started: String,
    errors: Vec<&'a Notice>,
    remarks: Vec<&'a Notice>,
    hops: [String; 6],
    broken: Vec<Broken<'a>>,
    blocked: IndexMap<&'a str, Vec<&'a TestReport>>,
    /// Those that followed files.
    times: Vec<&'a TestReport>,
    skipped: IndexMap<&'a str, Vec<&'a TestReport>>,
    notes: IndexMap<&'a str, Vec<&'a TestReport>>,
    suites: IndexMap<&'a str, Vec<&'a TestReport>>,
}

#[derive(Serialize)]
struct Broken<'a> {
    server: Option<&'a str>,
    tests: Vec<&'a TestReport>,
    diagnosis: Option<&'a Diagnosis>,
}

pub fn text(report: &RunReport) -> anyhow::Result<String> {
    let (word, meaning) = conclusion(report.conclusion);
    let tests = || report.tests.iter();
    let (errors, remarks) = report.notices.iter().partition(|notice| notice.is_error);
    let page = Page {
        run: report,
        word,
        meaning,
        tone: match report.conclusion {
            Conclusion::Passed => "PASS",
            Conclusion::NothingJudged => "SKIP",
            Conclusion::CouldNotJudge | Conclusion::Interrupted => "ERROR",
            Conclusion::Failed | Conclusion::NotFinished | Conclusion::Refused => "FAIL",
        },
        counts: counts(&report.counts),
        started: report.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        errors,
        remarks,
        hops: Hop::ALL.map(|hop| hop.to_string()),
        broken: broken(report),
        blocked: report.blocked(),
        times: tests().filter(|test| test.transfers.is_some()).collect(),
        skipped: grouped(tests().filter(|t| t.outcome == Outcome::Skip).map(|t| (t.summary.as_str(), t))),
        // A failure shows its own.
        notes: grouped(
            tests().filter(|t| !t.is_wrong()).flat_map(|t| t.notes.iter().map(move |note| (note.as_str(), t))),
        ),
        suites: grouped(tests().map(|t| (t.suite.as_str(), t))),
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("seconds", |millis: u64| seconds(Duration::from_millis(millis)));
    // By its name the values are escaped as HTML.
    environment.add_template("page.html", TEMPLATE)?;
    environment.get_template("page.html")?.render(Serde(page)).context("cannot render the page")
}

fn broken(report: &RunReport) -> Vec<Broken<'_>> {
    let mut broken = IndexMap::<Option<&str>, Vec<&TestReport>>::new();
    for test in report.failures() {
        broken.entry(test.server.as_deref()).or_default().push(test);
    }
    for known in &report.diagnosed {
        broken.entry(Some(&known.server)).or_default();
    }
    // What is about no server explains the servers.
    broken.sort_by(|one, _, other, _| one.is_some().cmp(&other.is_some()));
    let diagnosis = |server: Option<&str>| report.diagnosed.iter().find(|known| Some(known.server.as_str()) == server);
    broken.into_iter().map(|(server, tests)| Broken { server, tests, diagnosis: diagnosis(server) }).collect()
}

fn grouped<'a>(tests: impl Iterator<Item = (&'a str, &'a TestReport)>) -> IndexMap<&'a str, Vec<&'a TestReport>> {
    let mut groups: IndexMap<_, Vec<_>> = IndexMap::new();
    for (group, test) in tests {
        groups.entry(group).or_default().push(test);
    }
    groups
}
