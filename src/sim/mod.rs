//! A cluster in a process: an API server on a loopback port, and behind it the chart's pods with real folders.
//!
//! Reached by its kubeconfig only. Imports `error`, and of `cluster` the target and the codec of commands, nothing else
//! of ours: what it says must not depend on what the harness expects.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

mod api;
mod control;
mod logs;
mod node;
pub mod scenario;
mod store;

use crate::cluster::Target;
use crate::error::Refusal;
use logs::Logs;
use scenario::Scenario;
use store::Store;

/// The context, the namespace and the release that a simulated cluster has.
pub const CONTEXT: &str = "simulated";
/// The namespace.
pub const NAMESPACE: &str = "file-simulator";
/// The release.
pub const RELEASE: &str = "file-sim";

/// What the sidecars of `--simulate` sleep between two cycles, in seconds; the chart has 30.
pub const INTERVAL: u64 = 2;

/// A simulated cluster; gone when dropped, with its folders.
pub struct Simulation {
    folder: TempDir,
    world: Arc<World>,
    _tasks: JoinSet<()>,
}

/// What its parts share.
struct World {
    /// The objects.
    store: Store,
    /// What containers have said.
    logs: Logs,
    /// What is broken.
    scenario: Scenario,
    /// What sidecars sleep between two cycles, in seconds.
    interval: u64,
    /// The tester's folder.
    data: PathBuf,
    /// Where the node keeps volumes and containers' own files.
    node: PathBuf,
    /// What the node knows.
    kubelet: node::Kubelet,
    started: Instant,
}

impl World {
    /// An empty one, with its folders in `folder`.
    fn new(folder: &Path, scenario: Scenario, interval: u64) -> Self {
        let [data, node] = ["data", "node"].map(|name| folder.join(name));
        let started = Instant::now();
        Self {
            store: Store::new(),
            logs: Logs::new(),
            scenario,
            interval,
            data,
            node,
            kubelet: node::Kubelet::default(),
            started,
        }
    }

    /// The API server's time.
    fn now(&self) -> Timestamp {
        Timestamp::now() + self.scenario.clock().cluster
    }

    /// The node's time: of logs, and of what the kubelet says of containers.
    fn node_now(&self) -> Timestamp {
        self.now() + self.scenario.clock().node
    }

    /// Waits until that long after the start.
    async fn at(&self, after: Duration) {
        tokio::time::sleep_until(self.started + after).await;
    }
}

impl Simulation {
    /// Starts a cluster with the release on it, whose pods have been running for a while.
    ///
    /// # Errors
    /// No port or folder could be had, or the scenario does not fit the chart.
    pub async fn start(scenario: Scenario, interval: u64) -> Result<Self, Refusal> {
        let failed = |error: anyhow::Error| Refusal::start(format!("cannot simulate a cluster: {error:#}"), "");
        Self::try_start(scenario, interval).await.map_err(failed)
    }

    async fn try_start(scenario: Scenario, interval: u64) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("file-simulator-").tempdir()?;
        let world = Arc::new(World::new(folder.path(), scenario, interval));
        let mut tasks = JoinSet::new();
        control::start(&world, &mut tasks)?;
        node::start(&world, &mut tasks).await?;
        control::begin(&world, &mut tasks)?;
        api::start(&world, &folder.path().join("kubeconfig"), &mut tasks).await?;
        Ok(Self { folder, world, _tasks: tasks })
    }

    /// How it is reached.
    pub fn target(&self) -> Target {
        Target {
            kubeconfig: Some(self.folder.path().join("kubeconfig")),
            context: CONTEXT.to_owned(),
            namespace: NAMESPACE.to_owned(),
            release: RELEASE.to_owned(),
        }
    }

    /// The paths of all files, in the tester's folder and on the node, whose names begin like that.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn files(&self, prefix: &str) -> std::io::Result<Vec<PathBuf>> {
        let mut folders = vec![self.folder.path().to_owned()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(prefix) {
                    found.push(entry.path());
                } else if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        Ok(found)
    }

    /// The tester's folder.
    pub fn data(&self) -> &Path {
        &self.world.data
    }
}
