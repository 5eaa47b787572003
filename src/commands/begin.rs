//! The first and last steps that commands share: suites, the runtime, signals, the simulated cluster, output and exit code.

use std::time::Duration;

use tokio::runtime::Runtime;

use crate::cli::Options;
use crate::error::Refusal;
use crate::exit_code::Exit;
use crate::output;
use crate::run::Signals;
use crate::sim::Simulation;
use crate::sim::scenario::Scenario;
use crate::suite::{self, Suite};

pub(super) fn start() -> Result<(Runtime, Signals), Refusal> {
    let started = Runtime::new().and_then(|runtime| Ok((runtime, Signals::listen()?)));
    started.map_err(|error| Refusal::start(format!("cannot start: {error}"), ""))
}

/// Stops what still runs, such as a credential plugin; waits at most 1 s for a file system that hangs.
pub(super) fn shut_down(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// The valid suites, and the first error of the others.
pub(super) fn load_suites(options: &Options) -> (Vec<Suite>, Option<Refusal>) {
    let mut suites: Vec<Suite> = Vec::new();
    let mut refusal = None;
    for name in &options.suites {
        match suite::load(name) {
            Ok(suite) if suites.iter().any(|other| other.name == suite.name) => {
                let twice = format!("two suites are named `{}`", suite.name);
                refusal = refusal.or(Some(Refusal::usage(twice, "name each suite once")));
            }
            Ok(suite) => suites.push(suite),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    (suites, refusal)
}

/// Starts the simulated cluster if requested, and points the options at it; dropping it stops the cluster.
pub(super) async fn start_simulation(options: &mut Options) -> Result<Option<Simulation>, Refusal> {
    let Some(scenario) = &options.simulate else { return Ok(None) };
    let started = Simulation::start(Scenario::clone(scenario)).await?;
    options.target = started.target();
    started.data().clone_into(&mut options.host_data);
    Ok(Some(started))
}

pub(super) fn print(lines: impl Iterator<Item = String>) -> Exit {
    lines.for_each(output::print_line);
    Exit::Passed
}

pub(super) fn refuse(refusal: &Refusal) -> Exit {
    output::print_error(refusal);
    refusal.exit
}
