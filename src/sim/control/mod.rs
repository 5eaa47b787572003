//! The control plane: installs the release, runs the controllers, and applies the scenario's faults.
//!
//! Communicates with the API server and the node only through the store, except for faults in folders.

use std::sync::Arc;

use futures::FutureExt;
use tokio::task::JoinSet;

use super::world::World;

mod deployments;
mod endpoints;
mod faults;
mod install;

pub(super) use faults::schedule_faults;

/// Installs the release, applies the initial faults, and starts the controllers; the pods exist when it returns.
pub(super) fn start(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    install::install(world)?;
    faults::apply_initial(world)?;
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
