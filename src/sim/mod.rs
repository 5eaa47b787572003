//! A cluster in a process: an API server on a loopback port, and behind it the chart's pods with real folders.
//!
//! Reached by its kubeconfig only. Imports `error`, and of `cluster` the target and the codec of commands, nothing else
//! of ours: what it says must not depend on what the harness expects.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

mod api;
mod control;
mod logs;
mod node;
mod object;
pub mod scenario;
mod store;

use crate::cluster::Target;
use crate::error::Refusal;
use logs::Logs;
use scenario::Scenario;
use store::{Kind, Store};

pub const CONTEXT: &str = "simulated";
pub const NAMESPACE: &str = "file-simulator";
pub const RELEASE: &str = "file-sim";

/// What its sidecars sleep between two cycles, in seconds; the chart has 30.
pub const INTERVAL: u64 = 2;

/// How long ago the release was installed.
const AGE: Duration = Duration::from_secs(600);

/// A simulated cluster; gone when dropped, with its folders.
pub struct Simulation {
    // Dropped first: what still runs would write into folders that are being removed.
    _tasks: JoinSet<()>,
    world: Arc<World>,
    folder: TempDir,
}

struct World {
    store: Store,
    logs: Logs,
    scenario: Scenario,
    /// The tester's folder.
    data: PathBuf,
    /// Where the node keeps volumes and containers' own files.
    node: PathBuf,
    kubelet: node::Kubelet,
    /// The node's address: its own among the loopback ones, so that simulations side by side never share a port.
    address: Ipv4Addr,
    requests: AtomicUsize,
    /// When the first request came: what happens later is counted from then.
    begun: watch::Sender<Option<Instant>>,
}

impl World {
    /// The API server's time.
    fn now(&self) -> Timestamp {
        Timestamp::now() + self.scenario.clock.cluster
    }

    /// The node's time: of logs, and of what the kubelet says of containers.
    fn node_now(&self) -> Timestamp {
        self.now() + self.scenario.clock.node
    }

    /// When what is made now was made: before the first request, some time ago.
    fn created(&self) -> Timestamp {
        self.now() - if self.elapsed().is_zero() { AGE } else { Duration::ZERO }
    }

    /// A request came, and which one it is.
    fn asked(&self) -> usize {
        self.begun.send_if_modified(|begun| begun.is_none() && begun.replace(Instant::now()).is_none());
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How long ago the first request came; zero before it.
    fn elapsed(&self) -> Duration {
        self.begun.borrow().map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// Waits until that long after the first request.
    async fn at(&self, after: Duration) {
        let mut begun = self.begun.subscribe();
        // The sender is in here.
        let Ok(Some(begun)) = begun.wait_for(Option::is_some).await.map(|begun| *begun) else { return };
        tokio::time::sleep_until(begun + after).await;
    }

    /// Marks a pod as deleted: from then on its controller does not count it, and the node ends and removes it.
    fn terminate(&self, pod: &str) {
        let now = self.now();
        self.store.edit(Kind::Pod, pod, |pod| {
            let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
            let metadata = &mut pod["metadata"];
            if metadata["deletionTimestamp"].is_null() {
                metadata["deletionTimestamp"] = json!(object::stamp(now + Duration::from_secs(grace)));
                metadata["deletionGracePeriodSeconds"] = json!(grace);
            }
        });
    }
}

/// Serves every connection in a task of its own, until this is dropped.
async fn serve<F: Future<Output = ()> + Send + 'static>(listener: TcpListener, serve: impl Fn(TcpStream) -> F) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(serve(stream).boxed())),
            // Such as too many open files, which passes.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A loopback address that nobody else uses, where the system has more than one.
fn address() -> Ipv4Addr {
    let [_, second, third, fourth] = rand::random::<[u8; 4]>();
    let own = Ipv4Addr::new(127, second.max(1), third, fourth.clamp(1, 254));
    if std::net::TcpListener::bind((own, 0)).is_ok() { own } else { Ipv4Addr::LOCALHOST }
}

impl Simulation {
    /// Starts a cluster with the release on it, whose pods have been running for a while.
    ///
    /// # Errors
    /// No port or folder could be had, or the scenario does not fit the chart.
    pub async fn start(scenario: Scenario) -> Result<Self, Refusal> {
        let failed = |error: anyhow::Error| Refusal::start(format!("cannot simulate a cluster: {error:#}"), "");
        Self::try_start(scenario).await.map_err(failed)
    }

    async fn try_start(scenario: Scenario) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("file-simulator-").tempdir()?;
        let world = Arc::new(World {
            store: Store::default(),
            logs: Logs::default(),
            scenario,
            data: folder.path().join("data"),
            node: folder.path().join("node"),
            kubelet: node::Kubelet::default(),
            address: address(),
            requests: AtomicUsize::new(0),
            begun: watch::Sender::new(None),
        });
        let mut tasks = JoinSet::new();
        control::start(&world, &mut tasks)?;
        node::start(&world, &mut tasks).await?;
        control::begin(&world, &mut tasks);
        api::start(&world, &folder.path().join("kubeconfig"), &mut tasks).await?;
        Ok(Self { _tasks: tasks, world, folder })
    }

    pub fn target(&self) -> Target {
        Target {
            kubeconfig: Some(self.folder.path().join("kubeconfig")),
            context: CONTEXT.to_owned(),
            namespace: NAMESPACE.to_owned(),
            release: RELEASE.to_owned(),
        }
    }

    pub fn data(&self) -> &Path {
        &self.world.data
    }
}
