//! The node: its kubelet runs the pods that are in the store, on real folders and ports of this machine.
//!
//! Speaks with the other parts through the store and the logs, and does what the API server is asked to do in a pod.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use super::World;
use super::store::Kind;

pub(super) mod command;
mod container;
mod mounts;
mod network;
mod pod;
mod rsync;
mod sidecar;
mod status;

pub(super) use mounts::folder;
pub(super) use network::listener;

/// How long the start waits at most for pods that have been running for long: one that cannot be Ready goes on by itself.
const UP: Duration = Duration::from_secs(1);

/// What the node knows.
#[derive(Default)]
pub(super) struct Kubelet {
    mounts: mounts::Mounts,
    /// Where the pods listen.
    listeners: Mutex<HashMap<String, SocketAddr>>,
    /// How many pods were given an address.
    addresses: AtomicU32,
    /// Held while a file is written or read, so that it is seen whole.
    files: Mutex<()>,
}

/// Starts the node; the pods that are there have been running for long.
///
/// # Errors
/// Its folders cannot be made.
pub(super) async fn start(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    for folder in [&world.data, &world.node] {
        std::fs::create_dir_all(folder)?;
    }
    let mut changes = world.store.changes();
    let (mut pods, mut known) = (JoinSet::new(), HashSet::new());
    let old = world.store.list(Kind::Pod).1;
    for pod in &old {
        known.insert(uid(pod).to_owned());
        let past = text(&pod["metadata"]["creationTimestamp"]).parse::<Timestamp>().ok();
        let past = past.map(|past| past + world.scenario.clock().node);
        pods.spawn(pod::run(Arc::clone(world), Arc::clone(pod), past));
    }
    let usual: Vec<_> =
        old.iter().filter(|pod| !is_odd(world, pod)).map(|pod| text(&pod["metadata"]["name"])).collect();
    let up = async {
        let is_up = |name: &&str| world.store.get(Kind::Pod, name).is_none_or(|pod| is_ready(&pod));
        while !usual.iter().all(is_up) && changes.changed().await.is_ok() {}
    };
    // Those that are not up are run on all the same.
    let _ = tokio::time::timeout(UP, up).await;
    let world = Arc::clone(world);
    tasks.spawn(network::proxy(Arc::clone(&world)));
    tasks.spawn(async move {
        loop {
            for pod in world.store.list(Kind::Pod).1 {
                if known.insert(uid(&pod).to_owned()) {
                    pods.spawn(pod::run(Arc::clone(&world), pod, None));
                }
            }
            while pods.try_join_next().is_some() {}
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Whether a container of the pod does not do its work.
fn is_odd(world: &World, pod: &Value) -> bool {
    containers(pod).any(|spec| world.scenario.behaviour(server_of(pod), text(&spec["name"])).is_some())
}

fn is_ready(pod: &Value) -> bool {
    array(&pod["status"]["conditions"]).any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The server that a pod is of.
fn server_of(pod: &Value) -> &str {
    text(&pod["metadata"]["labels"]["app.kubernetes.io/component"])
}

fn uid(object: &Value) -> &str {
    text(&object["metadata"]["uid"])
}

/// The specs of all containers of a pod.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    array(&pod["spec"]["initContainers"]).chain(array(&pod["spec"]["containers"]))
}

/// The items of an array; none of what is not one.
fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A string; empty of what is not one.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;
