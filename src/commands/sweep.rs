//! `sweep`: files of earlier runs that were killed before they could tidy up. Lists them, and removes them if asked, as a
//! run removes its own: from the exports first, between two cycles of their sidecars.
//!
//! A file is a run's only if all of its name is made as runs make it ([`run_id`]). A run is over if its newest file is older
//! than any test takes: nothing else tells, because the run may be at work on another machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};

use futures::FutureExt;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::preflight;
use crate::check::{Access, Export, Need, Place, Placed, Shared, System};
use crate::cli::{Options, Sweep};
use crate::cluster::server::has_ended;
use crate::cluster::{self, Operation, Permission, ResourceExt, container};
use crate::error::Refusal;
use crate::event::{Event, TestId};
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
        let left = tidy::remove(&shared, |_| true).await.into_iter();
        found.problems.extend(left.map(|(placed, problem)| format!("could not remove {placed}: {problem}")));
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
    if let Some(lacked) = cluster.missing_permissions(&wanted).await.unwrap_or_default().first() {
        return Err(preflight::refused(&cluster, &lacked.denied()));
    }
    let watch = watch.map_err(|error| preflight::refused(&cluster, &error))?;
    let values = Values::embedded("no test needs values")?;
    let (settings, access) = (options.settings.clone(), Access::default());
    // Nobody listens: what is waited for and noticed here is said otherwise.
    let (events, _) = mpsc::channel::<Event>();
    Ok(Shared::new(cluster, host, run_id::PREFIX.to_owned(), settings, access, Ok(None), values, watch, events))
}

/// Looks through a server's folder, and its exports in all its pods.
async fn look(shared: &Shared, suites: &[Suite], suite: &Suite, server: &str) -> Found {
    let names: Vec<String> = suites.iter().flat_map(|suite| suite.system.names().cloned()).collect();
    let left = |name: &str, place: Place, changed: Timestamp, kib: u64| {
        // By the clock that makes it younger: which one its time is of depends on who wrote it.
        let age = shared.cluster.now().min(Timestamp::now()).duration_since(changed);
        let test = TestId { suite: "sweep".into(), slug: "sweep".into(), server: Some(server.to_owned()) };
        let placed =
            Placed { test, server: server.to_owned(), select: suite.system.pods.clone(), place, name: name.to_owned() };
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
    for system in systems(suites, server) {
        let Export { container, folder, .. } = &system.export;
        for pod in its.pods.iter().filter(|pod| !has_ended(pod) && container::runs(pod, container)) {
            // Followed so that it is known when a file can go.
            if container::named(pod, system.sidecar_name()).is_some() {
                shared.cycles(server, &pod.name_any(), system);
            }
            let listed = match listed(shared, server, &pod.name_any(), &system.export).await {
                Ok(listed) => listed,
                Err(problem) => {
                    let place = container::place(pod, container);
                    found.problems.push(format!("{folder} in {place} cannot be looked at: {problem}"));
                    continue;
                }
            };
            for (changed, kib, name) in listed {
                let place = Place::Export { container: container.clone(), folder: folder.clone() };
                // Of several pods any will do: it is removed from all of them.
                let is_new = |left: &Left| found.left.iter().all(|other| other.placed != left.placed);
                found.left.extend(left(&name, place, changed, kib).filter(is_new));
            }
        }
    }
    if !found.problems.is_empty() {
        // What is still in an export would come back into the folder.
        found.left.retain(|left| left.placed.place != Place::Host);
    }
    found
}

/// What begins like a run's files in an export: when it was changed, its KiB and its name.
async fn listed(
    shared: &Shared,
    server: &str,
    pod: &str,
    export: &Export,
) -> Result<Vec<(Timestamp, u64, String)>, String> {
    let ages = Operation::Ages { folder: export.folder.clone(), prefix: run_id::PREFIX.to_owned() };
    let output = shared.exec(server, pod, &export.container, &ages).await.map_err(|error| error.to_string())?;
    let file = |line: &str| {
        let [changed, kib, name] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { return None };
        Some((Timestamp::from_second(changed.parse().ok()?).ok()?, kib.parse().ok()?, name.to_owned()))
    };
    match output.problem() {
        Some(problem) => Err(problem),
        None => Ok(String::from_utf8_lossy(&output.stdout).split_terminator('\0').filter_map(file).collect()),
    }
}

/// The systems of the suites whose tests write on a server, each export once for each sidecar.
fn systems<'a>(suites: &'a [Suite], server: &str) -> Vec<&'a Arc<System>> {
    let writes = |suite: &&Suite| {
        let mut its = suite.tests.iter().filter(|test| test.id.server.as_deref() == Some(server));
        its.any(|test| test.check.writes().is_some())
    };
    let place = |system: &System| {
        let Export { container, folder, .. } = &system.export;
        [container.clone(), folder.clone(), system.sidecar_name().to_owned()]
    };
    let mut known = BTreeSet::new();
    let systems = suites.iter().filter(writes).map(|suite| &suite.system);
    systems.filter(|system| known.insert(place(system))).collect()
}
