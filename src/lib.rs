//! End-to-end tests of the file simulator: seven simulated NAS servers on Kubernetes that share files with a tester's
//! folder. Suites are data; a check observes through the Kubernetes API and the folder, then judges.
//!
//! Arrows: `cli → run → check → cluster`, `check → host`, `suite → check`; `event` stands between `run` and `report`.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use tokio::runtime::Runtime;

pub mod check;
pub mod cli;
pub mod cluster;
pub mod error;
pub mod event;
pub mod host;
mod prepare;
pub mod report;
pub mod run;
pub mod suite;
pub mod values;

use cli::Options;
use error::{Exit, Refusal};
use event::{Case, Ending, Event, Outcome};
use report::{Reporter, console::Console, junit::Junit};
use run::{Job, Signals};
use suite::{PlannedCase, Suite};

/// Loads, selects, connects, runs and reports; the whole program behind the command line.
pub fn run(options: &Options) -> Exit {
    let (suites, refusal) = load(options);
    let selected = refusal.map_or_else(|| suite::select(&suites, &options.arguments), Err);
    if options.arguments.list {
        return selected.map_or_else(|refusal| refuse(&refusal), |cases| list(&cases));
    }
    // Before the first report is written: from then on Ctrl-C ends in a report too.
    let started = Instant::now();
    let prepared = Runtime::new().and_then(|runtime| {
        let signals = runtime.block_on(async { Signals::listen() })?;
        Ok((runtime, signals))
    });
    let (runtime, mut signals) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return refuse(&Refusal::start(format!("cannot start: {error}"), "")),
    };
    let (events, received) = mpsc::channel();
    let console = Console::new(std::io::stdout(), options.arguments.quiet);
    let mut reporters: Vec<Box<dyn Reporter>> =
        vec![Box::new(console), Box::new(Junit::new(options.report_dir.clone()))];
    let reporting = std::thread::spawn(move || report::consume(&received, &mut reporters));
    let cases = selected.as_deref().unwrap_or_default();
    let cases = cases.iter().map(|case| Case { id: case.id.clone(), hops: case.check.hops() }).collect();
    let send = |event| {
        // The reporting thread ends only after the last event.
        let _ = events.send(event);
    };
    send(Event::RunStarted { suites: reported_suites(options, &suites), cases });
    let finished = selected.and_then(|cases| {
        let finished = runtime.block_on(execute(options, &suites, cases, &mut signals, events.clone()));
        runtime.shutdown_background();
        finished
    });
    let (ending, exit) = match finished {
        Ok((ending, outcomes)) => (ending.clone(), exit(&ending, &outcomes)),
        Err(refusal) => (Ending::Refused(refusal.to_string()), refuse(&refusal)),
    };
    send(Event::RunFinished { ending, elapsed: started.elapsed() });
    let problems = reporting.join().unwrap_or_else(|_| vec!["the reports panicked".to_owned()]);
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    if exit == Exit::Passed && !problems.is_empty() { Exit::CouldNotJudge } else { exit }
}

/// The suites that could be read, and why the first of the others could not.
fn load(options: &Options) -> (Vec<Suite>, Option<Refusal>) {
    let mut suites: Vec<Suite> = Vec::new();
    let mut refusal = None;
    for name in &options.suites {
        match suite::load(name) {
            Ok(suite) if suites.iter().any(|other| other.name == suite.name) => {
                let twice = Refusal::usage(format!("two suites are called `{}`", suite.name), "name each suite once");
                refusal = refusal.or(Some(twice));
            }
            Ok(suite) => suites.push(suite),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    (suites, refusal)
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

/// From the first request to the last file removed.
async fn execute(
    options: &Options,
    suites: &[Suite],
    cases: Vec<PlannedCase>,
    signals: &mut Signals,
    events: mpsc::Sender<Event>,
) -> Result<(Ending, Vec<Outcome>), Refusal> {
    let shared = tokio::select! {
        prepared = prepare::prepare(options, &cases, events) => Arc::new(prepared?),
        () = signals.next() => return Ok((Ending::Interrupted, Vec::new())),
    };
    let suite_of = |case: &PlannedCase| suites.iter().find(|suite| suite.name == case.id.suite);
    let jobs = cases.into_iter().filter_map(|case| {
        let suite = suite_of(&case)?;
        Some(Job { case, select: suite.pods.clone(), servers: suite.servers.clone() })
    });
    Ok(run::run(shared, jobs.collect(), options.arguments.test_threads.unwrap_or(usize::MAX), signals).await)
}

fn list(cases: &[PlannedCase]) -> Exit {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for case in cases {
        // Whoever closed the pipe has read enough.
        if writeln!(out, "{}: test", case.id).is_err() {
            break;
        }
    }
    Exit::Passed
}

fn refuse(refusal: &Refusal) -> Exit {
    eprintln!("{refusal}");
    refusal.exit
}

fn exit(ending: &Ending, outcomes: &[Outcome]) -> Exit {
    let has = |outcome| outcomes.contains(&outcome);
    match ending {
        Ending::Interrupted => Exit::Interrupted,
        _ if has(Outcome::Fail) => Exit::Failed,
        _ if has(Outcome::Error) => Exit::CouldNotJudge,
        _ if has(Outcome::Pass) => Exit::Passed,
        _ => Exit::Nothing,
    }
}
