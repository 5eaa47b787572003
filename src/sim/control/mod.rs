//! The control plane: the chart's objects, the controllers that follow them, and what a scenario breaks.
//!
//! Speaks with the API server and the node through the store only, but for what a scenario does to folders.

use std::sync::Arc;

use futures::FutureExt;
use tokio::task::JoinSet;

use super::world::World;

mod deployments;
mod endpoints;
mod faults;
mod install;

pub(super) use faults::begin;

/// Installs the release as it was some time ago, breaks what is broken from the beginning, and starts the controllers;
/// returns when there are pods.
pub(super) fn start(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    install::install(world)?;
    faults::before(world)?;
    settle(world);
    let world = Arc::clone(world);
    let controllers = async move {
        let mut state = world.store.state();
        while state.changed().await.is_ok() {
            settle(&world);
        }
    };
    tasks.spawn(controllers.boxed());
    Ok(())
}

/// Lets the controllers do their work until none finds any.
fn settle(world: &World) {
    let version = || world.store.state().borrow().version;
    loop {
        let before = version();
        deployments::reconcile(world);
        endpoints::reconcile(world);
        if version() == before {
            return;
        }
    }
}
