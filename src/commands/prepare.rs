//! Prepares a run: makes the preflight checks and collects what its tests share.

use std::sync::mpsc;

use super::preflight::{self, Answers};
use crate::check::{self, Access, Check, Need, Shared, revision};
use crate::cli::Options;
use crate::cluster::{self, ApiError, Cluster, Contents, Deployed, Revision, Watch};
use crate::error::Refusal;
use crate::event::{Event, Fact, SIMULATED};
use crate::host::Host;
use crate::report::text::count;
use crate::run_id;
use crate::sim::INTERVAL;
use crate::sim::scenario::Scenario;
use crate::suite::{PlannedTest, Suite};
use crate::values::{self, Values};

/// Connects to the cluster, and sends the facts of the run's header.
/// Errors: a missing folder, cluster, namespace, release or permission, or an invalid values file.
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
    let Answers { namespace, access, revisions, watch } =
        preflight::ask(&cluster, suites, &checks, has_values, needs(Need::Services)).await;
    namespace?;
    preflight::access(&cluster, &access)?;
    let watch = watch.map_err(|error| preflight::refusal(&cluster, &error))?;
    let deployed = async {
        match &revisions {
            Ok(known) if needs(Need::Values) || needs(Need::Release) => deployed(&cluster, known).await,
            Ok(_) => Ok(None),
            Err(error) => Err(error.clone()),
        }
    };
    let (deployed, duration) = tokio::join!(deployed, duration(&cluster, &watch, suites, tests));
    let release = preflight::release(&options.target, &revisions, &watch.snapshot(), suites)?;
    let values = match (given, &options.values) {
        (Some(given), Some(path)) => {
            let defaults = deployed.iter().flatten().next().map(|deployed| deployed.contents.defaults.clone());
            let defaults = defaults.map_or_else(values::chart_defaults, Ok)?;
            Values::new(path.display().to_string(), defaults, &given)
        }
        _ if needs(Need::Values) => values_of(&deployed)?,
        _ => Values::built_in("no test needs values")?,
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

async fn deployed(cluster: &Cluster, revisions: &[Revision]) -> Result<Option<Deployed>, ApiError> {
    let Some(mut deployed) = cluster.deployed(revisions).await? else { return Ok(None) };
    match revision::find_live(cluster, &mut deployed).await {
        // Without permission to read the objects, the last deployed revision counts.
        Ok(()) | Err(ApiError::Forbidden { .. }) => Ok(Some(deployed)),
        Err(error) => Err(error),
    }
}

/// How long the tests wait for sync cycles, if any does.
async fn duration(cluster: &Cluster, watch: &Watch, suites: &[Suite], tests: &[PlannedTest]) -> Option<Fact> {
    let writing = tests.iter().filter_map(|test| Some((test.check.sync_cycles()?, test)));
    let (cycles, test) = writing.max_by_key(|(cycles, _)| *cycles).filter(|(cycles, _)| *cycles > 0)?;
    let system = &suites.iter().find(|suite| suite.name == test.id.suite)?.system;
    let pods = watch.snapshot().ok()?.ready(&system.pods, system.sidecar_name());
    let period = check::period(cluster, &pods.first()?.1, system).await?;
    let (all, each) = ((period * u32::from(cycles)).as_secs(), period.as_secs());
    let cycles = count(cycles.into(), "sync cycle");
    Some(Fact { name: "duration".into(), value: format!("up to about {all} s: {cycles} of {each} s") })
}

/// The missing permissions, each with the number of tests that need it.
fn lacking(access: &Access, checks: &[&Check]) -> Option<Fact> {
    let some = access.missing_for_some(checks);
    let lacked = some.iter().filter(|(_, tests, _)| *tests > 0);
    let lacked: Vec<_> = lacked.map(|(lacked, tests, _)| format!("{lacked} ({})", count(*tests, "test"))).collect();
    (!lacked.is_empty()).then(|| Fact { name: "lacking".into(), value: lacked.join(", ") })
}

/// The release's values, or the built-in ones if they cannot be read.
fn values_of(deployed: &Result<Option<Deployed>, ApiError>) -> Result<Values, Refusal> {
    match deployed {
        Ok(Some(deployed)) => {
            let Contents { revision, defaults, overrides, .. } = &deployed.contents;
            Ok(Values::new(format!("revision {revision}"), defaults.clone(), overrides))
        }
        Ok(None) => Values::built_in("Helm does not know the release"),
        // Without the permission, tests that need values are ERROR; after a lost answer, they would compare with wrong ones.
        Err(error @ ApiError::Forbidden { .. }) => Values::built_in(&error.to_string()),
        Err(error) => Err(Refusal::start(format!("cannot read the values of the release: {error}"), error.hint())),
    }
}

fn facts(options: &Options, cluster: &Cluster, release: String, values: Option<String>, run: &str) -> Vec<Fact> {
    let fact = |name: &'static str, value| Fact { name: name.into(), value };
    let reached = format!("{} at {}, Kubernetes {}", cluster.context(), cluster.address, cluster.version.git_version);
    let simulated = options.simulate.as_ref().map(|scenario| {
        let Scenario { name, about, .. } = scenario.as_ref();
        fact(SIMULATED, format!("scenario {name}: {about}; sidecars sync every {INTERVAL} s"))
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
