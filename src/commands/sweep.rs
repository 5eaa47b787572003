//! `sweep`: lists the files that killed runs left behind, and removes them on request as a run cleans up: from the exports
//! first, between two cycles of their sidecars.
//!
//! A file belongs to a run only if its whole name has the form that runs use ([`run_id`]). A run counts as ended if its newest
//! file is older than any test takes: the run may be on another machine, so nothing else shows that it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};

use futures::FutureExt;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::preflight;
use crate::check::{Access, Export, Location, Need, Shared, System, TestFile};
use crate::cli::{Options, Sweep};
use crate::cluster::server::has_ended;
use crate::cluster::{self, Operation, Permission, ResourceExt, container};
use crate::error::Refusal;
use crate::event::{Event, TestId};
use crate::host::Host;
use crate::output::{print_error, print_line};
use crate::redact;
use crate::report::text::count;
use crate::run::cleanup;
use crate::run_id;
use crate::suite::{self, Suite};
use crate::values::Values;

/// The most files that are counted in a folder of a run.
const MAX_FILES: usize = 100_000;

#[derive(Debug)]
struct Leftover {
    run: String,
    file: TestFile,
    age: SignedDuration,
    kib: u64,
}

#[derive(Default)]
struct Found {
    leftovers: Vec<Leftover>,
    problems: Vec<String>,
}

/// Lists leftover files, and removes them on request; `false` if a place could not be listed or a file not removed.
pub async fn sweep(options: &Options, suites: &[Suite], request: &Sweep) -> Result<bool, Refusal> {
    let shared = connect(options, suites).await?;
    let mut found = Found::default();
    let searches = suite::servers(suites).map(|(suite, server)| search(&shared, suites, suite, server).boxed_local());
    for its in join_all(searches).await {
        found.leftovers.extend(its.leftovers);
        found.problems.extend(its.problems);
    }
    let mut runs: BTreeMap<String, Vec<Leftover>> = BTreeMap::new();
    for leftover in found.leftovers {
        runs.entry(leftover.run.clone()).or_default().push(leftover);
    }
    let mut total = 0;
    for (run, leftovers) in &runs {
        let newest = leftovers.iter().map(|leftover| leftover.age).min().unwrap_or_default();
        if newest < SignedDuration::try_from(request.older_than).unwrap_or(SignedDuration::MAX) {
            let files = count(leftovers.len(), "file");
            let why = format!("the newest is {newest:#} old, and the run may still be in progress");
            print_line(format!("kept {files} of {run}: {why}"));
            continue;
        }
        for Leftover { file, age, kib, .. } in leftovers {
            print_line(redact::text(&format!("{file}: {kib} KiB, {age:#} old")));
            shared.ledger.register(file.clone());
            total += 1;
        }
    }
    if request.remove {
        let left = cleanup::remove(&shared, |_| true).await.into_iter();
        found.problems.extend(left.map(|(file, problem)| format!("cannot remove {file}: {problem}")));
        let removed = total - shared.ledger.files(|_| true).len();
        print_line(format!("removed {removed} of {}", count(total, "leftover file")));
    } else if total > 0 {
        print_line(format!("{}; remove with --yes", count(total, "leftover file")));
    } else {
        print_line("no leftover files");
    }
    for problem in &found.problems {
        print_error(format!("error: {problem}"));
    }
    Ok(found.problems.is_empty())
}

/// Connects as a run does before it writes anything.
async fn connect(options: &Options, suites: &[Suite]) -> Result<Shared, Refusal> {
    let host = Host::new(options.host_data.clone());
    preflight::folder(&host).await?;
    let cluster = cluster::connect(options.target.clone()).await?;
    let (namespace, watch) = tokio::join!(preflight::namespace(&cluster), cluster.watch(suite::wanted(suites), false));
    namespace?;
    // To list the exports, and to keep out of the sidecars' cycles.
    let wanted: Vec<Permission> =
        [Need::Commands, Need::Logs].iter().flat_map(|need| need.permissions()).copied().collect();
    if let Some(lacked) = cluster.missing_permissions(&wanted).await.unwrap_or_default().first() {
        return Err(preflight::refusal(&cluster, &lacked.denied()));
    }
    let watch = watch.map_err(|error| preflight::refusal(&cluster, &error))?;
    let values = Values::built_in("no test needs values")?;
    let (settings, access) = (options.settings.clone(), Access::default());
    // Nothing receives the events: `sweep` reports no tests.
    let (events, _) = mpsc::channel::<Event>();
    Ok(Shared::new(cluster, host, run_id::PREFIX.to_owned(), settings, access, Ok(None), values, watch, events))
}

async fn search(shared: &Shared, suites: &[Suite], suite: &Suite, server: &str) -> Found {
    let names: Vec<String> = suites.iter().flat_map(|suite| suite.system.names().cloned()).collect();
    let leftover = |name: &str, location: Location, changed: Timestamp, kib: u64| {
        // By the clock that makes it younger: its mtime may be of either.
        let age = shared.cluster.now().min(Timestamp::now()).duration_since(changed);
        let test = TestId { suite: "sweep".into(), slug: "sweep".into(), server: Some(server.to_owned()) };
        let file = TestFile {
            test,
            server: server.to_owned(),
            select: suite.system.pods.clone(),
            location,
            name: name.to_owned(),
        };
        let age = SignedDuration::from_mins(age.as_mins().max(0));
        Some(Leftover { run: run_id::of(name, &names)?.to_owned(), file, age, kib })
    };
    let mut found = Found::default();
    match shared.host.listed(server, run_id::PREFIX, MAX_FILES).await {
        Ok(listed) => found.leftovers.extend(listed.iter().filter_map(|(name, stat)| {
            let changed = Timestamp::from_millisecond(stat.modified).ok()?;
            leftover(name, Location::Host, changed, stat.bytes.div_ceil(1024))
        })),
        Err(error) => found.problems.push(format!("cannot list the host folder of {server}: {error}")),
    }
    let snapshot = match shared.watch.snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => {
            found.problems.push(format!("cannot list the exports of {server}: {error}"));
            return found;
        }
    };
    let its = snapshot.server(&suite.system.pods, server);
    for system in systems(suites, server) {
        let Export { container, folder, .. } = &system.export;
        for pod in its.pods.iter().filter(|pod| !has_ended(pod) && container::runs(pod, container)) {
            // Follow the log, to remove files between two cycles.
            if container::named(pod, system.sidecar_name()).is_some() {
                shared.followed_log(server, &pod.name_any(), system);
            }
            let listed = match listed(shared, server, &pod.name_any(), &system.export).await {
                Ok(listed) => listed,
                Err(problem) => {
                    let place = container::label(pod, container);
                    found.problems.push(format!("cannot list {folder} in {place}: {problem}"));
                    continue;
                }
            };
            for (changed, kib, name) in listed {
                let location = Location::Export { container: container.clone(), folder: folder.clone() };
                // Once for all pods: it is removed from each of them.
                let is_new = |one: &Leftover| found.leftovers.iter().all(|other| other.file != one.file);
                found.leftovers.extend(leftover(&name, location, changed, kib).filter(is_new));
            }
        }
    }
    if !found.problems.is_empty() {
        // A sidecar would copy a removed file again from an export that could not be listed.
        found.leftovers.retain(|leftover| leftover.file.location != Location::Host);
    }
    found
}

/// The mtime, size in KiB and name of what has the prefix of runs in an export.
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

/// The systems of the suites that write files for a server, once for each pair of export and sidecar.
fn systems<'a>(suites: &'a [Suite], server: &str) -> Vec<&'a Arc<System>> {
    let writes = |suite: &&Suite| {
        let mut its = suite.tests.iter().filter(|test| test.id.server.as_deref() == Some(server));
        its.any(|test| test.check.sync_cycles().is_some())
    };
    let place = |system: &System| {
        let Export { container, folder, .. } = &system.export;
        [container.clone(), folder.clone(), system.sidecar_name().to_owned()]
    };
    let mut known = BTreeSet::new();
    let systems = suites.iter().filter(writes).map(|suite| &suite.system);
    systems.filter(|system| known.insert(place(system))).collect()
}
