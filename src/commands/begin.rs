//! What commands begin and end with: suites, a runtime that signals stop, the simulated cluster, words and exit code.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::cli::Options;
use crate::error::{Exit, Refusal};
use crate::output;
use crate::run::Signals;
use crate::sim::Simulation;
use crate::sim::scenario::Scenario;
use crate::suite::{self, Suite};

pub(super) fn start() -> Result<(Runtime, Signals), Refusal> {
    let started = Runtime::new().and_then(|runtime| Ok((runtime, Signals::listen()?)));
    started.map_err(|error| Refusal::start(format!("cannot start: {error}"), ""))
}

/// Ends what still runs, such as a credential plugin; a folder that hangs is hardly waited for.
pub(super) fn end(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// The suites that could be read, and why the first of the others could not.
pub(super) fn load(options: &Options) -> (Vec<Suite>, Option<Refusal>) {
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
pub(super) async fn simulated(options: &mut Options) -> Result<Option<Simulation>, Refusal> {
    let Some(scenario) = &options.simulate else { return Ok(None) };
    let started = Simulation::start(Scenario::clone(scenario)).await?;
    options.target = started.target();
    started.data().clone_into(&mut options.host_data);
    Ok(Some(started))
}

pub(super) fn print(lines: impl Iterator<Item = String>) -> Exit {
    lines.for_each(output::say);
    Exit::Passed
}

pub(super) fn refuse(refusal: &Refusal) -> Exit {
    output::tell(refusal);
    refusal.exit
}
