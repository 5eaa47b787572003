//! Finds out whether a run can start at all, and gathers what its tests share.

use std::sync::mpsc;

use rand::Rng;

use crate::check::{Need, Shared};
use crate::cli::Options;
use crate::cluster::{self, ApiError, Cluster, Deployed, Release};
use crate::error::{Refusal, suggestion};
use crate::event::{Event, Fact, SIMULATED};
use crate::host::Host;
use crate::sim::INTERVAL;
use crate::sim::scenario::Scenario;
use crate::suite::PlannedCase;
use crate::values::{self, Values};

/// From options to what tests share; tells which cluster and release that is.
///
/// # Errors
/// A refusal: no such folder, cluster, namespace or release, a broken values file, or no permission to look.
pub async fn prepare(options: &Options, cases: &[PlannedCase], events: mpsc::Sender<Event>) -> Result<Shared, Refusal> {
    let needs = |need| cases.iter().any(|case| case.check.needs(need));
    let given = options.values.as_deref().map(values::load).transpose()?;
    let host = Host::new(options.host_data.clone());
    if needs(Need::Folder) && !host.is_folder("").await {
        let what = format!("the tester's folder {} is not a folder", options.host_data.display());
        return Err(Refusal::start(what, "name the folder that the pods share with --host-data, or make it"));
    }
    let cluster = cluster::connect(options.target.clone()).await?;
    let refused = |error: &ApiError| {
        let place = format!("context `{}` at {}", cluster.context(), cluster.address);
        Refusal::start(format!("{place}: {error}"), error.hint())
    };
    let releases = async {
        let revisions = cluster.revisions().await;
        let Ok(known) = &revisions else {
            let deployed = revisions.as_ref().map(|_| None).map_err(Clone::clone);
            return (revisions, deployed, Vec::new());
        };
        let deployed = async { if needs(Need::Values) { cluster.deployed(known).await } else { Ok(None) } };
        let (deployed, changes) = tokio::join!(deployed, Box::pin(cluster.changes(known)));
        let changes = changes.unwrap_or_else(|error| vec![format!("not known: {error}")]);
        (revisions, deployed, changes)
    };
    let watch = cluster.watch(needs(Need::Services));
    let (namespace, (revisions, deployed, changes), watch) = tokio::join!(cluster.has_namespace(), releases, watch);
    if namespace.map_err(|error| refused(&error))? == Some(false) {
        let what = format!("context `{}` has no namespace `{}`", cluster.context(), cluster.namespace());
        return Err(Refusal::start(
            what,
            "install the release into it (README.md), or choose another with --namespace",
        ));
    }
    let watch = watch.map_err(|error| refused(&error))?;
    let release = release(options, revisions)?;
    let values = match (given, &options.values) {
        (Some(given), Some(path)) => {
            let defaults = deployed.iter().flatten().next().map(|deployed| deployed.defaults.clone());
            let defaults = defaults.map_or_else(values::chart_defaults, Ok)?;
            Values::new(path.display().to_string(), defaults, &given)
        }
        _ if needs(Need::Values) => values_of(&deployed)?,
        _ => Values::embedded("no test needs values")?,
    };
    let run: String = rand::rng().sample_iter(rand::distr::Alphanumeric).take(8).map(char::from).collect();
    let run = format!("e2e-{}", run.to_lowercase());
    let mut facts = facts(options, &cluster, release, &run);
    if needs(Need::Values) {
        let place = facts.iter().position(|fact| fact.name == "folder").unwrap_or_default();
        facts.insert(place, Fact { name: "values".into(), value: values.origin.clone() });
    }
    let _ = events.send(Event::Connected { facts, changes });
    Ok(Shared::new(cluster, host, run, options.wishes.clone(), deployed, values, watch, events))
}

/// The release's own values, else the embedded ones.
fn values_of(deployed: &Result<Option<Deployed>, ApiError>) -> Result<Values, Refusal> {
    match deployed {
        Ok(Some(deployed)) => {
            let origin = format!("of revision {}", deployed.values_of);
            Ok(Values::new(origin, deployed.defaults.clone(), &deployed.given))
        }
        Ok(None) => Values::embedded("Helm does not know the release"),
        // Whoever may not look has to say what is expected; where an answer was lost, others would be judged by mistake.
        Err(error @ (ApiError::Forbidden { .. } | ApiError::Unauthorized { .. })) => {
            Values::embedded(&error.to_string())
        }
        Err(error) => Err(Refusal::start(format!("the values of the release cannot be read: {error}"), error.hint())),
    }
}

/// What is known of the release. One that Helm does not know is refused only where Helm knows others: it is mistyped
/// then, while a namespace without any may be filled by other means than Helm.
fn release(options: &Options, revisions: Result<Vec<Release>, ApiError>) -> Result<String, Refusal> {
    let name = &options.target.release;
    let revisions = match revisions {
        Ok(revisions) => revisions,
        Err(error) => return Ok(format!("{name}, revision unknown: {error}")),
    };
    if let Some(release) = revisions.iter().find(|release| release.name == *name) {
        return Ok(format!("{name}, revision {}, {}", release.revision, release.status));
    }
    let mut known: Vec<&str> = revisions.iter().map(|release| release.name.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    if known.is_empty() {
        return Ok(format!("{name}, unknown to Helm"));
    }
    let hint =
        format!("{} it has: {}; choose one with --release", suggestion(name, known.iter().copied()), known.join(", "));
    let what = format!("namespace `{}` has no Helm release `{name}`", options.target.namespace);
    Err(Refusal::start(what, hint.trim_start()))
}

fn facts(options: &Options, cluster: &Cluster, release: String, run: &str) -> Vec<Fact> {
    let cluster_fact =
        format!("{} at {}, Kubernetes {}", cluster.context(), cluster.address, cluster.version.git_version);
    let simulated = options.simulate.as_ref().map(|scenario| {
        let Scenario { name, broken, .. } = scenario.as_ref();
        let value = format!("scenario {name}, broken: {broken}; sidecars sync every {INTERVAL}s");
        Fact { name: SIMULATED.into(), value }
    });
    let facts = [
        Fact { name: "cluster".into(), value: cluster_fact },
        Fact { name: "namespace".into(), value: cluster.namespace().to_owned() },
        Fact { name: "release".into(), value: release },
        Fact { name: "folder".into(), value: options.host_data.display().to_string() },
        Fact { name: "run".into(), value: run.to_owned() },
    ];
    simulated.into_iter().chain(facts).collect()
}
