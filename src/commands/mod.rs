//! The commands of the program. Everything that is not a report is printed here. May import every other module.

use futures::FutureExt;

mod begin;
mod doctor;
mod preflight;
mod prepare;
mod reporting;
mod suites;
mod sweep;

use self::begin::{load_suites, print, refuse, shut_down, start, start_simulation};
use self::reporting::{Reporting, reporters};
use crate::cli::{Options, Replay, Request, Sweep};
use crate::exit_code::Exit;
use crate::recording::Recording;
use crate::report::console::ConsoleOptions;
use crate::sim::scenario::{self, Scenario};
use crate::suite;

pub fn run(request: &Request) -> Exit {
    match request {
        Request::Run(options) => suites::run(options),
        Request::Replay(request) => replay(request),
        Request::Doctor(options) => inspect(options, None),
        Request::Sweep(request) => inspect(&request.options, Some(request)),
        Request::Scenarios => scenarios(),
        Request::Explain(check) => explain(check.as_deref()),
        Request::Completion(script) => print([String::from_utf8_lossy(script).into_owned()].into_iter()),
    }
}

fn inspect(options: &Options, sweep: Option<&Sweep>) -> Exit {
    let (suites, refusal) = load_suites(options);
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
            let _simulation = start_simulation(&mut options).await?;
            match sweep {
                None => Ok(Some(doctor::doctor(&options, &suites).boxed_local().await)),
                Some(request) => sweep::sweep(&options, &suites, request).boxed_local().await.map(Some),
            }
        };
        tokio::select! {
            done = work => done,
            () = signals.requested(1) => Ok(None),
        }
    });
    shut_down(runtime);
    match done {
        Ok(Some(true)) => Exit::Passed,
        Ok(Some(false)) => Exit::CouldNotJudge,
        Ok(None) => Exit::Interrupted,
        Err(refusal) => refuse(&refusal),
    }
}

fn replay(request: &Replay) -> Exit {
    let recording = match Recording::read(&request.file) {
        Ok(recording) => recording,
        Err(refusal) => return refuse(&refusal),
    };
    let reporting = Reporting::start(reporters(ConsoleOptions {
        quiet: request.quiet,
        verbose: request.verbose,
        reports: request.report_dir.clone(),
    }));
    match crate::replay::replay(&recording, &reporting.events) {
        Ok(()) => reporting.end(None),
        Err(refusal) => refuse(&refusal),
    }
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
