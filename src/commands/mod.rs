//! What can be asked for on the command line: running suites, what only looks at a cluster, and what needs none. Prints what
//! is no report. Imports all others.

use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Runtime;

mod doctor;
mod preflight;
mod prepare;
mod reporting;
mod suites;
mod sweep;

use self::reporting::{Reporting, reporters};
use crate::cli::{Options, Replay, Request, Sweep};
use crate::error::{Exit, Refusal};
use crate::output;
use crate::recording::Recording;
use crate::report::console::Look;
use crate::run::Signals;
use crate::sim::Simulation;
use crate::sim::scenario::{self, Scenario};
use crate::suite::{self, PlannedCase, Suite};

pub fn run(request: &Request) -> Exit {
    match request {
        Request::Run(options) => suites::run(options),
        Request::Replay(asked) => replay(asked),
        Request::Doctor(options) => inspect(options, None),
        Request::Sweep(asked) => inspect(&asked.options, Some(asked)),
        Request::Scenarios => scenarios(),
        Request::Explain(check) => explain(check.as_deref()),
        Request::Completion(script) => print([String::from_utf8_lossy(script).into_owned()].into_iter()),
    }
}

fn start() -> Result<(Runtime, Signals), Refusal> {
    let started = Runtime::new().and_then(|runtime| Ok((runtime, Signals::listen()?)));
    started.map_err(|error| Refusal::start(format!("cannot start: {error}"), ""))
}

/// Ends what still runs, such as a credential plugin; a folder that hangs is hardly waited for.
fn end(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_secs(1));
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

/// The simulated cluster, if one is asked for, as the one to look at; it ends when this is dropped.
async fn simulated(options: &mut Options) -> Result<Option<Simulation>, Refusal> {
    let Some(scenario) = &options.simulate else { return Ok(None) };
    let started = Simulation::start(Scenario::clone(scenario)).await?;
    options.target = started.target();
    started.data().clone_into(&mut options.host_data);
    Ok(Some(started))
}

fn print(lines: impl Iterator<Item = String>) -> Exit {
    lines.for_each(output::say);
    Exit::Passed
}

fn refuse(refusal: &Refusal) -> Exit {
    output::tell(refusal);
    refusal.exit
}

/// Looks whether a run could start, or what earlier runs have left: on the cluster that is asked for, and without tests.
fn inspect(options: &Options, sweeps: Option<&Sweep>) -> Exit {
    let (suites, refusal) = load(options);
    if let Some(refusal) = refusal {
        return refuse(&refusal);
    }
    let (runtime, signals) = match start() {
        Ok(started) => started,
        Err(refusal) => return refuse(&refusal),
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
    end(runtime);
    match done {
        Ok(Some(true)) => Exit::Passed,
        Ok(Some(false)) => Exit::CouldNotJudge,
        Ok(None) => Exit::Interrupted,
        Err(refusal) => refuse(&refusal),
    }
}

fn replay(asked: &Replay) -> Exit {
    let recording = match Recording::read(&asked.file) {
        Ok(recording) => recording,
        Err(refusal) => return refuse(&refusal),
    };
    let reporting = Reporting::start(reporters(Look {
        quiet: asked.quiet,
        verbose: asked.verbose,
        reports: asked.report_dir.clone(),
    }));
    match crate::replay::replay(&recording, &reporting.events) {
        Ok(()) => reporting.end(None),
        Err(refusal) => refuse(&refusal),
    }
}

/// As libtest lists tests, for scripts; or for people, with what each is, needs and disturbs.
fn list(cases: &[PlannedCase], is_verbose: bool) -> Exit {
    if !is_verbose {
        return print(cases.iter().map(|case| format!("{}: test", case.id)));
    }
    let width = cases.iter().map(|case| case.id.to_string().len()).max().unwrap_or_default();
    print(cases.iter().map(|case| format!("{:width$}  {}", case.id.to_string(), suite::explain::line(&case.check))))
}

fn explain(check: Option<&str>) -> Exit {
    match check {
        Some(check) => print(suite::explain::explain(check).into_iter()),
        None => print(suite::explain::list().into_iter()),
    }
}

fn scenarios() -> Exit {
    scenario::all().map_or_else(|refusal| refuse(&refusal), |all| print(all.iter().map(Scenario::to_string)))
}
