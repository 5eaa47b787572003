//! Runs suites, or lists their tests.

use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use jiff::Timestamp;

use super::begin::{load_suites, print, refuse, shut_down, start, start_simulation};
use super::prepare;
use super::reporting::{Reporting, reporters};
use crate::cli::{Options, RunOptions};
use crate::error::Refusal;
use crate::event::{Ending, Event, Planned};
use crate::exit_code::Exit;
use crate::recording;
use crate::report::console::ConsoleOptions;
use crate::report::recorder::Recorder;
use crate::run::{self, Job, Signals};
use crate::suite::{self, PlannedTest, Suite};

pub(super) fn run(options: &Options) -> Exit {
    let (suites, refusal) = load_suites(options);
    let selected = refusal.map_or_else(|| suite::select(&suites, &options.filter), Err);
    if options.run.list {
        return selected.map_or_else(|refusal| refuse(&refusal), |tests| list(&tests, options.run.verbose));
    }
    // Before the first report is written, so that Ctrl-C ends in a report, too.
    let started = Instant::now();
    let (runtime, signals) = match start() {
        Ok(started) => started,
        Err(refusal) => return refuse(&refusal),
    };
    // Now: after the run, its recording would be lost.
    let selected =
        selected.and_then(|tests| options.run.record.as_deref().map_or(Ok(()), recording::probe).map(|()| tests));
    let RunOptions { quiet, verbose, report_dir, .. } = &options.run;
    let mut reporters = reporters(ConsoleOptions { quiet: *quiet, verbose: *verbose, reports: report_dir.clone() });
    if let (Some(path), Ok(_)) = (&options.run.record, &selected) {
        let suites = suites.iter().map(|suite| suite.text.clone()).collect();
        reporters.push(Box::new(Recorder::new(path.clone(), suites)));
    }
    let reporting = Reporting::start(reporters);
    let tests = selected.as_deref().unwrap_or_default();
    let tests = tests.iter().map(|test| Planned { id: test.id.clone(), hops: test.check.info().hops }).collect();
    reporting.send(Event::RunStarted { at: Timestamp::now(), suites: reported_suites(options, &suites), tests });
    let finished = selected.and_then(|tests| {
        let finished = runtime.block_on(execute(options, &suites, tests, &signals, reporting.events.clone()));
        shut_down(runtime);
        finished
    });
    let (ending, refused) = match finished {
        Ok(ending) => (ending, None),
        Err(refusal) => (Ending::Refused(refusal.to_string()), Some(refuse(&refusal))),
    };
    reporting.send(Event::RunFinished { ending, elapsed: started.elapsed() });
    reporting.end(refused)
}

/// Lists tests in libtest's format; verbosely with each test's check and needs, and whether it is disruptive.
fn list(tests: &[PlannedTest], is_verbose: bool) -> Exit {
    if !is_verbose {
        return print(tests.iter().map(|test| format!("{}: test", test.id)));
    }
    let width = tests.iter().map(|test| test.id.to_string().len()).max().unwrap_or_default();
    print(tests.iter().map(|test| format!("{:width$}  {}", test.id.to_string(), suite::explain::line(&test.check))))
}

/// The suites that get a report. An unreadable suite gets one too, so that no report of an earlier run survives.
fn reported_suites(options: &Options, suites: &[Suite]) -> Vec<String> {
    let mut names: Vec<String> = suites.iter().map(|suite| suite.name.clone()).collect();
    if suites.len() < options.suites.len() {
        let broken = options.suites.iter().filter_map(|name| suite::load::name_of_broken(name));
        names.extend(broken.filter(|name| !suites.iter().any(|suite| suite.name == *name)));
    }
    names
}

async fn execute(
    options: &Options,
    suites: &[Suite],
    tests: Vec<PlannedTest>,
    signals: &Signals,
    events: mpsc::Sender<Event>,
) -> Result<Ending, Refusal> {
    // Lives as long as the run.
    let mut simulation = None;
    let mut options = options.clone();
    let prepared = async {
        simulation = start_simulation(&mut options).await?;
        prepare::prepare(&options, suites, &tests, events).await
    };
    let shared = tokio::select! {
        prepared = prepared => Arc::new(prepared?),
        () = signals.requested(1) => return Ok(Ending::Interrupted),
    };
    let suite_of = |test: &PlannedTest| suites.iter().find(|suite| suite.name == test.id.suite);
    let all: Arc<[PlannedTest]> = suites.iter().flat_map(|suite| &suite.tests).cloned().collect();
    let jobs = tests.into_iter().filter_map(|test| {
        let system = Arc::clone(&suite_of(&test)?.system);
        Some(Job { test, system, tests: Arc::clone(&all) })
    });
    Ok(run::run(
        shared,
        jobs.collect(),
        options.run.test_threads.map_or(run::DEFAULT_CONCURRENCY, NonZeroUsize::get),
        signals,
    )
    .await)
}
