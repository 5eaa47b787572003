//! The controllers of Deployments and ReplicaSets: from a Deployment's spec to its pods.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::super::object::{is_deleted, is_ready, name, stamp};
use super::super::{NAMESPACE, World};
use super::{Kind, install, owned, owned_by};

/// The annotation that numbers the ReplicaSets of a Deployment.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The label that tells the pods of a Deployment's ReplicaSets apart.
const HASH: &str = "pod-template-hash";

/// Takes every Deployment a step further, as a rolling update goes with the usual `maxSurge` and `maxUnavailable` and one
/// pod: the old one goes when the new one is Ready.
pub(super) fn reconcile(world: &World) {
    for deployment in world.store.list(Kind::Deployment) {
        let newest = newest(world, &deployment);
        let ready = owned(world, Kind::Pod, &newest).iter().filter(|pod| !is_deleted(pod) && is_ready(pod)).count();
        let wanted = replicas(&deployment);
        for set in owned(world, Kind::ReplicaSet, &deployment) {
            let is_newest = name(&set) == name(&newest);
            let count = if is_newest {
                wanted
            } else if ready >= wanted {
                0
            } else {
                replicas(&set)
            };
            scale(world, &set, count);
        }
        let status = json!({"observedGeneration": deployment["metadata"]["generation"]});
        world.store.edit(Kind::Deployment, name(&deployment), |live| live["status"] = status);
    }
}

/// The ReplicaSet of the Deployment's template, which is made if it is not there.
fn newest(world: &World, deployment: &Value) -> Value {
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
        let set = json!({"metadata": metadata, "spec": {"replicas": 0, "template": template}});
        install::put(world, Kind::ReplicaSet, set);
        world.store.edit(Kind::Deployment, name(deployment), |live| {
            live["metadata"]["annotations"][REVISION] = json!(revision);
        });
    }
    world.store.get(Kind::ReplicaSet, &newest).map(|set| Value::clone(&set)).unwrap_or_default()
}

/// Makes pods of a ReplicaSet, or marks some as deleted, until as many count as wanted.
fn scale(world: &World, set: &Value, wanted: usize) {
    let mut active: Vec<_> = owned(world, Kind::Pod, set).into_iter().filter(|pod| !is_deleted(pod)).collect();
    let refusal = refusal(world).filter(|_| active.len() < wanted);
    world.store.edit(Kind::ReplicaSet, name(set), |live| {
        live["spec"]["replicas"] = json!(wanted);
        if let Some(refusal) = &refusal
            && live["status"].is_null()
        {
            live["status"] = json!({"conditions": [refusal]});
        }
    });
    if refusal.is_some() {
        return;
    }
    // Ready ones last.
    active.sort_by_key(|pod| is_ready(pod));
    for pod in active.iter().take(active.len().saturating_sub(wanted)) {
        world.terminate(name(pod));
    }
    for _ in active.len()..wanted {
        let template = &set["spec"]["template"];
        let own = format!("{}-{:08x}", name(set), rand::random::<u32>());
        let mut metadata = owned_by(Kind::ReplicaSet, set, &own, &template["metadata"]["labels"]);
        metadata["annotations"] = template["metadata"]["annotations"].clone();
        install::put(world, Kind::Pod, json!({"metadata": metadata, "spec": template["spec"]}));
    }
}

/// What a ReplicaSet's status says where the namespace's level of `PodSecurity` allows no `hostPath`, which all pods have.
fn refusal(world: &World) -> Option<Value> {
    let namespace = world.store.get(Kind::Namespace, NAMESPACE)?;
    let level = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].as_str()?;
    let message = format!("pods \"x\" is forbidden: violates PodSecurity \"{level}:latest\": hostPath");
    Some(json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
        "lastTransitionTime": stamp(world.now())}))
}

fn replicas(object: &Value) -> usize {
    object["spec"]["replicas"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1)
}
