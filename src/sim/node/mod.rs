//! The node: its kubelet runs the store's pods on real folders and ports of this machine.
//!
//! Communicates through the store and the logs; the API server also runs commands in containers and connects to pods.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;

use super::object::{Kind, is_ready, uid};
use super::world::World;

mod command;
mod container;
mod mounts;
mod network;
mod nfs;
mod pod;
mod rsync;
mod status;
mod work;

pub(super) use container::Container;
pub(super) use mounts::move_folder_away;
pub(super) use network::connect_pod;

/// How long `start` waits for Ready pods.
const UP: Duration = Duration::from_secs(5);
const UP_PER_POD: Duration = Duration::from_millis(20);

/// Returns when all pods are Ready, or after a time limit, because broken pods never are.
pub(super) async fn start(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    for folder in [&world.data, &world.node] {
        std::fs::create_dir_all(folder)?;
    }
    tasks.spawn(network::proxy(Arc::clone(world)).boxed());
    tasks.spawn(kubelet(Arc::clone(world)).boxed());
    let count = u32::try_from(world.store.list(Kind::Pod).len()).unwrap_or(u32::MAX);
    let mut state = world.store.state();
    let are_up = state.wait_for(|now| now.list(Kind::Pod).iter().all(|pod| is_ready(pod)));
    drop(tokio::time::timeout(UP + UP_PER_POD * count, are_up).await);
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
