//! What a run and `doctor` look at before anything is written, and what each refuses. Imports `check`, `cluster`, `host`,
//! `suite`.

use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::check::{Access, Check};
use crate::cli::Options;
use crate::cluster::{ApiError, Cluster, Population, Revision, Target, Watch};
use crate::error::{Refusal, suggestion};
use crate::host::Host;
use crate::suite::{self, Suite};
use crate::values;

/// A failed request as a refusal that says which cluster it was.
pub fn refused(cluster: &Cluster, error: &ApiError) -> Refusal {
    let place = format!("context `{}` at {}", cluster.context(), cluster.address);
    Refusal::start(format!("{place}: {error}"), error.hint())
}

/// What the cluster says before anything is written.
pub struct Known {
    pub namespace: Result<bool, Refusal>,
    pub access: Access,
    /// Of all Helm releases in the namespace.
    pub revisions: Result<Vec<Revision>, ApiError>,
    pub watch: Result<Watch, ApiError>,
}

/// The values file that was named, if any.
pub async fn values(options: &Options) -> Result<Option<Value>, Refusal> {
    let path = options.values.clone();
    // Whoever writes into a FIFO may take long.
    let given = spawn_blocking(move || path.as_deref().map(values::load).transpose()).await;
    given.map_err(|error| Refusal::start(format!("cannot read the values file: {error}"), ""))?
}

/// Asks for all of it at the same time; on demand Services are watched, too.
pub async fn ask(cluster: &Cluster, suites: &[Suite], checks: &[&Check], has_values: bool, services: bool) -> Known {
    let (namespace, access, revisions, watch) = tokio::join!(
        namespace(cluster),
        Access::ask(cluster, checks, has_values),
        cluster.revisions(),
        Box::pin(cluster.watch(suite::wanted(suites), services)),
    );
    Known { namespace, access, revisions, watch }
}

/// The host folder is there.
pub async fn folder(host: &Host) -> Result<(), Refusal> {
    if host.is_folder("").await {
        return Ok(());
    }
    let what = format!("the host folder {} is not a folder", host.root.display());
    Err(Refusal::start(what, "name the folder that the pods share with --host-data, or make it"))
}

/// The namespace is there, and stays; `false` if the user may not look.
pub async fn namespace(cluster: &Cluster) -> Result<bool, Refusal> {
    match cluster.has_namespace().await.map_err(|error| refused(cluster, &error))? {
        Some(false) => {
            let what = format!("context `{}` has no namespace `{}`", cluster.context(), cluster.namespace());
            let hint = "install the release into it (README.md), or choose another with --namespace";
            Err(Refusal::start(what, hint))
        }
        known => Ok(known.is_some()),
    }
}

/// The user may do what every test needs.
pub fn access(cluster: &Cluster, access: &Access) -> Result<(), Refusal> {
    let lacked = access.missing_for_all();
    let Some(first) = lacked.first() else { return Ok(()) };
    let all = lacked.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut refusal = refused(cluster, &first.denied());
    refusal.what = format!("context `{}` at {}: no permission to {all}", cluster.context(), cluster.address);
    Err(refusal)
}

/// The release is there, known to Helm or not; what is known of it. One that Helm does not know, where it knows others, is
/// mistyped; a namespace without any may have been filled by other means than Helm.
pub fn release(
    target: &Target,
    revisions: &Result<Vec<Revision>, ApiError>,
    population: &Result<Population, ApiError>,
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
            "{} it has: {}; choose one with --release",
            suggestion(name, known.iter().copied()),
            known.join(", ")
        );
        let what = format!("namespace `{}` has no Helm release `{name}`", target.namespace);
        return Err(Refusal::start(what, hint.trim_start()));
    }
    // What cannot be looked at may be there.
    let is_empty = |population: &Population| !suites.iter().any(|suite| population.has_any(&suite.system.pods));
    if population.as_ref().is_ok_and(is_empty) {
        let what =
            format!("namespace `{}` has nothing of the release `{name}`: no pod, no Deployment", target.namespace);
        let hint =
            "install it with helm upgrade --install (README.md), or choose another with --namespace and --release";
        return Err(Refusal::start(what, hint));
    }
    Ok(match revisions {
        Ok(_) => format!("{name}, unknown to Helm"),
        Err(error) => format!("{name}, revision unknown: {error}"),
    })
}
