//! `sweep`: files of earlier runs that were killed before they could tidy up. Lists them, and removes them if asked, as a
//! run removes its own: from the exports first, between two cycles of their sidecars.
//!
//! A file is a run's only if all of its name is made as runs make it ([`run_id`]). A run is over if its newest file is older
//! than any test takes: nothing else tells, because the run may be at work on another machine.

use std::collections::BTreeMap;
use std::sync::mpsc;

use futures::FutureExt;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::preflight;
use crate::check::{Access, Export, Need, Place, Placed, Shared, Sidecar, System};
use crate::cli::{Options, Sweep};
use crate::cluster::server::has_ended;
use crate::cluster::{self, Operation, Permission, ResourceExt, container};
use crate::error::Refusal;
use crate::event::{CaseId, Event};
use crate::host::Host;
use crate::output::{say, tell};
use crate::redact;
use crate::run::tidy;
use crate::run_id;
use crate::suite::{self, Suite};
use crate::values::Values;

/// A folder of a run with more files than this is not looked through.
const MOST: usize = 100_000;

#[derive(Debug)]
struct Left {
    run: String,
    placed: Placed,
    age: SignedDuration,
    kib: u64,
}

#[derive(Default)]
struct Found {
    left: Vec<Left>,
    problems: Vec<String>,
}

/// Lists what earlier runs have left, and removes it if that is asked for; `false` if something could not be looked at or
/// removed.
pub async fn sweep(options: &Options, suites: &[Suite], asked: &Sweep) -> Result<bool, Refusal> {
    let shared = reach(options, suites).await?;
    let mut found = Found::default();
    let looks = suite::servers(suites).map(|(suite, server)| look(&shared, suites, suite, server).boxed_local());
    for looked in join_all(looks).await {
        found.left.extend(looked.left);
        found.problems.extend(looked.problems);
    }
    let mut runs: BTreeMap<String, Vec<Left>> = BTreeMap::new();
    for left in found.left {
        runs.entry(left.run.clone()).or_default().push(left);
    }
    let mut count = 0;
    for (run, left) in &runs {
        let newest = left.iter().map(|left| left.age).min().unwrap_or_default();
        if newest < SignedDuration::try_from(asked.older_than).unwrap_or(SignedDuration::MAX) {
            let (files, why) = (left.len(), "the run may still be going on");
            say(format!("kept: {files} files of {run}, of which the newest is {newest:#}: {why}"));
            continue;
        }
        for Left { placed, age, kib, .. } in left {
            say(redact::text(&format!("{placed}: {kib} KiB, {age:#} old")));
            shared.ledger.place(placed.clone());
            count += 1;
        }
    }
    if asked.removes {
        found.problems.extend(remove(&shared).await);
        say(format!("removed {} of {count} files", count - shared.ledger.placed(|_| true).len()));
    } else if count > 0 {
        say(format!("{count} files of earlier runs; --yes removes them"));
    } else {
        say("no files of earlier runs");
    }
    for problem in &found.problems {
        tell(format!("error: {problem}"));
    }
    Ok(found.problems.is_empty())
}

/// The cluster and the folder, as a run has them that has not written anything.
async fn reach(options: &Options, suites: &[Suite]) -> Result<Shared, Refusal> {
    let host = Host::new(options.host_data.clone());
    preflight::folder(&host).await?;
    let cluster = cluster::connect(options.target.clone()).await?;
    let (namespace, watch) = tokio::join!(preflight::namespace(&cluster), cluster.watch(suite::wanted(suites), false));
    namespace?;
    // Without them an export cannot be looked at, or a sidecar would stumble.
    let wanted: Vec<Permission> =
        [Need::Commands, Need::Logs].iter().flat_map(|need| need.permissions()).copied().collect();
    if let Some(lacked) = cluster.lacked(&wanted).await.unwrap_or_default().first() {
        return Err(preflight::refused(&cluster, &lacked.lacking()));
    }
    let watch = watch.map_err(|error| preflight::refused(&cluster, &error))?;
    let values = Values::embedded("no test needs values")?;
    let (wishes, access) = (options.wishes.clone(), Access::default());
    // Nobody listens: what is waited for and noticed here is said otherwise.
    let (events, _) = mpsc::channel::<Event>();
    Ok(Shared::new(cluster, host, run_id::PREFIX.to_owned(), wishes, access, Ok(None), values, watch, events))
}

/// Looks through a server's folder, and its exports in all its pods.
async fn look(shared: &Shared, suites: &[Suite], suite: &Suite, server: &str) -> Found {
    let names: Vec<String> = suites.iter().flat_map(|suite| suite.system.names().cloned()).collect();
    let left = |name: &str, place: Place, changed: Timestamp, kib: u64| {
        // By the clock that makes it younger: which one its time is of depends on who wrote it.
        let age = shared.cluster.now().min(Timestamp::now()).duration_since(changed);
        let case = CaseId { suite: "sweep".into(), slug: "sweep".into(), server: Some(server.to_owned()) };
        let placed =
            Placed { case, server: server.to_owned(), select: suite.system.pods.clone(), place, name: name.to_owned() };
        let age = SignedDuration::from_mins(age.as_mins().max(0));
        Some(Left { run: run_id::of(name, &names)?.to_owned(), placed, age, kib })
    };
    let mut found = Found::default();
    match shared.host.listed(server, run_id::PREFIX, MOST).await {
        Ok(listed) => found.left.extend(listed.iter().filter_map(|(name, known)| {
            let changed = Timestamp::from_millisecond(known.modified).ok()?;
            left(name, Place::Host, changed, known.bytes.div_ceil(1024))
        })),
        Err(error) => found.problems.push(format!("the folder of {server} cannot be looked at: {error}")),
    }
    let population = match shared.watch.population() {
        Ok(population) => population,
        Err(error) => {
            found.problems.push(format!("the exports of {server} cannot be looked at: {error}"));
            return found;
        }
    };
    let its = population.server(&suite.system.pods, server);
    for (export, sidecars) in exports(suites, server) {
        let Export { container, folder, .. } = export;
        for pod in its.pods.iter().filter(|pod| !has_ended(pod) && container::runs(pod, container)) {
            // Followed so that it is known when a file can go.
            for sidecar in &sidecars {
                if container::named(pod, &sidecar.container).is_some() {
                    shared.cycles(server, &pod.name_any(), sidecar);
                }
            }
            match listed(shared, server, pod, export).await {
                Ok(listed) => {
                    for (changed, kib, name) in listed {
                        let place = Place::Export { container: container.clone(), folder: folder.clone() };
                        // Of several pods any will do: it is removed from all of them.
                        let is_new = |left: &Left| found.left.iter().all(|other| other.placed != left.placed);
                        let known = left(&name, place, changed, kib).filter(is_new);
                        found.left.extend(known);
                    }
                }
                Err(problem) => {
                    let place = container::place(pod, container);
                    found.problems.push(format!("{folder} in {place} cannot be looked at: {problem}"));
                }
            }
        }
    }
    if !found.problems.is_empty() {
        // What is still in an export would come back into the folder.
        found.left.retain(|left| left.placed.place != Place::Host);
    }
    found
}

/// What is in an export and called like files of runs: when it was changed, its size in KiB, and its name.
async fn listed(
    shared: &Shared,
    server: &str,
    pod: &Pod,
    export: &Export,
) -> Result<Vec<(Timestamp, u64, String)>, String> {
    let ages = Operation::Ages { folder: export.folder.clone(), prefix: run_id::PREFIX.to_owned() };
    let output = shared.exec(server, &pod.name_any(), &export.container, &ages).await;
    let output = output.map_err(|error| error.to_string())?;
    let known = |line: &str| {
        let [changed, kib, name] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { return None };
        Some((Timestamp::from_second(changed.parse().ok()?).ok()?, kib.parse().ok()?, name.to_owned()))
    };
    let listed = || String::from_utf8_lossy(&output.stdout).split_terminator('\0').filter_map(known).collect();
    output.problem().map_or_else(|| Ok(listed()), Err)
}

/// Where the suites' tests write on a server, and what copies from there.
fn exports<'a>(suites: &'a [Suite], server: &str) -> Vec<(&'a Export, Vec<&'a Sidecar>)> {
    let mut exports: Vec<(&Export, Vec<&Sidecar>)> = Vec::new();
    let writes = |suite: &&Suite| {
        let mut its = suite.cases.iter().filter(|case| case.id.server.as_deref() == Some(server));
        its.any(|case| case.check.writes().is_some())
    };
    for System { export, sidecar, .. } in suites.iter().filter(writes).map(|suite| &*suite.system) {
        let is_same = |other: &Export| other.container == export.container && other.folder == export.folder;
        match exports.iter_mut().find(|(other, _)| is_same(other)) {
            Some((_, sidecars)) => sidecars.extend(sidecar),
            None => exports.push((export, sidecar.iter().collect())),
        }
    }
    exports
}

async fn remove(shared: &Shared) -> Vec<String> {
    let left = tidy::remove(shared, |_| true).await;
    left.into_iter().map(|(placed, problem)| format!("could not remove {placed}: {problem}")).collect()
}
