//! The node: its kubelet runs the pods that are in the store, on real folders and ports of this machine.
//!
//! Speaks with the other parts through the store and the logs, and does what the API server is asked to do in a pod.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use super::World;
use super::object::{is_ready, name, text, uid};
use super::store::Kind;

mod command;
mod container;
mod files;
mod mounts;
mod network;
mod nfs;
mod pod;
mod rsync;
mod sidecar;
mod status;

pub(super) use command::{begin, run};
pub(super) use mounts::folder;
pub(super) use network::listener;

/// How long the start waits at most for pods that have been running for long: one that cannot be Ready goes on by itself.
const UP: Duration = Duration::from_secs(1);

/// What the node knows.
#[derive(Default)]
pub(super) struct Kubelet {
    mounts: Mutex<mounts::Mounts>,
    /// Where the pods listen, by name.
    listeners: Mutex<HashMap<String, SocketAddr>>,
    /// This side's addresses of connections to pods whose clients are on ports below 1024.
    privileged: Mutex<HashSet<SocketAddr>>,
    /// How many pods were given an address.
    addresses: AtomicU32,
    /// Held while a file is written or read, so that it is seen whole.
    files: Mutex<()>,
    /// Held while a command is begun on a node that is short of CPU; what commands it has lost an output of.
    busy: tokio::sync::Mutex<HashSet<(String, bool)>>,
}

/// Starts the node; the pods that are there have been running for long.
pub(super) async fn start(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    for folder in [&world.data, &world.node] {
        std::fs::create_dir_all(folder)?;
    }
    let mut state = world.store.state();
    let (mut pods, mut known) = (JoinSet::new(), HashSet::new());
    let old: Vec<_> = world.store.list(Kind::Pod).into_iter().filter(|pod| has_node(pod)).collect();
    for pod in &old {
        known.insert(uid(pod).to_owned());
        let past = text(&pod["metadata"]["creationTimestamp"]).parse::<Timestamp>().ok();
        let past = past.map(|past| past + world.scenario.clock().1);
        pods.spawn(pod::run(Arc::clone(world), Arc::clone(pod), past).boxed());
    }
    let is_up = state.wait_for(|now| {
        let mut live = old.iter().filter_map(|pod| now.get(Kind::Pod, name(pod)));
        live.all(|pod| is_ready(pod))
    });
    // Those that are not up are run on all the same.
    drop(tokio::time::timeout(UP, is_up).await);
    tasks.spawn(network::proxy(Arc::clone(world)).boxed());
    let world = Arc::clone(world);
    let kubelet = async move {
        loop {
            for pod in state.borrow_and_update().list(Kind::Pod) {
                if has_node(&pod) && known.insert(uid(&pod).to_owned()) {
                    pods.spawn(pod::run(Arc::clone(&world), pod, None).boxed());
                }
            }
            while pods.try_join_next().is_some() {}
            if state.changed().await.is_err() {
                return;
            }
        }
    };
    tasks.spawn(kubelet.boxed());
    Ok(())
}

/// Whether a pod is to run here.
fn has_node(pod: &Value) -> bool {
    pod["spec"]["nodeName"].is_string()
}

/// What the mutex guards, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
