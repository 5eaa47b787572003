//! What can be asked for on the command line: running suites, what only looks at a cluster, and what needs none. Prints what
//! is no report. Imports all others.

use futures::FutureExt;

mod begin;
mod doctor;
mod preflight;
mod prepare;
mod reporting;
mod suites;
mod sweep;

use self::begin::{end, load, print, refuse, simulated, start};
use self::reporting::{Reporting, reporters};
use crate::cli::{Options, Replay, Request, Sweep};
use crate::error::Exit;
use crate::recording::Recording;
use crate::report::console::Look;
use crate::sim::scenario::{self, Scenario};
use crate::suite;

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

fn explain(check: Option<&str>) -> Exit {
    match check {
        Some(check) => print(suite::explain::explain(check).into_iter()),
        None => print(suite::explain::list().into_iter()),
    }
}

fn scenarios() -> Exit {
    scenario::all().map_or_else(|refusal| refuse(&refusal), |all| print(all.iter().map(Scenario::to_string)))
}
