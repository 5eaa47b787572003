//! The node: its kubelet runs the pods that are in the store, on real folders and ports of this machine.
//!
//! Speaks with the other parts through the store and the logs, and does what the API server is asked to do in a pod.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;

use super::object::{Kind, is_ready, uid};
use super::world::World;

mod command;
mod container;
mod life;
mod mounts;
mod network;
mod nfs;
mod pod;
mod rsync;
mod status;

pub(super) use container::Container;
pub(super) use mounts::vanish;
pub(super) use network::connect_pod;

/// How long the start waits at most for pods to be Ready, and for each: one that cannot be goes on by itself.
const UP: Duration = Duration::from_secs(5);
const EACH: Duration = Duration::from_millis(20);

/// Starts the node, and returns when its pods are Ready.
pub(super) async fn start(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    for folder in [&world.data, &world.node] {
        std::fs::create_dir_all(folder)?;
    }
    tasks.spawn(network::proxy(Arc::clone(world)).boxed());
    tasks.spawn(kubelet(Arc::clone(world)).boxed());
    let count = u32::try_from(world.store.list(Kind::Pod).len()).unwrap_or(u32::MAX);
    let mut state = world.store.state();
    let are_up = state.wait_for(|now| now.list(Kind::Pod).iter().all(|pod| is_ready(pod)));
    // Those that are not up are run on all the same.
    drop(tokio::time::timeout(UP + EACH * count, are_up).await);
    Ok(())
}

async fn kubelet(world: Arc<World>) {
    let mut state = world.store.state();
    let (mut pods, mut known) = (JoinSet::new(), HashSet::new());
    loop {
        for pod in state.borrow_and_update().list(Kind::Pod) {
            if known.insert(uid(&pod).to_owned()) {
                pods.spawn(pod::run(Arc::clone(&world), pod).boxed());
            }
        }
        while pods.try_join_next().is_some() {}
        if state.changed().await.is_err() {
            return;
        }
    }
}
