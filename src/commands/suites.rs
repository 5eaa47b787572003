//! Runs suites and reports.

use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use jiff::Timestamp;

use super::begin::{end, load, print, refuse, simulated, start};
use super::prepare;
use super::reporting::{Reporting, reporters};
use crate::cli::{Options, RunOptions};
use crate::error::{Exit, Refusal};
use crate::event::{Case, Ending, Event};
use crate::recording;
use crate::report::console::Look;
use crate::report::recorder::Recorder;
use crate::run::{self, Job, Signals};
use crate::suite::{self, PlannedCase, Suite};

pub(super) fn run(options: &Options) -> Exit {
    let (suites, refusal) = load(options);
    let selected = refusal.map_or_else(|| suite::select(&suites, &options.filter), Err);
    if options.run.list {
        return selected.map_or_else(|refusal| refuse(&refusal), |cases| list(&cases, options.run.verbose));
    }
    // Before the first report is written: from then on Ctrl-C ends in a report too.
    let started = Instant::now();
    let (runtime, signals) = match start() {
        Ok(started) => started,
        Err(refusal) => return refuse(&refusal),
    };
    // Now, and not when the run is over and lost.
    let selected =
        selected.and_then(|cases| options.run.record.as_deref().map_or(Ok(()), recording::probe).map(|()| cases));
    let RunOptions { quiet, verbose, report_dir, .. } = &options.run;
    let mut reporters = reporters(Look { quiet: *quiet, verbose: *verbose, reports: report_dir.clone() });
    if let (Some(path), Ok(_)) = (&options.run.record, &selected) {
        let suites = suites.iter().map(|suite| suite.text.clone()).collect();
        reporters.push(Box::new(Recorder::new(path.clone(), suites)));
    }
    let reporting = Reporting::start(reporters);
    let cases = selected.as_deref().unwrap_or_default();
    let cases = cases.iter().map(|case| Case { id: case.id.clone(), hops: case.check.about().hops }).collect();
    reporting.send(Event::RunStarted { at: Timestamp::now(), suites: reported_suites(options, &suites), cases });
    let finished = selected.and_then(|cases| {
        let finished = runtime.block_on(execute(options, &suites, cases, &signals, reporting.events.clone()));
        end(runtime);
        finished
    });
    let (ending, refused) = match finished {
        Ok(ending) => (ending, None),
        Err(refusal) => (Ending::Refused(refusal.to_string()), Some(refuse(&refusal))),
    };
    reporting.send(Event::RunFinished { ending, elapsed: started.elapsed() });
    reporting.end(refused)
}

/// As libtest lists tests, for scripts; or for people, with what each is, needs and disturbs.
fn list(cases: &[PlannedCase], is_verbose: bool) -> Exit {
    if !is_verbose {
        return print(cases.iter().map(|case| format!("{}: test", case.id)));
    }
    let width = cases.iter().map(|case| case.id.to_string().len()).max().unwrap_or_default();
    print(cases.iter().map(|case| format!("{:width$}  {}", case.id.to_string(), suite::explain::line(&case.check))))
}

/// The suites that get a report: also one whose file could not be read, so that its report of yesterday does not survive.
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
    cases: Vec<PlannedCase>,
    signals: &Signals,
    events: mpsc::Sender<Event>,
) -> Result<Ending, Refusal> {
    // It ends when this is dropped.
    let mut simulation = None;
    let mut options = options.clone();
    let prepared = async {
        simulation = simulated(&mut options).await?;
        prepare::prepare(&options, suites, &cases, events).await
    };
    let shared = tokio::select! {
        prepared = prepared => Arc::new(prepared?),
        () = signals.asked(1) => return Ok(Ending::Interrupted),
    };
    let suite_of = |case: &PlannedCase| suites.iter().find(|suite| suite.name == case.id.suite);
    let tests: Arc<[PlannedCase]> = suites.iter().flat_map(|suite| &suite.cases).cloned().collect();
    let jobs = cases.into_iter().filter_map(|case| {
        let system = Arc::clone(&suite_of(&case)?.system);
        Some(Job { case, system, tests: Arc::clone(&tests) })
    });
    Ok(run::run(shared, jobs.collect(), options.run.test_threads.map_or(run::AT_ONCE, NonZeroUsize::get), signals)
        .await)
}
