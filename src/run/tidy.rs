//! Removes the files that tests wrote, without harming a healthy sidecar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use crate::check::{Place, Placed, Shared};
use crate::cluster::container;
use crate::cluster::server::{has_ended, is_terminating};
use crate::cluster::{ApiError, Cycles, Operation, Population, QUIET, ResourceExt, Select};
use crate::event::Event;

/// How long a broken watch may take to come back.
const WATCH: Duration = Duration::from_secs(5);

/// Removes every file of the ledger that `which` selects; returns what could not be removed, with the reason.
pub async fn remove(shared: &Shared, which: impl Fn(&Placed) -> bool) -> Vec<(Placed, String)> {
    let servers: BTreeSet<String> = shared.ledger.placed(&which).into_iter().map(|placed| placed.server).collect();
    join_all(servers.iter().map(|server| shared.commands_ended(server))).await;
    let mut files: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
    for placed in shared.ledger.placed(which) {
        files.entry(placed.name.clone()).or_default().push(placed);
    }
    join_all(files.into_values().map(|places| remove_file(shared, places))).await.into_iter().flatten().collect()
}

/// Looks once more for files of the run, in places that no test put them into: what is broken may have copied them from
/// one server to another, or back. Returns what was found and removed, and what could not be looked at.
pub async fn sweep(shared: &Shared, servers: &[(String, Select)], broken: &BTreeSet<String>) -> Vec<String> {
    let prefix = format!("{}-", shared.run);
    let exports = servers.iter().filter(|(server, _)| broken.contains(server));
    let exports = join_all(exports.map(|(server, select)| sweep_exports(shared, server, select, &prefix))).await;
    let folders = join_all(servers.iter().map(|(server, _)| sweep_folder(shared, server, &prefix))).await;
    exports.into_iter().chain(folders).flatten().collect()
}

async fn sweep_folder(shared: &Shared, server: &str, prefix: &str) -> Vec<String> {
    // A folder that is not there holds nothing.
    let found = shared.host.sweep(server, prefix).await.unwrap_or_default();
    found
        .into_iter()
        .map(|name| format!("removed {name} from the folder of {server}, into which it had been copied"))
        .collect()
}

async fn sweep_exports(shared: &Shared, server: &str, select: &Select, prefix: &str) -> Vec<String> {
    let Ok(population) = population(shared).await else { return Vec::new() };
    let its = population.server(select, server);
    let pods: Vec<_> = its.pods.iter().filter(|pod| !has_ended(pod) && !is_terminating(pod)).collect();
    let mut found = Vec::new();
    for place in shared.ledger.places(server) {
        let Place::Export { container, folder } = place else { continue };
        for pod in &pods {
            let sweep = Operation::Sweep { folder: folder.clone(), prefix: prefix.to_owned() };
            let Ok(output) = shared.exec(server, &pod.name_any(), &container, &sweep).await else { continue };
            let names = String::from_utf8_lossy(&output.stdout).into_owned();
            let names = names.split_terminator('\0');
            found.extend(
                names.map(|name| format!("removed {folder}/{name} from {server}, into which it had been copied")),
            );
        }
    }
    found
}

/// Removes one file from all its places.
async fn remove_file(shared: &Shared, mut places: Vec<Placed>) -> Vec<(Placed, String)> {
    let limit = Instant::now() + QUIET;
    // The export first: otherwise its sidecar brings the file back.
    places.sort_by_key(|placed| placed.place == Place::Host);
    let mut left = Vec::new();
    for placed in places {
        let removed = if left.is_empty() {
            remove_place(shared, &placed, limit).await
        } else {
            Err("it is still in the export, from where it would come back".to_owned())
        };
        match removed {
            Ok(()) => shared.ledger.removed(&placed),
            Err(problem) => left.push((placed, problem)),
        }
    }
    left
}

/// Removes a file from one place.
async fn remove_place(shared: &Shared, placed: &Placed, limit: Instant) -> Result<(), String> {
    let server = population(shared).await?.server(&placed.select, &placed.server);
    // All of today's pods, not only the one that it was written in: a new pod's init container may have copied it back,
    // and a pod that is being deleted still syncs.
    let pods: Vec<_> = server.pods.iter().filter(|pod| !has_ended(pod)).collect();
    let followed = pods.iter().flat_map(|pod| {
        let containers = shared.followed(&placed.server, pod).into_iter();
        containers.filter(|(name, _)| placed.place != Place::Host || container::may_read_target(pod, name))
    });
    quiet(shared, placed, followed.map(|(_, cycles)| cycles).collect(), limit).await;
    let Place::Export { container, folder } = &placed.place else {
        return shared.host.remove(&placed.server, &placed.name).await.map_err(|error| error.to_string());
    };
    let operation = Operation::Remove { path: format!("{folder}/{}", placed.name) };
    let mut problems = Vec::new();
    for pod in pods {
        let problem = match shared.exec(&placed.server, &pod.name_any(), container, &operation).await {
            Ok(output) => output.problem(),
            // The export ended with its pod.
            Err(ApiError::NotFound { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        // A pod that is being deleted takes its export with it.
        problems.extend(problem.filter(|_| !is_terminating(pod)));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

/// Waits for a moment at which none of the sidecars is, or will soon be, in the middle of a cycle.
async fn quiet(shared: &Shared, placed: &Placed, sidecars: Vec<Arc<Cycles>>, limit: Instant) {
    // Nobody listens any more only when the run is over.
    let tell = |event| drop(shared.events.send(event));
    if sidecars.iter().all(|cycles| cycles.is_quiet()) {
        return;
    }
    let what = "a moment between two sync cycles, to remove its file".to_owned();
    tell(Event::CaseWaiting { id: placed.case.clone(), what, limit: limit.saturating_duration_since(Instant::now()) });
    while !sidecars.iter().all(|cycles| cycles.is_quiet()) {
        for cycles in &sidecars {
            if !cycles.quiet(limit).await {
                let text = format!("{placed} was removed while nothing was known of the sidecar's cycle");
                return tell(Event::Noticed { text });
            }
        }
    }
}

/// What is in the namespace, also if the watch is just being made again.
async fn population(shared: &Shared) -> Result<Population, String> {
    let mut changes = shared.watch.changes();
    let again = async {
        loop {
            if let Ok(population) = shared.watch.population() {
                return population;
            }
            let _ = changes.changed().await;
        }
    };
    match tokio::time::timeout(WATCH, again).await {
        Ok(population) => Ok(population),
        Err(_) => shared.watch.population().map_err(|error| error.to_string()),
    }
}
