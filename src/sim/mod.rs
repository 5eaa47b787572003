//! A simulated cluster: an API server on a loopback port, and the chart's pods on real folders.
//!
//! Reached only through its kubeconfig. Imports `error`, `output`, and from `cluster` the target and the codec of commands:
//! replies must not depend on what the program expects.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::task::JoinSet;

mod api;
mod control;
mod listener;
mod logs;
mod node;
mod object;
pub mod scenario;
mod store;
mod world;

pub use world::INTERVAL;

use crate::cluster::Target;
use crate::error::Refusal;
use scenario::Scenario;
use world::{CONTEXT, NAMESPACE, RELEASE, World};

const KUBECONFIG: &str = "kubeconfig";

/// A simulated cluster; dropping it stops it and removes its folders.
pub struct Simulation {
    // Dropped first: running tasks would write into the folders while they are removed.
    _tasks: JoinSet<()>,
    world: Arc<World>,
    folder: TempDir,
}

impl Simulation {
    /// Starts a cluster on which the release has been running for a while.
    ///
    /// # Errors
    /// A port or folder is not available, or the scenario does not fit the chart.
    pub async fn start(scenario: Scenario) -> Result<Self, Refusal> {
        let started = async {
            let folder = tempfile::Builder::new().prefix("file-simulator-").tempdir()?;
            let world = Arc::new(World::new(scenario, folder.path()));
            let mut tasks = JoinSet::new();
            control::start(&world, &mut tasks)?;
            node::start(&world, &mut tasks).await?;
            control::schedule_faults(&world, &mut tasks);
            api::start(&world, &folder.path().join(KUBECONFIG), &mut tasks).await?;
            anyhow::Ok(Self { _tasks: tasks, world, folder })
        };
        started.await.map_err(|error| Refusal::start(format!("cannot simulate a cluster: {error:#}"), ""))
    }

    pub fn target(&self) -> Target {
        Target {
            kubeconfig: Some(self.folder.path().join(KUBECONFIG)),
            context: CONTEXT.to_owned(),
            namespace: NAMESPACE.to_owned(),
            release: RELEASE.to_owned(),
        }
    }

    pub fn data(&self) -> &Path {
        &self.world.data
    }
}
