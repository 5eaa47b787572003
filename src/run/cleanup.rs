//! Removes the files that tests wrote, without harming a healthy sidecar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::recovery;
use crate::check::{Place, Placed, Shared};
use crate::cluster::container;
use crate::cluster::script::may_read_target;
use crate::cluster::server::{has_ended, is_terminating};
use crate::cluster::{ApiError, Cycles, Operation, Population, QUIET, ResourceExt, Select};
use crate::event::{Event, Notice};

/// How long a moment between two cycles is waited for before looking through an export.
const SWEEP: Duration = Duration::from_secs(10);
/// How long a broken watch may take to come back.
const WATCH: Duration = Duration::from_secs(5);

/// Removes every file of the ledger that `which` selects; returns what could not be removed, with the reason.
pub async fn remove(shared: &Shared, which: impl Fn(&Placed) -> bool) -> Vec<(Placed, String)> {
    // First: a pod that is just coming copies files, and others are removed from it as soon as it is there.
    let coming = shared.disrupted();
    join_all(coming.iter().map(|disrupted| recovery::recover(shared, disrupted))).await;
    let servers: BTreeSet<String> = shared.ledger.placed(&which).into_iter().map(|placed| placed.server).collect();
    join_all(servers.iter().map(|server| shared.commands.ended(server))).await;
    shared.host.written().await;
    let mut files: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
    for placed in shared.ledger.placed(which) {
        files.entry(placed.name.clone()).or_default().push(placed);
    }
    let left = join_all(files.into_values().map(|places| remove_file(shared, places))).await;
    left.into_iter().flatten().collect()
}

/// What was found where no test had put it.
#[derive(Debug, Default)]
pub struct Found {
    pub removed: Vec<String>,
    pub problems: Vec<String>,
}

/// Looks once more for files of the run, in places that no test put them into: what is broken may have copied them from
/// one server to another, or back.
pub async fn sweep(shared: &Shared, servers: &[(String, Select)], is_broken: bool) -> Found {
    let mut found = sweep_once(shared, servers, is_broken).await;
    if !found.removed.is_empty() {
        // What copied them once may have done it again.
        let again = sweep_once(shared, servers, is_broken).await;
        found.removed.extend(again.removed);
        found.problems = again.problems;
    }
    found
}

async fn sweep_once(shared: &Shared, servers: &[(String, Select)], is_broken: bool) -> Found {
    let prefix = &format!("{}-", shared.run);
    // The exports first: otherwise a sidecar brings files back.
    // All of them, if anything is broken: a NodePort that leads to another server had files written there.
    let exports = servers.iter().filter(|_| is_broken);
    let exports = join_all(exports.map(|(server, select)| sweep_exports(shared, server, select, prefix))).await;
    let folders = join_all(servers.iter().map(|(server, select)| sweep_folder(shared, server, select, prefix))).await;
    let mut found = Found::default();
    for (place, swept) in exports.into_iter().flatten().chain(folders) {
        match swept {
            Ok(names) => found.removed.extend(names.iter().map(|name| format!("{name} from {place}"))),
            Err(problem) => found.problems.push(format!("perhaps files of this run in {place} ({problem})")),
        }
    }
    found
}

/// A place, and the names of what was removed from it.
type Swept = (String, Result<Vec<String>, String>);

/// Waits for a moment between two cycles, for some time.
async fn rest(shared: &Shared, server: &str, pods: &[&Arc<Pod>]) {
    let limit = Instant::now() + SWEEP;
    for (_, cycles) in pods.iter().flat_map(|pod| shared.followed(server, pod)) {
        cycles.quiet(limit).await;
    }
}

async fn sweep_folder(shared: &Shared, server: &str, select: &Select, prefix: &str) -> Swept {
    if shared.host.holds_temporary(server, prefix).await
        && let Ok(population) = population(shared).await
    {
        // It may be in use; in a moment between two cycles it was left by an rsync that was killed.
        rest(shared, server, &population.server(select, server).current()).await;
    }
    let swept = shared.host.sweep(server, prefix).await.map_err(|error| error.to_string());
    (format!("the folder of {server}"), swept)
}

async fn sweep_exports(shared: &Shared, server: &str, select: &Select, prefix: &str) -> Vec<Swept> {
    let exports: Vec<_> = shared.ledger.places(server).into_iter().filter_map(Place::export).collect();
    let population = match population(shared).await {
        Ok(population) => population,
        Err(problem) => {
            return exports.iter().map(|_| (format!("the export of {server}"), Err(problem.clone()))).collect();
        }
    };
    let its = population.server(select, server);
    let mut swept = Vec::new();
    for (container, folder) in exports {
        // A pod without that container running has nothing of ours: what it will copy is removed from the folder.
        for pod in its.current().into_iter().filter(|pod| container::runs(pod, &container)) {
            rest(shared, server, &[pod]).await;
            let sweep = Operation::Sweep { folder: folder.clone(), prefix: prefix.to_owned() };
            let output = shared.exec(server, &pod.name_any(), &container, &sweep).await;
            let names = output.map_err(|error| error.to_string()).and_then(|output| match output.problem() {
                Some(problem) => Err(problem),
                None => Ok(String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(str::to_owned).collect()),
            });
            swept.push((format!("{folder} of pod {}", pod.name_any()), names));
        }
    }
    swept
}

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

async fn remove_place(shared: &Shared, placed: &Placed, limit: Instant) -> Result<(), String> {
    let server = begun(shared, placed, limit).await?.server(&placed.select, &placed.server);
    // All of today's pods, not only the one that it was written in: a new pod's init container may have copied it back,
    // and a pod that is being deleted still syncs.
    let is_reached = |pod: &&Arc<Pod>| match &placed.place {
        Place::Host => !has_ended(pod),
        Place::Export { container, .. } => !has_ended(pod) && container::runs(pod, container),
    };
    let pods: Vec<_> = server.pods.iter().filter(is_reached).collect();
    let followed = pods.iter().flat_map(|pod| {
        let containers = shared.followed(&placed.server, pod).into_iter();
        containers.filter(|(name, _)| placed.place != Place::Host || may_read_target(pod, name))
    });
    quiet(shared, placed, followed.map(|(_, cycles)| cycles).collect(), limit).await;
    let Place::Export { container, folder } = &placed.place else {
        return shared.host.remove(&placed.server, &placed.name).await.map_err(|error| error.to_string());
    };
    let operation = Operation::Remove { path: format!("{folder}/{}", placed.name) };
    let mut problems = Vec::new();
    problems.extend(server.current().into_iter().filter_map(|pod| unreachable(pod, container)));
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

/// Why nothing can be removed from a pod's export, although it may have been filled: the container does not run, while
/// what fills it has, and what copies it may.
fn unreachable(pod: &Pod, container: &str) -> Option<String> {
    let views = container::all(pod);
    let own = views.iter().find(|view| view.name == container)?;
    let mut first = views.iter().filter(|view| view.kind == container::Kind::Init);
    let is_filled = first.all(container::View::has_completed);
    (own.running_since().is_none() && is_filled).then(|| {
        let (place, state) = (container::place(pod, container), own.describe());
        format!("{place} does not run: {state}; what may be in its export goes with the pod")
    })
}

/// What is there when no pod of the server is just beginning: its init container may be copying the file back.
async fn begun(shared: &Shared, placed: &Placed, limit: Instant) -> Result<Population, String> {
    let Place::Export { container, .. } = &placed.place else { return population(shared).await };
    loop {
        let mut changes = shared.watch.changes(Some(&placed.server));
        let now = population(shared).await?;
        let server = now.server(&placed.select, &placed.server);
        let is_beginning = server.settlement().pending().is_some()
            && server.current().into_iter().any(|pod| !container::runs(pod, container));
        if !is_beginning || tokio::time::timeout_at(limit, changes.changed()).await.is_err() {
            return Ok(now);
        }
    }
}

/// Waits for a moment at which none of the sidecars is, or will soon be, in the middle of a cycle.
async fn quiet(shared: &Shared, placed: &Placed, sidecars: Vec<Arc<Cycles>>, limit: Instant) {
    if sidecars.iter().all(|cycles| cycles.is_quiet()) {
        return;
    }
    let what = "a moment between two sync cycles, to remove its file".to_owned();
    let left = limit.saturating_duration_since(Instant::now());
    shared.emit(Event::TestWaiting { id: placed.test.clone(), what, limit: left });
    while !sidecars.iter().all(|cycles| cycles.is_quiet()) {
        for cycles in &sidecars {
            if !cycles.quiet(limit).await {
                let text = format!("{placed} was removed while nothing was known of the sidecar's cycle");
                return shared.emit(Event::Noticed(Notice { text, is_error: false }));
            }
        }
    }
}

/// What is in the namespace, also if the watch is just being made again.
async fn population(shared: &Shared) -> Result<Population, String> {
    let mut changes = shared.watch.changes(None);
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{output_pod, with};

    #[test]
    fn an_export_that_was_filled_and_cannot_be_reached_may_still_have_files() {
        let unreachable = |changes: &[(&str, Value)]| {
            unreachable(&serde_json::from_value(with(output_pod(), changes)).unwrap(), "nfs-server")
        };
        let crashing = ("/status/containerStatuses/0/state", json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        let filling = ("/status/initContainerStatuses/0/state", json!({"running": {}}));
        assert_eq!(unreachable(&[]), None);
        assert!(unreachable(std::slice::from_ref(&crashing)).unwrap().contains("CrashLoopBackOff"));
        assert_eq!(unreachable(&[crashing, filling]), None, "there is nothing in it yet");
    }
}
