//! What all tests of a run share: the cluster, the host folder, the release, and observations made once per run.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::commands::Commands;
use super::ledger::Ledger;
use super::need::Access;
use super::server_exits::ServerExits;
use super::system::System;
use crate::cluster::container;
use crate::cluster::server::RolloutState;
use crate::cluster::{
    ApiError, Cluster, Deployed, FollowedLog, Operation, Output, ResourceExt, Select, Snapshot, Watch,
};
use crate::event::{Event, TestId, millis};
use crate::host::Host;
use crate::values::Values;

#[derive(Debug, Clone)]
pub struct Settings {
    /// Maximum time for rollouts to settle, from the start of the run.
    pub settle: Duration,
    pub record: bool,
    pub allow_disruption: bool,
    /// The node's address as seen from this machine; by default the one in the cluster.
    pub node_address: Option<String>,
}

/// A server that a test disrupts; the run waits at its end until the server is Ready again or cannot become so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disrupted {
    pub test: TestId,
    pub server: String,
    pub select: Select,
    /// The uid of the pod that the test deletes.
    pub deletes: String,
    pub at: Instant,
}

impl Disrupted {
    /// Whether the server is Ready again; an unknown snapshot proves nothing.
    fn has_recovered(&self, snapshot: Option<&Snapshot>) -> bool {
        let server = snapshot.map(|snapshot| snapshot.server(&self.select, &self.server));
        server.is_some_and(|server| server.readiness() == RolloutState::Settled)
    }
}

/// Followed logs of sidecars with the systems that describe them, by server, pod, container and the patterns of log
/// lines.
type Followed = HashMap<[String; 5], (Arc<System>, Arc<FollowedLog>)>;

pub struct Shared {
    pub cluster: Cluster,
    pub host: Host,
    /// The run's id: part of the name of every file it writes.
    pub run: String,
    pub settings: Settings,
    pub access: Access,
    /// The Helm release; `None` if it does not exist.
    pub release: Result<Option<Deployed>, ApiError>,
    pub values: Values,
    pub watch: Watch,
    pub events: mpsc::Sender<Event>,
    pub ledger: Ledger,
    pub(super) exits: ServerExits,
    disrupted: Mutex<Vec<Disrupted>>,
    /// Disrupted servers that did not recover in time.
    down: Mutex<Vec<Disrupted>>,
    started: Instant,
    pub commands: Arc<Commands>,
    /// Observations made once per run, by type and key.
    memory: Mutex<HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>>,
    followed_logs: Mutex<Followed>,
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "all have different types, and there is one caller")]
    pub fn new(
        cluster: Cluster,
        host: Host,
        run: String,
        settings: Settings,
        access: Access,
        release: Result<Option<Deployed>, ApiError>,
        values: Values,
        watch: Watch,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (ledger, exits, disrupted, down, commands, memory, followed_logs) = Default::default();
        let started = Instant::now();
        Self {
            cluster,
            host,
            run,
            settings,
            access,
            release,
            values,
            watch,
            events,
            ledger,
            exits,
            disrupted,
            down,
            started,
            commands,
            memory,
            followed_logs,
        }
    }

    pub fn emit(&self, event: Event) {
        // Fails only after the end of the run.
        let _ = self.events.send(event);
    }

    pub fn settle_deadline(&self) -> Instant {
        self.started + self.settings.settle
    }

    /// Milliseconds from the start of the run to `moment`; `None` if it was earlier.
    pub fn since_start(&self, moment: Instant) -> Option<u64> {
        moment.checked_duration_since(self.started).map(millis)
    }

    /// Waits until `look` finds something of a server in the snapshot; `None` at the deadline, or an error if the snapshot is unknown then.
    pub async fn until<T>(
        &self,
        server: &str,
        deadline: Instant,
        mut look: impl FnMut(&Snapshot) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        loop {
            let mut changes = self.watch.changes(Some(server));
            let snapshot = self.watch.snapshot();
            if let Some(found) = snapshot.as_ref().ok().and_then(&mut look) {
                return Ok(Some(found));
            }
            if Instant::now() >= deadline {
                return snapshot.map(|_| None);
            }
            let _ = tokio::time::timeout_at(deadline, changes.changed()).await;
        }
    }

    pub fn disrupt(&self, disrupted: Disrupted) {
        self.all_disrupted().push(disrupted);
    }

    pub fn disrupted(&self) -> Vec<Disrupted> {
        self.all_disrupted().clone()
    }

    /// Removes a server that is Ready again, or was not disrupted after all.
    pub fn recovered(&self, disrupted: &Disrupted) {
        self.all_disrupted().retain(|other| other != disrupted);
    }

    pub fn mark_down(&self, disrupted: &Disrupted) {
        self.recovered(disrupted);
        self.down.lock().unwrap_or_else(PoisonError::into_inner).push(disrupted.clone());
    }

    /// A server that this run disrupted and that is not known to be Ready again; until it is, no test may disrupt
    /// another.
    pub fn down(&self) -> Option<Disrupted> {
        let snapshot = self.watch.snapshot().ok();
        let given_up = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut disrupted = self.disrupted().into_iter().chain(given_up);
        disrupted.find(|disrupted| !disrupted.has_recovered(snapshot.as_ref()))
    }

    fn all_disrupted(&self) -> MutexGuard<'_, Vec<Disrupted>> {
        self.disrupted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an observation once per run; later callers with the same type and key get a copy of the result.
    pub async fn once<T: Clone + Send + Sync + 'static>(
        &self,
        key: impl Into<String>,
        observe: impl Future<Output = T> + Send,
    ) -> T {
        let cell = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let cell = memory.entry((TypeId::of::<T>(), key.into())).or_insert_with(|| Arc::new(OnceCell::<T>::new()));
            Arc::clone(cell)
        };
        match cell.downcast::<OnceCell<T>>() {
            Ok(cell) => cell.get_or_init(|| observe).await.clone(),
            // Unreachable: the key has the type.
            Err(_) => observe.await,
        }
    }

    /// The followed log of the sidecar, if the system describes one; each log is followed once per run.
    pub fn followed_log(&self, server: &str, pod: &str, system: &Arc<System>) -> Option<Arc<FollowedLog>> {
        let (patterns, sidecar) = (system.log_patterns()?, system.sidecar_name());
        let mut logs = self.followed_logs.lock().unwrap_or_else(PoisonError::into_inner);
        let [end, interval] = [&patterns.end, &patterns.interval].map(|pattern| pattern.as_str().to_owned());
        let key = [server.to_owned(), pod.to_owned(), sidecar.to_owned(), end, interval];
        let follow = || (Arc::clone(system), Arc::new(self.cluster.follow_log(pod, sidecar, patterns, &self.run)));
        Some(Arc::clone(&logs.entry(key).or_insert_with(follow).1))
    }

    /// The sidecars that run in this pod and were followed in any pod of the server: their names and logs.
    pub fn followed_logs(&self, server: &str, pod: &Pod) -> Vec<(String, Arc<FollowedLog>)> {
        let systems: Vec<Arc<System>> = {
            let logs = self.followed_logs.lock().unwrap_or_else(PoisonError::into_inner);
            let of_server = logs.iter().filter(|([name, ..], _)| name == server);
            of_server.map(|(_, (system, _))| Arc::clone(system)).collect()
        };
        let running = systems.iter().filter(|system| container::runs(pod, system.sidecar_name()));
        let logs = running
            .filter_map(|it| Some((it.sidecar_name().to_owned(), self.followed_log(server, &pod.name_any(), it)?)));
        logs.collect()
    }

    pub async fn exec(
        &self,
        server: &str,
        pod: &str,
        container: &str,
        operation: &Operation,
    ) -> Result<Output, ApiError> {
        let outputs = self.exec_all(server, pod, container, vec![operation.clone()]).await?;
        let lost = ApiError::Failed { verb: "get", resource: "pods/exec", message: "no output".to_owned() };
        outputs.into_iter().next().ok_or(lost)
    }

    pub async fn exec_all(
        &self,
        server: &str,
        pod: &str,
        container: &str,
        operations: Vec<Operation>,
    ) -> Result<Vec<Output>, ApiError> {
        let place = [pod, container].map(str::to_owned);
        self.commands.run(&self.cluster, server, place, operations).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::system::tests::system;
    use crate::cluster::example::{NOW, output_server, with};

    #[test]
    fn a_disrupted_server_has_recovered_only_when_its_pod_is_known_to_be_ready() {
        let disrupted = Disrupted {
            test: TestId { suite: "restarts".into(), slug: "win-02".into(), server: None },
            server: "nas-output-1".into(),
            select: system().pods.clone(),
            deletes: "pod-0".into(),
            at: Instant::now(),
        };
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "nas-output-1", "uid": "deployment-1"}]);
        let snapshot = |changes: &[(&str, Value)]| {
            let healthy = with(output_server(), &[("/replica_sets/1/metadata/ownerReferences", owner.clone())]);
            let server: crate::cluster::Server = serde_json::from_value(with(healthy, changes)).unwrap();
            Snapshot::new(server.pods, server.deployments, server.replica_sets, NOW.parse().unwrap())
        };
        assert!(disrupted.has_recovered(Some(&snapshot(&[]))));
        assert!(!disrupted.has_recovered(Some(&snapshot(&[("/pods", json!([]))]))), "it has no pod");
        assert!(!disrupted.has_recovered(None), "the snapshot is unknown");
    }
}
