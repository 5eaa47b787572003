//! `doctor`: looks at everything that a run needs, in seconds, and says what to do. Writes nothing.
//!
//! What a run would be refused for is looked at by the same functions. Imports `preflight`, `cluster`, `check`.

use k8s_openapi::jiff::SignedDuration;

mod finding;
mod folder;
mod network;

use finding::{Finding, Level};

use super::preflight;
use crate::check::{Access, Check};
use crate::cli::Options;
use crate::cluster::{self, ApiError, Cluster, Network, Permission, Population};
use crate::host::Host;
use crate::output;
use crate::report::sanitize;
use crate::suite::{self, Suite};

/// Clocks that are further apart than this are worth a word: the `Date` header has whole seconds.
const CLOCK: SignedDuration = SignedDuration::from_secs(5);

/// Looks at everything that the suites need; `true` if nothing is FAIL.
pub async fn doctor(options: &Options, suites: &[Suite]) -> bool {
    let mut report = Report { is_well: true };
    let host = Host::new(options.host_data.clone());
    for finding in folder::folders(&host, suites).await {
        report.say(&finding);
    }
    let Some(cluster) = reach(options, &mut report).await else {
        return report.is_well;
    };
    let checks: Vec<&Check> = suites.iter().flat_map(|suite| &suite.cases).map(|case| &*case.check).collect();
    let (namespace, access, revisions, watch) = tokio::join!(
        preflight::namespace(&cluster),
        Access::ask(&cluster, &checks, options.values.is_some()),
        cluster.revisions(),
        cluster.watch(suite::wanted(suites), true),
    );
    let namespace = match namespace {
        Ok(true) => Finding::pass("namespace", cluster.namespace()),
        Ok(false) => Finding::pass("namespace", format!("{}: whether it exists may not be asked", cluster.namespace())),
        Err(refusal) => Finding::refused("namespace", refusal),
    };
    report.say(&namespace);
    for finding in permissions(&cluster, &access, &checks) {
        report.say(&finding);
    }
    let (population, network) = match &watch {
        Ok(watch) => (watch.population(), watch.network()),
        Err(error) => (Err(error.clone()), Err(error.clone())),
    };
    if namespace.level == Level::Pass {
        report.say(&release(options, &revisions, &population, suites));
    }
    // Of permissions enough was said.
    let unlisted = population.as_ref().err().or(network.as_ref().err());
    if let Some(error) = unlisted.filter(|error| !matches!(error, ApiError::Forbidden { .. })) {
        report.say(&Finding::fail("objects", error.to_string(), error.hint()));
    }
    let Ok(population) = population else { return report.is_well };
    for finding in pods(&population, suites) {
        report.say(&finding);
    }
    inside(options, &cluster, &host, suites, &population, network.ok().as_ref(), &mut report).await;
    report.is_well
}

/// Says what was found, as it is found.
struct Report {
    is_well: bool,
}

impl Report {
    fn say(&mut self, finding: &Finding) {
        self.is_well &= finding.level != Level::Fail;
        // Names and errors in it come from pods and plugins.
        let [seen, hint] = [&finding.seen, &finding.hint].map(|part| sanitize::text(part));
        output::say(Finding { seen, hint, ..finding.clone() });
    }
}

/// The kubeconfig, the API server's name, and the cluster with its clock.
async fn reach(options: &Options, report: &mut Report) -> Option<Cluster> {
    let target = &options.target;
    let known = match cluster::read(target) {
        Ok(known) => known,
        Err(refusal) => {
            report.say(&Finding::refused("kubeconfig", refusal));
            return None;
        }
    };
    report.say(&Finding::pass("kubeconfig", format!("{}, context {}", known.origin, target.context)));
    report.say(&network::resolves("dns", &known.host, "the API server").await);
    match preflight::patiently(target, Box::pin(cluster::reach(target.clone(), known))).await {
        Ok(cluster) => {
            report.say(&Finding::pass(
                "cluster",
                format!("{} answers, Kubernetes {}", cluster.address, cluster.version.git_version),
            ));
            report.say(&clock(cluster.ahead));
            Some(cluster)
        }
        Err(refusal) => {
            report.say(&Finding::refused("cluster", refusal));
            None
        }
    }
}

fn clock(ahead: SignedDuration) -> Finding {
    let way = if ahead.is_negative() { "behind" } else { "ahead of" };
    let seen = format!("the cluster's clock is {:.0}s {way} this machine's", ahead.abs().as_secs_f64());
    if ahead.abs() < CLOCK {
        return Finding::pass("clock", seen);
    }
    let hint = "set this machine's clock or the cluster's. Tests take ages by the cluster's clock and are not misled; but \
                logs and reports tell different times, and credentials may seem to have expired";
    Finding::warn("clock", seen, hint)
}

fn permissions(cluster: &Cluster, access: &Access, checks: &[&Check]) -> Vec<Finding> {
    let what = "permissions";
    if let Some(error) = &access.unknown {
        let hint = "tests find out by themselves what they may not do";
        return vec![Finding::warn(what, format!("not known: {error}"), hint)];
    }
    let mut found = Vec::new();
    if let Err(refusal) = preflight::access(cluster, access) {
        found.push(Finding::refused(what, refusal));
    }
    for (lacked, tests, lost) in access.lacked_by_some(checks) {
        let error = lacked.lacking();
        let seen = |then: String| format!("no permission to {lacked}: {then}");
        found.push(match tests {
            0 => Finding::warn(what, seen(lost.to_owned()), error.hint()),
            tests => Finding::fail(what, seen(format!("{tests} tests cannot be judged")), error.hint()),
        });
    }
    if found.is_empty() {
        let wanted = access.wanted(checks);
        let seen = format!("all {} that the suites ask for: {}", wanted.len(), by_verb(&wanted));
        found.push(Finding::pass(what, seen));
    }
    found
}

/// Permissions, with the resources of a verb together.
fn by_verb(permissions: &[Permission]) -> String {
    let same = permissions.chunk_by(|one, other| one.verb == other.verb);
    let told = same.map(|same| {
        let resources: Vec<&str> = same.iter().map(|permission| permission.resource).collect();
        format!("{} {}", same[0].verb, resources.join(", "))
    });
    told.collect::<Vec<_>>().join("; ")
}

fn release(
    options: &Options,
    revisions: &Result<Vec<cluster::Release>, ApiError>,
    population: &Result<Population, ApiError>,
    suites: &[Suite],
) -> Finding {
    match preflight::release(&options.target, revisions, population, suites) {
        Ok(seen) if seen.ends_with(", deployed") => Finding::pass("release", seen),
        Ok(seen) => match revisions {
            Ok(_) => Finding::warn("release", seen, "the tests of the release, helm status and helm history say more"),
            Err(error @ ApiError::Forbidden { .. }) => Finding::warn("release", seen, error.hint()),
            Err(error) => Finding::fail("release", seen, error.hint()),
        },
        Err(refusal) => Finding::refused("release", refusal),
    }
}

/// Servers whose newest pod does not come.
fn pods(population: &Population, suites: &[Suite]) -> Vec<Finding> {
    let obstacles = suite::servers(suites).filter_map(|(suite, server)| {
        let obstacle = population.server(&suite.pods, server).obstacle()?;
        let seen = format!("{server}: {}: {}", obstacle.object, obstacle.said);
        Some(match obstacle.hope {
            None => Finding::fail("pods", seen, obstacle.hint),
            Some(hope) => Finding::warn("pods", format!("{seen}; {hope}"), obstacle.hint),
        })
    });
    obstacles.collect()
}

/// What is seen in the cluster and from here at the same time: the mounts, and the node.
async fn inside(
    options: &Options,
    cluster: &Cluster,
    host: &Host,
    suites: &[Suite],
    population: &Population,
    network: Option<&Network>,
    report: &mut Report,
) {
    let given = options.wishes.node_address.as_deref();
    let node = async {
        match network {
            Some(network) => network::node(population, network, suites, given).await,
            None => vec![Finding::warn("node", "Services cannot be looked at", "see what is said of it above")],
        }
    };
    let name = async {
        match given {
            Some(name) => Some(network::resolves("dns", name, "--node-address").await),
            None => None,
        }
    };
    let (mounts, name, node) = tokio::join!(folder::mounts(cluster, host, population, suites), name, node);
    for finding in mounts.into_iter().chain(name).chain(node) {
        report.say(&finding);
    }
}
