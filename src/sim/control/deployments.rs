//! The controllers of Deployments and ReplicaSets.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::sim::object::{Kind, is_ready, is_terminating, items, name, owned_by, stamp, uid};
use crate::sim::world::{NAMESPACE, World};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HASH: &str = "pod-template-hash";

/// Advances each rolling update by one step; as with the default `maxSurge` and `maxUnavailable`, old pods are deleted when the
/// new ones are Ready.
pub(super) fn reconcile(world: &World) {
    for deployment in world.store.list(Kind::Deployment) {
        let newest = newest(world, &deployment);
        let desired = replicas(&deployment);
        let (newest, older): (Vec<_>, Vec<_>) =
            owned(world, Kind::ReplicaSet, &deployment).into_iter().partition(|set| name(set) == newest);
        let pods = newest.iter().flat_map(|set| owned(world, Kind::Pod, set));
        let ready = pods.filter(|pod| !is_terminating(pod) && is_ready(pod)).count();
        for set in older {
            scale(world, &set, if ready >= desired { 0 } else { replicas(&set) });
        }
        for set in newest {
            scale(world, &set, desired);
        }
        let status = json!({"observedGeneration": deployment["metadata"]["generation"]});
        world.store.edit(Kind::Deployment, name(&deployment), |live| live["status"] = status);
    }
}

/// The name of the ReplicaSet for the current template; creates it if necessary.
fn newest(world: &World, deployment: &Value) -> String {
    let mut template = deployment["spec"]["template"].clone();
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    let hash = format!("{:x}", hasher.finish());
    let newest = format!("{}-{hash}", name(deployment));
    if world.store.get(Kind::ReplicaSet, &newest).is_none() {
        let revision = (owned(world, Kind::ReplicaSet, deployment).len() + 1).to_string();
        template["metadata"]["labels"][HASH] = json!(hash);
        let mut metadata = owned_by(Kind::Deployment, deployment, &newest, &template["metadata"]["labels"]);
        metadata["annotations"] = json!({REVISION: revision});
        world.put(Kind::ReplicaSet, json!({"metadata": metadata, "spec": {"replicas": 0, "template": template}}));
        world.store.edit(Kind::Deployment, name(deployment), |live| {
            live["metadata"]["annotations"][REVISION] = json!(revision);
        });
    }
    newest
}

fn owned(world: &World, kind: Kind, by: &Value) -> Vec<Arc<Value>> {
    let is_owned = |object: &Value| items(&object["metadata"]["ownerReferences"]).any(|owner| owner["uid"] == *uid(by));
    world.store.list(kind).into_iter().filter(|object| is_owned(object)).collect()
}

fn scale(world: &World, set: &Value, desired: usize) {
    let mut active: Vec<_> = owned(world, Kind::Pod, set).into_iter().filter(|pod| !is_terminating(pod)).collect();
    let denial = denial(world).filter(|_| active.len() < desired);
    world.store.edit(Kind::ReplicaSet, name(set), |live| {
        live["spec"]["replicas"] = json!(desired);
        if let Some(denial) = &denial
            && live["status"].is_null()
        {
            live["status"] = json!({"conditions": [denial]});
        }
    });
    if denial.is_some() {
        return;
    }
    // Pods that are not Ready are deleted first.
    active.sort_by_key(|pod| is_ready(pod));
    for pod in active.iter().take(active.len().saturating_sub(desired)) {
        world.terminate(name(pod));
    }
    for _ in active.len()..desired {
        let template = &set["spec"]["template"];
        let pod = format!("{}-{:08x}", name(set), rand::random::<u32>());
        let mut metadata = owned_by(Kind::ReplicaSet, set, &pod, &template["metadata"]["labels"]);
        metadata["annotations"] = template["metadata"]["annotations"].clone();
        world.put(Kind::Pod, json!({"metadata": metadata, "spec": template["spec"]}));
    }
}

/// The `ReplicaFailure` condition if the namespace enforces a `PodSecurity` level, which forbids `hostPath` volumes.
fn denial(world: &World) -> Option<Value> {
    let namespace = world.store.get(Kind::Namespace, NAMESPACE)?;
    let level = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].as_str()?;
    let message = format!("pods \"x\" is forbidden: violates PodSecurity \"{level}:latest\": hostPath");
    Some(json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
        "lastTransitionTime": stamp(world.now())}))
}

fn replicas(object: &Value) -> usize {
    object["spec"]["replicas"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1)
}
