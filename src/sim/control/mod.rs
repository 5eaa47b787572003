//! The control plane: the chart's objects, the controllers that follow them, and what a scenario breaks.
//!
//! Speaks with the API server and the node through the store only, but for what a scenario does to folders and logs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::World;
use super::store::Kind;

mod chart;
mod deployments;
mod endpoints;
mod faults;
mod release;

pub(super) use faults::begin;

/// The node's name.
pub(super) const NODE: &str = "file-simulator";
/// What the names of the chart's objects have before the server's.
const PREFIX: &str = "file-sim-file-simulator-";
/// How long ago the release was installed.
const AGE: Duration = Duration::from_secs(600);
/// What Kubernetes makes suffixes of names of.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Installs the release, breaks what is broken from the beginning, and starts the controllers; returns when there are
/// pods.
pub(super) fn start(world: &Arc<World>, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    let created = world.now() - AGE;
    install(world, created)?;
    let world = Arc::clone(world);
    tasks.spawn(async move {
        let mut changes = world.store.changes();
        loop {
            settle(&world, world.now());
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn install(world: &Arc<World>, created: Timestamp) -> anyhow::Result<()> {
    let values = chart::install(world, created)?;
    release::install(world, &values, created)?;
    faults::before(world, created)?;
    settle(world, created);
    Ok(())
}

/// Marks a pod as deleted: from then on its controller does not count it, and the node ends and removes it.
pub(super) fn terminate(world: &World, pod: &str) {
    world.store.edit(Kind::Pod, pod, |pod| {
        if pod["metadata"]["deletionTimestamp"].is_null() {
            let grace = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
            let end = world.now() + SignedDuration::from_secs(grace);
            pod["metadata"]["deletionTimestamp"] = json!(format!("{end:.0}"));
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
    });
}

/// Lets every controller do its work until none finds any; what they make is as old as `created`.
fn settle(world: &World, created: Timestamp) {
    loop {
        let (before, _) = world.store.list(Kind::Pod);
        collect_garbage(world);
        deployments::reconcile(world, created);
        endpoints::reconcile(world, created);
        if world.store.list(Kind::Pod).0 == before {
            return;
        }
    }
}

/// Removes what has lost its owner.
fn collect_garbage(world: &World) {
    let owners = [Kind::Deployment, Kind::ReplicaSet, Kind::Service].map(|kind| world.store.list(kind).1);
    let alive: BTreeSet<&str> = owners.iter().flatten().filter_map(|owner| owner["metadata"]["uid"].as_str()).collect();
    for kind in [Kind::ReplicaSet, Kind::EndpointSlice, Kind::Pod] {
        let (_, objects) = world.store.list(kind);
        let is_orphan = |object: &&Arc<Value>| owner(object).is_some_and(|uid| !alive.contains(uid));
        for orphan in objects.iter().filter(is_orphan) {
            match kind {
                Kind::Pod => terminate(world, name(orphan)),
                _ => world.store.remove(kind, name(orphan)),
            }
        }
    }
}

/// What names an object that its owner's controller makes.
fn owner_references(kind: Kind, owner: &Value) -> Value {
    let [version, kind, _] = kind.names();
    let (name, uid) = (&owner["metadata"]["name"], &owner["metadata"]["uid"]);
    json!([{"apiVersion": version, "kind": kind, "name": name, "uid": uid,
        "controller": true, "blockOwnerDeletion": true}])
}

/// The uid of the object's owner.
fn owner(object: &Value) -> Option<&str> {
    object.pointer("/metadata/ownerReferences/0/uid")?.as_str()
}

/// The objects that an object owns.
fn owned(world: &World, kind: Kind, by: &Value) -> Vec<Arc<Value>> {
    let uid = by["metadata"]["uid"].as_str();
    world.store.list(kind).1.into_iter().filter(|object| uid.is_some() && owner(object) == uid).collect()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Whether a pod has ended, and only its object is left.
fn has_ended(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
}

/// Whether a pod counts for its controller.
fn is_active(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null() && !has_ended(pod)
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

/// A number that stands for a value.
fn hash(value: &Value) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
