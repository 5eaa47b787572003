//! End-to-end tests of the file simulator: seven simulated NAS servers on Kubernetes that share files with a tester's
//! folder. Suites are data; a check observes through the Kubernetes API and the folder, then judges.
//!
//! Arrows: `cli → run → check → cluster`, `check → host`, `suite → check`; `event` stands between `run` and `report`.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::runtime::Runtime;

pub mod check;
pub mod cli;
pub mod cluster;
mod diagnose;
mod doctor;
pub mod error;
pub mod event;
pub mod host;
mod preflight;
mod prepare;
pub mod profile;
pub mod recording;
mod redact;
pub mod replay;
pub mod report;
pub mod run;
mod run_id;
pub mod sim;
pub mod suite;
mod sweep;
pub mod values;

use cli::{Options, Replay, Request, Sweep};
use error::{Exit, Refusal};
use event::{Case, Ending, Event, Outcome};
use recording::Recording;
use report::console::{Console, Look, Verbosity};
use report::{Reporter, diagnostics::Diagnostics, files::Files, github::Github, recorder::Recorder};
use run::{Job, Signals};
use sim::Simulation;
use sim::scenario::{self, Scenario};
use suite::{PlannedCase, Suite};

/// Does what was asked for: the whole program behind the command line.
pub fn run(request: &Request) -> Exit {
    match request {
        Request::Run(options) => run_tests(options),
        Request::Replay(asked) => replay(asked),
        Request::Doctor(options) => inspect(options, None),
        Request::Sweep(asked) => inspect(&asked.options, Some(asked)),
        Request::Scenarios => scenarios(),
        Request::Lint(files) => lint(files),
        Request::Schema => print([format!("{:#}", suite::schema::schema())].into_iter()),
        Request::Explain(check) => explain(check.as_deref()),
        Request::Completion(script) => print([String::from_utf8_lossy(script).into_owned()].into_iter()),
    }
}

/// Loads, selects, connects, runs and reports.
fn run_tests(options: &Options) -> Exit {
    let (suites, refusal) = load(options);
    let selected = refusal.map_or_else(|| suite::select(&suites, &options.arguments), Err);
    if options.arguments.list {
        return selected.map_or_else(|refusal| refuse(&refusal), |cases| list(&cases, options.verbose));
    }
    // Before the first report is written: from then on Ctrl-C ends in a report too.
    let started = Instant::now();
    let prepared = Runtime::new().and_then(|runtime| Ok((runtime, Signals::listen()?)));
    let (runtime, signals) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return refuse(&Refusal::start(format!("cannot start: {error}"), "")),
    };
    // Now, and not when the run is over and lost.
    let selected =
        selected.and_then(|cases| options.record.as_deref().map_or(Ok(()), recording::probe).map(|()| cases));
    let mut reporters = reporters(look(options.arguments.quiet, options.verbose, options.changes, &options.report_dir));
    if let (Some(path), Ok(_)) = (&options.record, &selected) {
        let suites = suites.iter().map(|suite| suite.text.clone()).collect();
        reporters.push(Box::new(Recorder::new(path.clone(), suites)));
    }
    let reporting = Reporting::start(reporters);
    let cases = selected.as_deref().unwrap_or_default();
    let cases = cases.iter().map(|case| Case { id: case.id.clone(), hops: case.check.hops() }).collect();
    reporting.send(Event::RunStarted { at: Timestamp::now(), suites: reported_suites(options, &suites), cases });
    let finished = selected.and_then(|cases| {
        let finished = runtime.block_on(execute(options, &suites, cases, &signals, reporting.events.clone()));
        runtime.shutdown_background();
        finished
    });
    let (ending, exit) = match finished {
        Ok((ending, outcomes)) => (ending.clone(), Exit::of(&ending, &outcomes)),
        Err(refusal) => (Ending::Refused(refusal.to_string()), refuse(&refusal)),
    };
    reporting.send(Event::RunFinished { ending, elapsed: started.elapsed() });
    reporting.end(exit)
}

/// Looks whether a run could start, or what earlier runs have left: on the cluster that is asked for, and without tests.
fn inspect(options: &Options, sweeps: Option<&Sweep>) -> Exit {
    let (suites, refusal) = load(options);
    if let Some(refusal) = refusal {
        return refuse(&refusal);
    }
    let (runtime, signals) = match Runtime::new().and_then(|runtime| Ok((runtime, Signals::listen()?))) {
        Ok(started) => started,
        Err(error) => return refuse(&Refusal::start(format!("cannot start: {error}"), "")),
    };
    let mut options = options.clone();
    let done = runtime.block_on(async {
        let work = async {
            let _simulation = simulated(&mut options).await?;
            match sweeps {
                None => Ok(Some(doctor::doctor(&options, &suites).boxed_local().await)),
                Some(asked) => sweep::sweep(&options, &suites, asked).boxed_local().await.map(Some),
            }
        };
        tokio::select! {
            done = work => done,
            () = signals.asked(1) => Ok(None),
        }
    });
    runtime.shutdown_background();
    match done {
        Ok(Some(true)) => Exit::Passed,
        Ok(Some(false)) => Exit::CouldNotJudge,
        Ok(None) => Exit::Interrupted,
        Err(refusal) => refuse(&refusal),
    }
}

/// The simulated cluster, if one is asked for, as the one to look at; it ends when this is dropped.
async fn simulated(options: &mut Options) -> Result<Option<Simulation>, Refusal> {
    let Some(scenario) = &options.simulate else { return Ok(None) };
    let started = Simulation::start(Scenario::clone(scenario), sim::INTERVAL).await?;
    options.target = started.target();
    started.data().clone_into(&mut options.host_data);
    Ok(Some(started))
}

/// Judges a recorded run again and reports.
fn replay(asked: &Replay) -> Exit {
    let recording = match Recording::read(&asked.file) {
        Ok(recording) => recording,
        Err(refusal) => return refuse(&refusal),
    };
    let reporting = Reporting::start(reporters(look(asked.quiet, asked.verbose, false, &asked.report_dir)));
    match replay::replay(&recording, &reporting.events) {
        Ok(outcomes) => reporting.end(Exit::of(&recording.ending, &outcomes)),
        Err(refusal) => refuse(&refusal),
    }
}

fn look(quiet: bool, verbose: bool, tells_changes: bool, reports: &Path) -> Look {
    let verbosity = match (quiet, verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    Look { verbosity, tells_changes, reports: reports.to_owned() }
}

fn reporters(look: Look) -> Vec<Box<dyn Reporter>> {
    let folder = look.reports.clone();
    let files = Files::new(folder.clone());
    let mut reporters: Vec<Box<dyn Reporter>> =
        vec![Box::new(Console::new(look)), Box::new(files), Box::new(Diagnostics::new(folder))];
    if let Some(github) = Github::of_this_step() {
        reporters.push(Box::new(github));
    }
    reporters
}

/// The reporters at work, in a thread of their own.
struct Reporting {
    events: mpsc::Sender<Event>,
    problems: JoinHandle<Vec<String>>,
}

impl Reporting {
    fn start(mut reporters: Vec<Box<dyn Reporter>>) -> Self {
        let (events, received) = mpsc::channel();
        Self { events, problems: std::thread::spawn(move || report::consume(&received, &mut reporters)) }
    }

    fn send(&self, event: Event) {
        // The thread ends only after the last event.
        let _ = self.events.send(event);
    }

    /// Waits for the last report; a run is not green if a report could not be written.
    fn end(self, exit: Exit) -> Exit {
        let problems = self.problems.join().unwrap_or_else(|_| vec!["the reports panicked".to_owned()]);
        for problem in &problems {
            eprintln!("error: {problem}");
        }
        if exit == Exit::Passed && !problems.is_empty() { Exit::CouldNotJudge } else { exit }
    }
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
    signals: &Signals,
    events: mpsc::Sender<Event>,
) -> Result<(Ending, Vec<Outcome>), Refusal> {
    // It ends when this is dropped.
    let mut simulation = None;
    let mut options = options.clone();
    let prepared = async {
        simulation = simulated(&mut options).await?;
        prepare::prepare(&options, suites, &cases, events).await
    };
    let shared = tokio::select! {
        prepared = prepared => Arc::new(prepared?),
        () = signals.asked(1) => return Ok((Ending::Interrupted, Vec::new())),
    };
    let suite_of = |case: &PlannedCase| suites.iter().find(|suite| suite.name == case.id.suite);
    let jobs = cases.into_iter().filter_map(|case| {
        let suite = suite_of(&case)?;
        Some(Job { case, select: suite.pods.clone(), servers: suite.servers.clone() })
    });
    Ok(run::run(shared, jobs.collect(), options.arguments.test_threads.unwrap_or(usize::MAX), signals).await)
}

/// As libtest lists tests, for scripts; or for people, with what each is, needs and disturbs.
fn list(cases: &[PlannedCase], is_verbose: bool) -> Exit {
    if !is_verbose {
        return print(cases.iter().map(|case| format!("{}: test", case.id)));
    }
    let width = cases.iter().map(|case| case.id.to_string().len()).max().unwrap_or_default();
    print(cases.iter().map(|case| format!("{:width$}  {}", case.id.to_string(), suite::explain::line(&case.check))))
}

/// Says what is wrong with suite files.
fn lint(files: &[String]) -> Exit {
    let linted: Vec<_> = files.iter().map(|file| suite::lint::lint(file)).collect();
    for linted in &linted {
        linted.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
        linted.problems.iter().for_each(|problem| eprintln!("{problem}"));
    }
    print(linted.iter().filter_map(|linted| linted.good.clone()));
    if linted.iter().all(|linted| linted.good.is_some()) { Exit::Passed } else { Exit::Usage }
}

/// Says what a kind of check is and takes, or which kinds there are.
fn explain(check: Option<&str>) -> Exit {
    match check {
        Some(check) => print(suite::explain::explain(check).into_iter()),
        None => print(suite::explain::list().into_iter()),
    }
}

/// Lists the scenarios of simulated clusters.
fn scenarios() -> Exit {
    scenario::all().map_or_else(|refusal| refuse(&refusal), |all| print(all.iter().map(Scenario::to_string)))
}

fn print(mut lines: impl Iterator<Item = String>) -> Exit {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe has read enough.
    let _ = lines.try_for_each(|line| writeln!(out, "{line}"));
    Exit::Passed
}

fn refuse(refusal: &Refusal) -> Exit {
    eprintln!("{refusal}");
    refusal.exit
}
