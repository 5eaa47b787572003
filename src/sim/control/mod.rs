//! The control plane: the chart's objects, the controllers that follow them, and what a scenario breaks.
//!
//! Speaks with the API server and the node through the store only, but for what a scenario does to folders.

use std::sync::Arc;

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::World;
use super::object::{items, name, uid};
use super::store::Kind;

mod deployments;
mod endpoints;
mod faults;
mod install;
mod release;

pub(super) use faults::begin;

/// What the names of the chart's objects have before the server's.
const PREFIX: &str = "file-sim-file-simulator-";

/// Installs the release as it was some time ago, breaks what is broken from the beginning, and starts the controllers;
/// returns when there are pods.
pub(super) fn start(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    let chart = install::install(world)?;
    release::install(world, &chart)?;
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

/// The metadata of an object that the owner's controller makes.
fn owned_by(kind: Kind, owner: &Value, name: &str, labels: &Value) -> Value {
    let [version, kind, _] = kind.names();
    let reference = json!({"apiVersion": version, "kind": kind, "name": self::name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true});
    json!({"name": name, "labels": labels, "ownerReferences": [reference]})
}

fn owned(world: &World, kind: Kind, by: &Value) -> Vec<Arc<Value>> {
    let is_its = |object: &Value| items(&object["metadata"]["ownerReferences"]).any(|owner| owner["uid"] == *uid(by));
    world.store.list(kind).into_iter().filter(|object| is_its(object)).collect()
}
