//! The HTML page of a run: one file without scripts or external resources.

use anyhow::Context;
use indexmap::IndexMap;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::model::{Run, Test};
use super::text::{conclusion, counts, seconds};
use crate::event::{Diagnosis, Hop, Notice, Outcome};

const TEMPLATE: &str = include_str!("page.html");

#[derive(Serialize)]
struct Page<'a> {
    run: &'a Run,
    /// The conclusion in a word, its meaning, and the outcome that sets its color.
    word: &'static str,
    meaning: &'static str,
    tone: &'static str,
    counts: String,
    started: String,
    errors: Vec<&'a Notice>,
    remarks: Vec<&'a Notice>,
    hops: [&'static str; 6],
    broken: Vec<Broken<'a>>,
    blocked: IndexMap<&'a str, Vec<&'a Test>>,
    times: Vec<&'a Test>,
    skipped: IndexMap<&'a str, Vec<&'a Test>>,
    notes: IndexMap<&'a str, Vec<&'a Test>>,
    suites: IndexMap<&'a str, Vec<&'a Test>>,
}

#[derive(Serialize)]
struct Broken<'a> {
    server: Option<&'a str>,
    tests: Vec<&'a Test>,
    diagnosis: Option<&'a Diagnosis>,
}

pub fn text(run: &Run) -> anyhow::Result<String> {
    let (word, meaning, tone) = conclusion(run.conclusion);
    let tests = || run.tests.iter();
    let (errors, remarks) = run.notices.iter().partition(|notice| notice.is_error);
    let page = Page {
        run,
        word,
        meaning,
        tone,
        counts: counts(&run.counts),
        started: run.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        errors,
        remarks,
        hops: Hop::ALL.map(Hop::word),
        broken: broken(run),
        blocked: run.blocked(),
        times: tests().filter(|test| test.transfers.is_some()).collect(),
        skipped: grouped(tests().filter(|t| t.outcome == Outcome::Skip).map(|t| (t.summary.as_str(), t))),
        // Failures show their own notes.
        notes: grouped(
            tests().filter(|t| !t.is_wrong()).flat_map(|t| t.notes.iter().map(move |note| (note.as_str(), t))),
        ),
        suites: grouped(tests().map(|t| (t.suite.as_str(), t))),
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("seconds", seconds);
    // The extension turns on HTML escaping.
    environment.add_template("page.html", TEMPLATE)?;
    environment.get_template("page.html")?.render(Serde(page)).context("cannot render the page")
}

fn broken(run: &Run) -> Vec<Broken<'_>> {
    let mut broken = IndexMap::<Option<&str>, Vec<&Test>>::new();
    for test in run.failures() {
        broken.entry(test.server.as_deref()).or_default().push(test);
    }
    for diagnosis in &run.diagnosed {
        broken.entry(Some(&diagnosis.server)).or_default();
    }
    // Failures without a server come first: they often explain those of servers.
    broken.sort_by(|one, _, other, _| one.is_some().cmp(&other.is_some()));
    let diagnosis = |server: Option<&str>| run.diagnosed.iter().find(|its| Some(its.server.as_str()) == server);
    broken.into_iter().map(|(server, tests)| Broken { server, tests, diagnosis: diagnosis(server) }).collect()
}

fn grouped<'a>(tests: impl Iterator<Item = (&'a str, &'a Test)>) -> IndexMap<&'a str, Vec<&'a Test>> {
    let mut groups: IndexMap<_, Vec<_>> = IndexMap::new();
    for (group, test) in tests {
        groups.entry(group).or_default().push(test);
    }
    groups
}
