//! The control plane: the chart's objects, the controllers that follow them, and what a scenario breaks.
//!
//! Speaks with the API server and the node through the store only, but for what a scenario does to folders and logs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
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
/// How long ago the release was installed.
const AGE: Duration = Duration::from_secs(600);
/// What Kubernetes makes suffixes of names of.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Installs the release as it was some time ago, breaks what is broken from the beginning, and starts the controllers;
/// returns when there are pods.
pub(super) fn start(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    let created = world.now() - AGE;
    let chart = install::install(world, created)?;
    release::install(world, &chart, created)?;
    faults::before(world, created)?;
    settle(world, created);
    let world = Arc::clone(world);
    let controllers = async move {
        let mut state = world.store.state();
        while state.changed().await.is_ok() {
            settle(&world, world.now());
        }
    };
    tasks.spawn(controllers.boxed());
    Ok(())
}

/// Lets the controllers do their work until none finds any; what they make is as old as `created`.
fn settle(world: &World, created: Timestamp) {
    let version = || world.store.state().borrow().version;
    loop {
        let before = version();
        deployments::reconcile(world, created);
        endpoints::reconcile(world, created);
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

/// A suffix such as Kubernetes gives to names.
fn suffix(mut number: u64, length: usize) -> String {
    let mut letter = || {
        let index = usize::try_from(number % 27).unwrap_or_default();
        number /= 27;
        char::from(LETTERS[index])
    };
    (0..length).map(|_| letter()).collect()
}

fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}
