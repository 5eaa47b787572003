//! Finds out whether a run can start at all, and gathers what its tests share.

use std::sync::mpsc;

use super::preflight::{self, Known};
use crate::check::{self, Access, Check, Need, Shared, revision};
use crate::cli::Options;
use crate::cluster::{self, ApiError, Cluster, Contents, Deployed, Revision, Watch};
use crate::error::Refusal;
use crate::event::{Event, Fact, SIMULATED};
use crate::host::Host;
use crate::run_id;
use crate::sim::INTERVAL;
use crate::sim::scenario::Scenario;
use crate::suite::{PlannedTest, Suite};
use crate::values::{self, Values};

/// From options to what tests share; tells which cluster and release that is.
///
/// # Errors
/// A refusal: no such folder, cluster, namespace or release, a broken values file, or no permission to look.
pub async fn prepare(
    options: &Options,
    suites: &[Suite],
    tests: &[PlannedTest],
    events: mpsc::Sender<Event>,
) -> Result<Shared, Refusal> {
    let needs = |need| tests.iter().any(|test| test.check.needs(need));
    let given = preflight::values(options).await?;
    let host = Host::new(options.host_data.clone());
    if needs(Need::Folder) {
        preflight::folder(&host).await?;
    }
    let cluster = cluster::connect(options.target.clone()).await?;
    let checks: Vec<&Check> = tests.iter().map(|test| &*test.check).collect();
    let has_values = given.is_some();
    let Known { namespace, access, revisions, watch } =
        preflight::ask(&cluster, suites, &checks, has_values, needs(Need::Services)).await;
    namespace?;
    preflight::access(&cluster, &access)?;
    let watch = watch.map_err(|error| preflight::refused(&cluster, &error))?;
    let deployed = async {
        match &revisions {
            Ok(known) if needs(Need::Values) || needs(Need::Release) => deployed(&cluster, known).await,
            Ok(_) => Ok(None),
            Err(error) => Err(error.clone()),
        }
    };
    let (deployed, duration) = tokio::join!(deployed, duration(&cluster, &watch, suites, tests));
    let release = preflight::release(&options.target, &revisions, &watch.population(), suites)?;
    let values = match (given, &options.values) {
        (Some(given), Some(path)) => {
            let defaults = deployed.iter().flatten().next().map(|deployed| deployed.contents.defaults.clone());
            let defaults = defaults.map_or_else(values::chart_defaults, Ok)?;
            Values::new(path.display().to_string(), defaults, &given)
        }
        _ if needs(Need::Values) => values_of(&deployed)?,
        _ => Values::embedded("no test needs values")?,
    };
    let run = run_id::new();
    let judged_by = deployed.as_ref().ok().and_then(|deployed| deployed.as_ref()?.judged_by.clone());
    let release = [release].into_iter().chain(judged_by).collect::<Vec<_>>().join("; ");
    let origin = needs(Need::Values).then(|| values.origin.clone());
    let facts = facts(options, &cluster, release, origin, &run).into_iter();
    let facts = facts.chain(duration).chain(lacking(&access, &checks)).collect();
    let _ = events.send(Event::Connected { facts });
    Ok(Shared::new(cluster, host, run, options.settings.clone(), access, deployed, values, watch, events))
}

/// What the release is, with what tests judge by.
async fn deployed(cluster: &Cluster, revisions: &[Revision]) -> Result<Option<Deployed>, ApiError> {
    let Some(mut deployed) = cluster.deployed(revisions).await? else { return Ok(None) };
    match revision::find_live(cluster, &mut deployed).await {
        // The last deployed revision counts where the objects may not be looked at.
        Ok(()) | Err(ApiError::Forbidden { .. }) => Ok(Some(deployed)),
        Err(error) => Err(error),
    }
}

/// How long the sync cycles will take that tests wait for, if any does.
async fn duration(cluster: &Cluster, watch: &Watch, suites: &[Suite], tests: &[PlannedTest]) -> Option<Fact> {
    let writing = tests.iter().filter_map(|test| Some((test.check.writes()?, test)));
    let (cycles, test) = writing.max_by_key(|(cycles, _)| *cycles).filter(|(cycles, _)| *cycles > 0)?;
    let system = &suites.iter().find(|suite| suite.name == test.id.suite)?.system;
    let pods = watch.population().ok()?.ready(&system.pods, system.sidecar_name());
    let period = check::period(cluster, &pods.first()?.1, system).await?;
    let (all, each) = ((period * u32::from(cycles)).as_secs(), period.as_secs());
    Some(Fact {
        name: "duration".into(),
        value: format!("up to about {all}s: {cycles} sync cycle{} of {each}s", if cycles == 1 { "" } else { "s" }),
    })
}

/// What the user may not do and tests need, if there is any.
fn lacking(access: &Access, checks: &[&Check]) -> Option<Fact> {
    let some = access.missing_for_some(checks);
    let lacked = some.iter().filter(|(_, tests, _)| *tests > 0);
    let lacked: Vec<_> = lacked.map(|(lacked, tests, _)| format!("{lacked} ({tests} tests)")).collect();
    (!lacked.is_empty()).then(|| Fact { name: "lacking".into(), value: lacked.join(", ") })
}

/// The release's own values, else the embedded ones.
fn values_of(deployed: &Result<Option<Deployed>, ApiError>) -> Result<Values, Refusal> {
    match deployed {
        Ok(Some(deployed)) => {
            let Contents { revision, defaults, overrides, .. } = &deployed.contents;
            Ok(Values::new(format!("revision {revision}"), defaults.clone(), overrides))
        }
        Ok(None) => Values::embedded("Helm does not know the release"),
        // Tests that need them are not run then; where an answer was lost, others would be judged by mistake.
        Err(error @ ApiError::Forbidden { .. }) => Values::embedded(&error.to_string()),
        Err(error) => Err(Refusal::start(format!("the values of the release cannot be read: {error}"), error.hint())),
    }
}

fn facts(options: &Options, cluster: &Cluster, release: String, values: Option<String>, run: &str) -> Vec<Fact> {
    let fact = |name: &'static str, value| Fact { name: name.into(), value };
    let reached = format!("{} at {}, Kubernetes {}", cluster.context(), cluster.address, cluster.version.git_version);
    let simulated = options.simulate.as_ref().map(|scenario| {
        let Scenario { name, broken, .. } = scenario.as_ref();
        fact(SIMULATED, format!("scenario {name}, broken: {broken}; sidecars sync every {INTERVAL}s"))
    });
    let facts = [
        simulated,
        Some(fact("cluster", reached)),
        Some(fact("namespace", cluster.namespace().to_owned())),
        Some(fact("release", release)),
        values.map(|origin| fact("values", origin)),
        Some(fact("folder", options.host_data.display().to_string())),
        Some(fact("run", run.to_owned())),
    ];
    facts.into_iter().flatten().collect()
}
