//! Removes the files that tests wrote, without harming a healthy sidecar.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;

use crate::check::{Place, Placed, Shared};
use crate::cluster::{ApiError, Operation, ResourceExt};

/// How long the next cycle is waited for when nothing is known of the sidecar's interval.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(35);

/// Removes every file of the ledger that `which` selects; returns what could not be removed, with the reason.
pub async fn remove(shared: &Shared, which: impl Fn(&Placed) -> bool) -> Vec<(Placed, String)> {
    shared.commands_ended().await;
    let mut files: BTreeMap<(String, String), Vec<Placed>> = BTreeMap::new();
    for placed in shared.ledger.placed(which) {
        files.entry((placed.server.clone(), placed.name.clone())).or_default().push(placed);
    }
    let removals = files.into_values().map(|mut places| async move {
        // The export first: otherwise its sidecar brings the file back.
        places.sort_by_key(|placed| placed.place == Place::Host);
        let mut left = Vec::new();
        for placed in places {
            match remove_one(shared, &placed).await {
                Ok(()) => shared.ledger.removed(&placed),
                Err(problem) => left.push((placed, problem)),
            }
        }
        left
    });
    join_all(removals).await.into_iter().flatten().collect()
}

async fn remove_one(shared: &Shared, placed: &Placed) -> Result<(), String> {
    let (container, folder, select) = match &placed.place {
        Place::Host => return shared.host.remove(&placed.server, &placed.name).map_err(|error| error.to_string()),
        Place::Export { container, folder, select } => (container, folder, select),
    };
    if let Some(cycles) = shared.known_cycles(&placed.server) {
        cycles.quiet(UNKNOWN_INTERVAL).await;
    }
    // Of today's pods, not of the one that it was written in: a new pod's init container may have copied it back.
    let population = shared.watch.population().map_err(|error| error.to_string())?;
    let operation = Operation::Remove { path: format!("{folder}/{}", placed.name) };
    for pod in population.server(select, &placed.server).current() {
        match shared.cluster.exec(&pod.name_any(), container, &operation).await {
            Ok(output) => output.problem().map_or(Ok(()), Err)?,
            // The export ended with its pod.
            Err(ApiError::NotFound { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}
