//! What all tests of a run share: the cluster, the host folder, the release, and what was looked at once.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::commands::Commands;
use super::exits::Exits;
use super::ledger::Ledger;
use super::need::Access;
use super::system::System;
use crate::cluster::container;
use crate::cluster::server::Settlement;
use crate::cluster::{ApiError, Cluster, Cycles, Deployed, Operation, Output, Population, ResourceExt, Select, Watch};
use crate::event::{Event, TestId, millis};
use crate::host::Host;
use crate::values::Values;

/// What the user wants of a run, beside its tests.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// How long rollouts may take to settle, from the start of the run.
    pub settle: Duration,
    pub record: bool,
    pub allow_disruption: bool,
    /// The node's address, as it is reached from this machine; `None`: the one that it has in the cluster.
    pub node_address: Option<String>,
}

/// A server that a test disrupts: the run does not end before it is Ready again, or cannot be.
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
    /// Whether the server is Ready again; an unknown population proves nothing.
    fn has_recovered(&self, population: Option<&Population>) -> bool {
        let server = population.map(|population| population.server(&self.select, &self.server));
        server.is_some_and(|server| server.readiness() == Settlement::Settled)
    }
}

/// Followed logs of sidecars by server, pod, container and the lines that tell of cycles, with the system that says so.
type Followed = HashMap<[String; 5], (Arc<System>, Arc<Cycles>)>;

pub struct Shared {
    pub cluster: Cluster,
    pub host: Host,
    /// The run's id: part of the name of every file it writes.
    pub run: String,
    pub wishes: Wishes,
    pub access: Access,
    /// The Helm release; `None` if Helm does not know it.
    pub release: Result<Option<Deployed>, ApiError>,
    pub values: Values,
    pub watch: Watch,
    pub events: mpsc::Sender<Event>,
    pub ledger: Ledger,
    /// Servers that ended at a request of this run.
    pub(super) exits: Exits,
    disrupted: Mutex<Vec<Disrupted>>,
    /// Those of which that was given up.
    down: Mutex<Vec<Disrupted>>,
    started: Instant,
    pub commands: Arc<Commands>,
    /// What was looked at once, by what it is and where.
    memory: Mutex<HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>>,
    cycles: Mutex<Followed>,
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "each is of another kind, and it is called once")]
    pub fn new(
        cluster: Cluster,
        host: Host,
        run: String,
        wishes: Wishes,
        access: Access,
        release: Result<Option<Deployed>, ApiError>,
        values: Values,
        watch: Watch,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (ledger, exits, disrupted, down, commands, memory, cycles) = Default::default();
        let started = Instant::now();
        Self {
            cluster,
            host,
            run,
            wishes,
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
            cycles,
        }
    }

    pub fn tell(&self, event: Event) {
        // Nobody listens any more only when the run is over.
        let _ = self.events.send(event);
    }

    pub fn settle_limit(&self) -> Instant {
        self.started + self.wishes.settle
    }

    /// How long after the run's start the moment was, in milliseconds; `None` if it was before.
    pub fn since_start(&self, moment: Instant) -> Option<u64> {
        moment.checked_duration_since(self.started).map(millis)
    }

    /// Waits until `look` finds something of a server in what is in the namespace; `None` if it does not within the time.
    ///
    /// # Errors
    /// The time is over, and what is in the namespace is not known.
    pub async fn until<T>(
        &self,
        server: &str,
        limit: Instant,
        mut look: impl FnMut(&Population) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        loop {
            let mut changes = self.watch.changes(Some(server));
            let looked = self.watch.population();
            if let Some(found) = looked.as_ref().ok().and_then(&mut look) {
                return Ok(Some(found));
            }
            if Instant::now() >= limit {
                return looked.map(|_| None);
            }
            let _ = tokio::time::timeout_at(limit, changes.changed()).await;
        }
    }

    pub fn disrupt(&self, disrupted: Disrupted) {
        self.all_disrupted().push(disrupted);
    }

    pub fn disrupted(&self) -> Vec<Disrupted> {
        self.all_disrupted().clone()
    }

    /// Strikes out a server that is Ready again, or was not disrupted after all.
    pub fn recovered(&self, disrupted: &Disrupted) {
        self.all_disrupted().retain(|other| other != disrupted);
    }

    /// Strikes out a server that should be Ready again and is not.
    pub fn gave_up(&self, disrupted: &Disrupted) {
        self.recovered(disrupted);
        self.down.lock().unwrap_or_else(PoisonError::into_inner).push(disrupted.clone());
    }

    /// A server that this run disrupted and that is not known to be Ready again; until it is, no test may disrupt another.
    pub fn down(&self) -> Option<Disrupted> {
        let population = self.watch.population().ok();
        let given_up = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut disrupted = self.disrupted().into_iter().chain(given_up);
        disrupted.find(|disrupted| !disrupted.has_recovered(population.as_ref()))
    }

    fn all_disrupted(&self) -> MutexGuard<'_, Vec<Disrupted>> {
        self.disrupted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is looked at once in a run, by whichever test comes first; `place` says where it is looked at.
    pub async fn once<T: Clone + Send + Sync + 'static>(
        &self,
        place: impl Into<String>,
        look: impl Future<Output = T> + Send,
    ) -> T {
        let cell = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let cell =
                memory.entry((TypeId::of::<T>(), place.into())).or_insert_with(|| Arc::new(OnceCell::<T>::new()));
            Arc::clone(cell)
        };
        match cell.downcast::<OnceCell<T>>() {
            Ok(cell) => cell.get_or_init(|| look).await.clone(),
            // The key has the type.
            Err(_) => look.await,
        }
    }

    /// The followed log of the sidecar that a system describes, if it does; followed once in a run.
    pub fn cycles(&self, server: &str, pod: &str, system: &Arc<System>) -> Option<Arc<Cycles>> {
        let (words, sidecar) = (system.words()?, system.sidecar_name());
        let mut cycles = self.cycles.lock().unwrap_or_else(PoisonError::into_inner);
        let [end, interval] = [&words.end, &words.interval].map(|word| word.as_str().to_owned());
        let key = [server.to_owned(), pod.to_owned(), sidecar.to_owned(), end, interval];
        let follow = || (Arc::clone(system), Arc::new(self.cluster.follow_cycles(pod, sidecar, words, &self.run)));
        Some(Arc::clone(&cycles.entry(key).or_insert_with(follow).1))
    }

    /// The logs in this pod of the running sidecars that tests followed in any pod of the server, with their names.
    pub fn followed(&self, server: &str, pod: &Pod) -> Vec<(String, Arc<Cycles>)> {
        let known: Vec<Arc<System>> = {
            let cycles = self.cycles.lock().unwrap_or_else(PoisonError::into_inner);
            let its = cycles.iter().filter(|([its, ..], _)| its == server);
            its.map(|(_, (system, _))| Arc::clone(system)).collect()
        };
        let running = known.iter().filter(|system| container::runs(pod, system.sidecar_name()));
        let logs =
            running.filter_map(|it| Some((it.sidecar_name().to_owned(), self.cycles(server, &pod.name_any(), it)?)));
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
        let population = |changes: &[(&str, Value)]| {
            let healthy = with(output_server(), &[("/replica_sets/1/metadata/ownerReferences", owner.clone())]);
            let server: crate::cluster::Server = serde_json::from_value(with(healthy, changes)).unwrap();
            Population::new(server.pods, server.deployments, server.replica_sets, NOW.parse().unwrap())
        };
        assert!(disrupted.has_recovered(Some(&population(&[]))));
        assert!(!disrupted.has_recovered(Some(&population(&[("/pods", json!([]))]))), "it has no pod");
        assert!(!disrupted.has_recovered(None), "the population is unknown");
    }
}
