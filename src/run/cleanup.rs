//! Removes the files of tests without failing a healthy sidecar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::recovery;
use crate::check::{Location, Shared, TestFile};
use crate::cluster::container;
use crate::cluster::script::may_read_target;
use crate::cluster::server::{has_ended, is_terminating};
use crate::cluster::{ApiError, FollowedLog, Operation, PAUSE_TIMEOUT, ResourceExt, Select, Snapshot};
use crate::event::{Event, Notice};

/// How long to wait for a pause between sync cycles before searching an export.
const PAUSE_LIMIT: Duration = Duration::from_secs(10);
const WATCH_LIMIT: Duration = Duration::from_secs(5);

/// Removes the files of the ledger that `which` selects; returns those that could not be removed, with the reason.
pub async fn remove(shared: &Shared, which: impl Fn(&TestFile) -> bool) -> Vec<(TestFile, String)> {
    // First, because the init container of a new pod copies files.
    let disrupted = shared.disrupted();
    join_all(disrupted.iter().map(|disrupted| recovery::recover(shared, disrupted))).await;
    let servers: BTreeSet<String> = shared.ledger.files(&which).into_iter().map(|file| file.server).collect();
    join_all(servers.iter().map(|server| shared.commands.ended(server))).await;
    shared.host.writes_finished().await;
    let mut files: BTreeMap<String, Vec<TestFile>> = BTreeMap::new();
    for file in shared.ledger.files(which) {
        files.entry(file.name.clone()).or_default().push(file);
    }
    let left = join_all(files.into_values().map(|locations| remove_file(shared, locations))).await;
    left.into_iter().flatten().collect()
}

/// Files of the run where no test wrote them.
#[derive(Debug, Default)]
pub struct Strays {
    pub removed: Vec<String>,
    pub problems: Vec<String>,
}

/// Removes files of the run from locations where no test wrote them: a broken system may copy them to another server, or back.
pub async fn remove_strays(shared: &Shared, servers: &[(String, Select)], is_broken: bool) -> Strays {
    let mut strays = remove_strays_once(shared, servers, is_broken).await;
    if !strays.removed.is_empty() {
        // They may have been copied again in the meantime.
        let again = remove_strays_once(shared, servers, is_broken).await;
        strays.removed.extend(again.removed);
        strays.problems = again.problems;
    }
    strays
}

async fn remove_strays_once(shared: &Shared, servers: &[(String, Select)], is_broken: bool) -> Strays {
    let prefix = &format!("{}-", shared.run);
    // The exports first, from which a sidecar would copy the files again. If anything is broken, the exports of all servers:
    // a NodePort may lead to another server.
    let exports = servers.iter().filter(|_| is_broken);
    let exports = join_all(exports.map(|(server, select)| sweep_exports(shared, server, select, prefix))).await;
    let folders = join_all(servers.iter().map(|(server, select)| sweep_folder(shared, server, select, prefix))).await;
    let mut strays = Strays::default();
    for (place, swept) in exports.into_iter().flatten().chain(folders) {
        match swept {
            Ok(names) => strays.removed.extend(names.iter().map(|name| format!("{name} from {place}"))),
            Err(problem) => strays
                .problems
                .push(format!("cannot search {place} for files of this run ({problem}); check it by hand")),
        }
    }
    strays
}

/// A place, and the names of the files removed from it.
type Swept = (String, Result<Vec<String>, String>);

async fn wait_for_pause(shared: &Shared, server: &str, pods: &[&Arc<Pod>]) {
    let deadline = Instant::now() + PAUSE_LIMIT;
    for (_, log) in pods.iter().flat_map(|pod| shared.followed_logs(server, pod)) {
        log.wait_for_pause(deadline).await;
    }
}

async fn sweep_folder(shared: &Shared, server: &str, select: &Select, prefix: &str) -> Swept {
    if shared.host.holds_temporary(server, prefix).await
        && let Ok(snapshot) = snapshot(shared).await
    {
        // rsync may still write it; one that exists between two cycles was left by a killed rsync.
        wait_for_pause(shared, server, &snapshot.server(select, server).current()).await;
    }
    let swept = shared.host.sweep(server, prefix).await.map_err(|error| error.to_string());
    (format!("the host folder of {server}"), swept)
}

async fn sweep_exports(shared: &Shared, server: &str, select: &Select, prefix: &str) -> Vec<Swept> {
    let exports: Vec<_> = shared.ledger.locations(server).into_iter().filter_map(Location::export).collect();
    let snapshot = match snapshot(shared).await {
        Ok(snapshot) => snapshot,
        Err(problem) => {
            return exports.iter().map(|_| (format!("the export of {server}"), Err(problem.clone()))).collect();
        }
    };
    let its = snapshot.server(select, server);
    let mut swept = Vec::new();
    for (container, folder) in exports {
        // Skip pods whose container is not running: their init container copies from the host folder, which is cleaned.
        for pod in its.current().into_iter().filter(|pod| container::runs(pod, &container)) {
            wait_for_pause(shared, server, &[pod]).await;
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

async fn remove_file(shared: &Shared, mut locations: Vec<TestFile>) -> Vec<(TestFile, String)> {
    let deadline = Instant::now() + PAUSE_TIMEOUT;
    // The export first, from which the sidecar would copy the file again.
    locations.sort_by_key(|file| file.location == Location::Host);
    let mut left = Vec::new();
    for file in locations {
        let removed = if left.is_empty() {
            remove_from(shared, &file, deadline).await
        } else {
            Err("it is still in the export, from which the sidecar would copy it again".to_owned())
        };
        match removed {
            Ok(()) => shared.ledger.removed(&file),
            Err(problem) => left.push((file, problem)),
        }
    }
    left
}

async fn remove_from(shared: &Shared, file: &TestFile, deadline: Instant) -> Result<(), String> {
    let server = started_snapshot(shared, file, deadline).await?.server(&file.select, &file.server);
    // From all current pods, not only the one it was written in: the init container of a new pod may have copied it, and a pod
    // that is being deleted still syncs.
    let is_reached = |pod: &&Arc<Pod>| match &file.location {
        Location::Host => !has_ended(pod),
        Location::Export { container, .. } => !has_ended(pod) && container::runs(pod, container),
    };
    let pods: Vec<_> = server.pods.iter().filter(is_reached).collect();
    let followed = pods.iter().flat_map(|pod| {
        let containers = shared.followed_logs(&file.server, pod).into_iter();
        containers.filter(|(name, _)| file.location != Location::Host || may_read_target(pod, name))
    });
    wait_for_sidecars(shared, file, followed.map(|(_, log)| log).collect(), deadline).await;
    let Location::Export { container, folder } = &file.location else {
        return shared.host.remove(&file.server, &file.name).await.map_err(|error| error.to_string());
    };
    let operation = Operation::Remove { path: format!("{folder}/{}", file.name) };
    let mut problems = Vec::new();
    problems.extend(server.current().into_iter().filter_map(|pod| unreachable(pod, container)));
    for pod in pods {
        let problem = match shared.exec(&file.server, &pod.name_any(), container, &operation).await {
            Ok(output) => output.problem(),
            // The pod is gone, and its export with it.
            Err(ApiError::NotFound { .. }) => None,
            Err(error) => Some(error.to_string()),
        };
        // The export of a pod that is being deleted goes with it.
        problems.extend(problem.filter(|_| !is_terminating(pod)));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

/// Why files in a pod's export cannot be removed: its container does not run, although the init containers have filled the
/// export and a sidecar may copy it.
fn unreachable(pod: &Pod, container: &str) -> Option<String> {
    let views = container::all(pod);
    let own = views.iter().find(|view| view.name == container)?;
    let mut first = views.iter().filter(|view| view.kind == container::Kind::Init);
    let is_filled = first.all(container::View::has_completed);
    (own.running_since().is_none() && is_filled).then(|| {
        let (place, state) = (container::label(pod, container), own.describe());
        format!("{place} is not running: {state}; files in its export disappear with the pod")
    })
}

/// Waits for pods of the server that are starting: their init container may be copying the file.
async fn started_snapshot(shared: &Shared, file: &TestFile, deadline: Instant) -> Result<Snapshot, String> {
    let Location::Export { container, .. } = &file.location else { return snapshot(shared).await };
    loop {
        let mut changes = shared.watch.changes(Some(&file.server));
        let now = snapshot(shared).await?;
        let server = now.server(&file.select, &file.server);
        let is_starting = server.rollout_state().pending().is_some()
            && server.current().into_iter().any(|pod| !container::runs(pod, container));
        if !is_starting || tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            return Ok(now);
        }
    }
}

/// Waits until no sidecar is in a cycle or about to start one.
async fn wait_for_sidecars(shared: &Shared, file: &TestFile, sidecars: Vec<Arc<FollowedLog>>, deadline: Instant) {
    if sidecars.iter().all(|log| log.is_pausing()) {
        return;
    }
    let what = "a pause between sync cycles, to remove its file".to_owned();
    let left = deadline.saturating_duration_since(Instant::now());
    shared.emit(Event::TestWaiting { id: file.test.clone(), what, limit: left });
    while !sidecars.iter().all(|log| log.is_pausing()) {
        for log in &sidecars {
            if !log.wait_for_pause(deadline).await {
                let text = format!("removing {file} without knowing whether a sync cycle is running");
                return shared.emit(Event::Noticed(Notice { text, is_error: false }));
            }
        }
    }
}

/// The objects in the namespace; waits for a watch that is reconnecting.
async fn snapshot(shared: &Shared) -> Result<Snapshot, String> {
    let mut changes = shared.watch.changes(None);
    let reconnected = async {
        loop {
            if let Ok(snapshot) = shared.watch.snapshot() {
                return snapshot;
            }
            let _ = changes.changed().await;
        }
    };
    match tokio::time::timeout(WATCH_LIMIT, reconnected).await {
        Ok(snapshot) => Ok(snapshot),
        Err(_) => shared.watch.snapshot().map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{output_pod, with};

    #[test]
    fn a_filled_export_whose_container_does_not_run_may_hold_files() {
        let unreachable = |changes: &[(&str, Value)]| {
            unreachable(&serde_json::from_value(with(output_pod(), changes)).unwrap(), "nfs-server")
        };
        let crashing = ("/status/containerStatuses/0/state", json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        let filling = ("/status/initContainerStatuses/0/state", json!({"running": {}}));
        assert_eq!(unreachable(&[]), None);
        assert!(unreachable(std::slice::from_ref(&crashing)).unwrap().contains("CrashLoopBackOff"));
        assert_eq!(unreachable(&[crashing, filling]), None, "the export is still empty");
    }
}
