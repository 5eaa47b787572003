//! Removes the files that tests wrote, without harming a healthy sidecar.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;

use crate::check::{Place, Placed, Shared};
use crate::cluster::ResourceExt;
use crate::cluster::server::{has_ended, is_terminating};
use crate::cluster::{ApiError, Operation, Population};
use crate::event::Event;

/// How long a broken watch may take to come back.
const WATCH: Duration = Duration::from_secs(5);

/// Removes every file of the ledger that `which` selects; returns what could not be removed, with the reason.
pub async fn remove(shared: &Shared, which: impl Fn(&Placed) -> bool) -> Vec<(Placed, String)> {
    if shared.ledger.placed(&which).is_empty() {
        return Vec::new();
    }
    shared.commands_ended().await;
    let mut files: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
    for placed in shared.ledger.placed(which) {
        files.entry(placed.name.clone()).or_default().push(placed);
    }
    join_all(files.into_values().map(|places| remove_file(shared, places))).await.into_iter().flatten().collect()
}

/// Removes one file from all its places.
async fn remove_file(shared: &Shared, mut places: Vec<Placed>) -> Vec<(Placed, String)> {
    // The export first: otherwise its sidecar brings the file back.
    places.sort_by_key(|placed| placed.place == Place::Host);
    let mut left = Vec::new();
    for placed in places {
        let removed = match &placed.place {
            _ if !left.is_empty() => Err("it is still in the export, from where it would come back".to_owned()),
            Place::Host => from_folder(shared, &placed).await,
            Place::Export { container, folder } => from_export(shared, &placed, container, folder).await,
        };
        match removed {
            Ok(()) => shared.ledger.removed(&placed),
            Err(problem) => left.push((placed, problem)),
        }
    }
    left
}

async fn from_folder(shared: &Shared, placed: &Placed) -> Result<(), String> {
    // Also here a vanishing file ends a running rsync with 24, if it has --delete and so reads the folder.
    if let Ok(population) = population(shared).await {
        for pod in population.server(&placed.select, &placed.server).pods.iter().filter(|pod| !has_ended(pod)) {
            quiet(shared, &pod.name_any(), placed).await;
        }
    }
    shared.host.remove(&placed.server, &placed.name).await.map_err(|error| error.to_string())
}

/// From today's pods, not from the one that it was written in: a new pod's init container may have copied it back,
/// and a pod that is being deleted still syncs.
async fn from_export(shared: &Shared, placed: &Placed, container: &str, folder: &str) -> Result<(), String> {
    let server = population(shared).await?.server(&placed.select, &placed.server);
    let operation = Operation::Remove { path: format!("{folder}/{}", placed.name) };
    for pod in server.pods.iter().filter(|pod| !has_ended(pod)) {
        let name = pod.name_any();
        quiet(shared, &name, placed).await;
        let problem = match shared.cluster.exec(&name, container, &operation).await {
            Ok(output) => output.problem(),
            // The export ended with its pod.
            Err(ApiError::NotFound { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        // A pod that is being deleted takes its export with it.
        if let Some(problem) = problem.filter(|_| !is_terminating(pod)) {
            return Err(problem);
        }
    }
    Ok(())
}

/// Waits for a moment between two cycles of the pod's sidecar.
async fn quiet(shared: &Shared, pod: &str, placed: &Placed) {
    for cycles in shared.followed(&placed.server, pod) {
        if !cycles.quiet().await {
            let text = format!(
                "{placed} was removed while nothing was known of the sidecar's cycle; look whether it came back"
            );
            // Nobody listens any more only when the run is over.
            let _ = shared.events.send(Event::Noticed { text });
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
