//! What can be asked for on the command line: running suites, what only looks at a cluster, and what needs none. Prints what
//! is no report. Imports all others.

use std::time::Duration;

use tokio::runtime::Runtime;

mod doctor;
mod inspect;
mod offline;
mod preflight;
mod prepare;
mod reporting;
mod suites;
mod sweep;

use crate::cli::{Options, Request};
use crate::error::{Exit, Refusal};
use crate::output;
use crate::report::sanitize;
use crate::run::Signals;
use crate::sim::Simulation;
use crate::sim::scenario::Scenario;
use crate::suite::{self, Suite};

/// Does what was asked for: the whole program behind the command line.
pub fn run(request: &Request) -> Exit {
    match request {
        Request::Run(options) => suites::run(options),
        Request::Replay(asked) => offline::replay(asked),
        Request::Doctor(options) => inspect::inspect(options, None),
        Request::Sweep(asked) => inspect::inspect(&asked.options, Some(asked)),
        Request::Scenarios => offline::scenarios(),
        Request::Lint(files) => offline::lint(files),
        Request::Schema => print([format!("{:#}", suite::schema::schema())].into_iter()),
        Request::Explain(check) => offline::explain(check.as_deref()),
        Request::Completion(script) => print([String::from_utf8_lossy(script).into_owned()].into_iter()),
    }
}

/// What runs, and what ends it.
fn start() -> Result<(Runtime, Signals), Refusal> {
    let started = Runtime::new().and_then(|runtime| Ok((runtime, Signals::listen()?)));
    started.map_err(|error| Refusal::start(format!("cannot start: {error}"), ""))
}

/// Ends what still runs, such as a credential plugin with what it has started; a folder that hangs is hardly waited for.
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

/// Says why not; what a credential plugin said may be in it.
fn refuse(refusal: &Refusal) -> Exit {
    output::tell(sanitize::text(&refusal.to_string()));
    refusal.exit
}
