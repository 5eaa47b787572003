//! What looks at a cluster without running tests: `doctor` and `sweep`.

use futures::FutureExt;

use super::{doctor, end, load, refuse, simulated, start, sweep};
use crate::cli::{Options, Sweep};
use crate::error::Exit;

/// Looks whether a run could start, or what earlier runs have left: on the cluster that is asked for, and without tests.
pub(super) fn inspect(options: &Options, sweeps: Option<&Sweep>) -> Exit {
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
