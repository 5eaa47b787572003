//! The checks of a run and of `doctor` before anything is written.

use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::check::{Access, Check};
use crate::cli::Options;
use crate::cluster::{ApiError, Cluster, Revision, Snapshot, Target, Watch};
use crate::error::{Refusal, suggestion};
use crate::host::Host;
use crate::suite::{self, Suite};
use crate::values;

/// Turns a failed request into a refusal that names the cluster.
pub fn refusal(cluster: &Cluster, error: &ApiError) -> Refusal {
    let place = format!("context `{}` at {}", cluster.context(), cluster.address);
    Refusal::start(format!("{place}: {error}"), error.hint())
}

pub struct Answers {
    pub namespace: Result<bool, Refusal>,
    pub access: Access,
    pub revisions: Result<Vec<Revision>, ApiError>,
    pub watch: Result<Watch, ApiError>,
}

pub async fn values(options: &Options) -> Result<Option<Value>, Refusal> {
    let path = options.values.clone();
    // The file may be a FIFO with a slow writer.
    let given = spawn_blocking(move || path.as_deref().map(values::load).transpose()).await;
    given.map_err(|error| Refusal::start(format!("cannot read the values file: {error}"), ""))?
}

/// Sends all requests at once; `services` also watches Services.
pub async fn ask(cluster: &Cluster, suites: &[Suite], checks: &[&Check], has_values: bool, services: bool) -> Answers {
    let (namespace, access, revisions, watch) = tokio::join!(
        namespace(cluster),
        Access::ask(cluster, checks, has_values),
        cluster.revisions(),
        Box::pin(cluster.watch(suite::wanted(suites), services)),
    );
    Answers { namespace, access, revisions, watch }
}

pub async fn folder(host: &Host) -> Result<(), Refusal> {
    if host.is_folder("").await {
        return Ok(());
    }
    let what = format!("the host folder {} is not a folder", host.root.display());
    Err(Refusal::start(what, "create it, or name the folder that the pods mount with --host-data"))
}

/// Refuses a namespace that does not exist or is being deleted; `false` if the user may not check.
pub async fn namespace(cluster: &Cluster) -> Result<bool, Refusal> {
    match cluster.has_namespace().await.map_err(|error| refusal(cluster, &error))? {
        Some(false) => {
            let what = format!("context `{}` has no namespace `{}`", cluster.context(), cluster.namespace());
            let hint = "install the release there (see README.md), or choose another namespace with --namespace";
            Err(Refusal::start(what, hint))
        }
        exists => Ok(exists.is_some()),
    }
}

/// Refuses if the user lacks a permission that every test needs.
pub fn access(cluster: &Cluster, access: &Access) -> Result<(), Refusal> {
    let lacked = access.missing_for_all();
    let Some(first) = lacked.first() else { return Ok(()) };
    let all = lacked.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut refusal = refusal(cluster, &first.denied());
    refusal.what = format!("context `{}` at {}: no permission to {all}", cluster.context(), cluster.address);
    Err(refusal)
}

/// Describes the release. Refuses a name that Helm does not know if it knows other releases in the namespace; without any
/// Helm release, the objects may have been created without Helm.
pub fn release(
    target: &Target,
    revisions: &Result<Vec<Revision>, ApiError>,
    snapshot: &Result<Snapshot, ApiError>,
    suites: &[Suite],
) -> Result<String, Refusal> {
    let name = &target.release;
    let own = revisions.iter().flatten().find(|release| release.name == *name);
    if let Some(release) = own.filter(|release| release.status != "uninstalled") {
        return Ok(format!("{name}, revision {}, {}", release.revision, release.status));
    }
    let mut known: Vec<&str> = revisions.iter().flatten().map(|release| release.name.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    if own.is_none() && !known.is_empty() {
        let hint = format!(
            "{} its releases are {}; choose one with --release",
            suggestion(name, known.iter().copied()),
            known.join(", ")
        );
        let what = format!("namespace `{}` has no Helm release `{name}`", target.namespace);
        return Err(Refusal::start(what, hint.trim_start()));
    }
    let is_empty = |snapshot: &Snapshot| !suites.iter().any(|suite| snapshot.has_any(&suite.system.pods));
    if snapshot.as_ref().is_ok_and(is_empty) {
        let what = format!("namespace `{}` has no pod and no Deployment of release `{name}`", target.namespace);
        let hint = "install it with helm upgrade --install (see README.md), or choose another release with --namespace and \
                    --release";
        return Err(Refusal::start(what, hint));
    }
    Ok(match revisions {
        Ok(_) => format!("{name}, unknown to Helm"),
        Err(error) => format!("{name}, revision unknown: {error}"),
    })
}
