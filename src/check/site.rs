//! What a check has at hand: the cluster, the tester's folder, its server, and the ledger of what it wrote.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use regex::Regex;
use tokio::sync::{OnceCell, RwLock};
use tokio::time::Instant;

use super::ledger::{Ledger, Place, Placed};
use super::mount::Mount;
use crate::cluster::container;
use crate::cluster::server::{counted, is_terminating};
use crate::cluster::{ApiError, Cluster, Cycles, Operation, Output, Population, ResourceExt, Select, Server, Watch};
use crate::event::{CaseId, Event, Reason, Verdict};
use crate::host::Host;

/// What all tests of a run share.
pub struct Shared {
    /// The cluster.
    pub cluster: Cluster,
    /// The tester's folder.
    pub host: Host,
    /// The run's id: part of the name of every file it writes.
    pub run: String,
    /// How long rollouts may take to settle, from the start of the run.
    settle: Duration,
    started: Instant,
    /// What is in the namespace.
    pub watch: Watch,
    /// Where events go.
    pub events: mpsc::Sender<Event>,
    /// Files that were written and not yet removed.
    pub ledger: Ledger,
    /// By server: held while a command runs in a container, also when the test that wanted it is gone.
    commands: Mutex<HashMap<String, Arc<RwLock<()>>>>,
    /// By pod and container.
    mounts: Mutex<HashMap<[String; 2], MountCell>>,
    /// By server, pod, container and the line that ends a cycle.
    cycles: Mutex<HashMap<[String; 4], Arc<Cycles>>>,
}

/// The outcome of probing a server's mount.
type MountCell = Arc<OnceCell<Result<Mount, Verdict>>>;

impl Shared {
    /// For a run that has not written anything yet.
    pub fn new(
        cluster: Cluster,
        host: Host,
        run: String,
        settle: Duration,
        watch: Watch,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (ledger, commands, mounts, cycles) = Default::default();
        Self { cluster, host, run, settle, started: Instant::now(), watch, events, ledger, commands, mounts, cycles }
    }

    /// The followed log of a container; followed once in a run.
    pub fn cycles(&self, server: &str, pod: &str, container: &str, cycle_end: &Regex) -> Arc<Cycles> {
        let mut cycles = self.cycles.lock().unwrap_or_else(PoisonError::into_inner);
        let key = [server, pod, container, cycle_end.as_str()].map(str::to_owned);
        let follow = || Arc::new(self.cluster.follow_cycles(pod, container, cycle_end.clone(), self.run.clone()));
        Arc::clone(cycles.entry(key).or_insert_with(follow))
    }

    /// The logs in this pod of the running containers that tests followed in any pod of the server, with their names.
    pub fn followed(&self, server: &str, pod: &Pod) -> Vec<(String, Arc<Cycles>)> {
        let known: Vec<[String; 4]> = {
            let cycles = self.cycles.lock().unwrap_or_else(PoisonError::into_inner);
            cycles.keys().filter(|[its, ..]| its == server).cloned().collect()
        };
        let is_running = |name: &str| container::named(pod, name).is_some_and(|view| view.running_since().is_some());
        let running = known.into_iter().filter(|[.., container, _]| is_running(container));
        let follow = |[.., container, end]: [String; 4]| {
            let cycles = self.cycles(server, &pod.name_any(), &container, &Regex::new(&end).ok()?);
            Some((container, cycles))
        };
        running.filter_map(follow).collect()
    }

    /// Waits until no command runs in the server's containers, so that nothing is written behind a removal.
    pub async fn commands_ended(&self, server: &str) {
        drop(self.commands(server).write_owned().await);
    }

    fn commands(&self, server: &str) -> Arc<RwLock<()>> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(commands.entry(server.to_owned()).or_default())
    }
}

/// What one test has at hand.
pub struct Site {
    /// What it shares with the other tests.
    pub shared: Arc<Shared>,
    /// Its name.
    pub id: CaseId,
    /// How pods are recognised.
    pub select: Select,
    /// The servers that the suite requires.
    pub servers: Vec<String>,
    pod: OnceLock<String>,
}

impl Site {
    /// For the test `id`.
    pub fn new(shared: Arc<Shared>, id: CaseId, select: Select, servers: Vec<String>) -> Self {
        Self { shared, id, select, servers, pod: OnceLock::new() }
    }

    /// The server under test; empty for a check of the whole.
    pub fn server(&self) -> &str {
        self.id.server.as_deref().unwrap_or_default()
    }

    /// A file of this test in the tester's folder, not placed yet; `what` tells it from the test's other files.
    pub fn file(&self, what: &str) -> Placed {
        let name = format!("{}-{}-{}-{}-{what}.txt", self.shared.run, self.id.suite, self.id.slug, self.server());
        Placed {
            case: self.id.clone(),
            server: self.server().to_owned(),
            select: self.select.clone(),
            place: Place::Host,
            name,
        }
    }

    /// Says that the test waits, for the live display.
    pub fn waiting(&self, what: impl Into<String>, limit: Duration) {
        let event = Event::CaseWaiting { id: self.id.clone(), what: what.into(), limit };
        // Nobody listens any more only when the run is over.
        let _ = self.shared.events.send(event);
    }

    /// Waits until `pending` has nothing more to wait for, at most until rollouts must have settled; then what there is.
    pub async fn settled(&self, mut pending: impl FnMut(&Population) -> Option<String>) -> Result<Population, Verdict> {
        let limit = self.shared.started + self.shared.settle;
        let left = limit.saturating_duration_since(Instant::now());
        let mut said = false;
        loop {
            let mut changes = self.shared.watch.changes();
            let looked = self.shared.watch.population();
            let open = match &looked {
                Ok(population) => pending(population),
                Err(ApiError::Forbidden { .. } | ApiError::Unauthorized { .. }) => None,
                Err(error) => Some(error.to_string()),
            };
            let Some(open) = open.filter(|_| Instant::now() < limit) else {
                return looked.map_err(|error| self.no_answer(&error));
            };
            if !said {
                self.waiting(open, left);
                said = true;
            }
            let _ = tokio::time::timeout_at(limit, changes.changed()).await;
        }
    }

    /// The server under test, after its rollout has settled or cannot.
    pub async fn settled_server(&self) -> Result<(Server, Population), Verdict> {
        let population =
            self.settled(|population| population.server(&self.select, self.server()).settlement().pending()).await?;
        Ok((population.server(&self.select, self.server()), population))
    }

    /// The one pod of the server under test, and the server and moment that it was seen with.
    ///
    /// # Errors
    /// There is not exactly one: blocked by the test `pods` of this server.
    pub async fn pod(&self) -> Result<(Arc<Pod>, Population), Verdict> {
        let (server, population) = self.settled_server().await?;
        let current = server.current();
        let [pod] = current.as_slice() else {
            let seen = counted(&current);
            return Err(self.blocked(Reason::new(
                format!("server {}", self.server()),
                "exactly one current pod",
                seen,
            )));
        };
        let _ = self.pod.set(pod.uid().unwrap_or_default());
        Ok((Arc::clone(pod), population))
    }

    /// ERROR, because of something that the test `pods` of this server says more about.
    pub fn blocked(&self, reason: Reason) -> Verdict {
        Verdict::blocked(format!("pods::{}", self.server()), reason)
    }

    /// ERROR, because the API did not give what was needed.
    pub fn no_answer(&self, error: &ApiError) -> Verdict {
        let object = format!("cluster {}", self.shared.cluster.context());
        Verdict::error(Reason::new(object, "an answer", error.to_string()).hint(error.hint()))
    }

    /// Returns when the pod that the test works with is replaced or deleted; never, as long as it uses none.
    pub async fn pod_replaced(&self) -> Reason {
        loop {
            let mut changes = self.shared.watch.changes();
            if let (Some(uid), Ok(population)) = (self.pod.get(), self.shared.watch.population()) {
                let pod = population.pods.iter().find(|pod| pod.metadata.uid.as_ref() == Some(uid));
                if pod.is_none_or(|pod| is_terminating(pod)) {
                    return Reason::new(
                        format!("the pod of {}", self.server()),
                        "the same pod during the whole test",
                        "it was deleted or replaced while the test ran",
                    )
                    .hint("run the test again when the rollout is over");
                }
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Does an operation in a container of the pod.
    pub async fn exec(&self, pod: &Pod, container: &str, operation: &Operation) -> Result<Output, Verdict> {
        let (shared, name, target) = (Arc::clone(&self.shared), pod.name_any(), container.to_owned());
        let operation = operation.clone();
        let running = shared.commands(self.server()).read_owned().await;
        // A task of its own: a test that is given up leaves no command of which nobody knows whether it ran.
        let command = tokio::spawn(async move {
            let _running = running;
            shared.cluster.exec(&name, &target, &operation).await
        });
        let failed = |message| ApiError::Failed { verb: "get", resource: "pods/exec", message };
        let output = command.await.unwrap_or_else(|error| Err(failed(error.to_string())));
        output.map_err(|error| {
            let object = container::place(pod, container);
            Verdict::error(Reason::new(object, "to run a command in it", error.to_string()).hint(error.hint()))
        })
    }

    /// The followed log of a container of the server under test.
    pub fn cycles(&self, pod: &Pod, container: &str, cycle_end: &Regex) -> Arc<Cycles> {
        self.shared.cycles(self.server(), &pod.name_any(), container, cycle_end)
    }

    /// Where the outcome of probing a pod's mount is kept.
    pub fn mount_cell(&self, pod: &Pod, container: &str) -> MountCell {
        let mut mounts = self.shared.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(mounts.entry([pod.name_any(), container.to_owned()]).or_default())
    }
}
