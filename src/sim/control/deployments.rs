//! The controllers of Deployments and ReplicaSets: from a Deployment's spec to its pods.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::object::{is_deleted, is_ready, items, name, server, stamp, uid};
use super::super::scenario::NoPod;
use super::super::{NAMESPACE, World};
use super::{Kind, hash, install, owned, owned_by, suffix};

/// The annotation that numbers the ReplicaSets of a Deployment.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The label that tells the pods of a Deployment's ReplicaSets apart.
const HASH: &str = "pod-template-hash";

/// Takes every Deployment a step further, as a rolling update goes with the usual `maxSurge` and `maxUnavailable` and one
/// pod: the old one goes when the new one is Ready.
pub(super) fn reconcile(world: &World, created: Timestamp) {
    for deployment in world.store.list(Kind::Deployment) {
        let newest = newest(world, &deployment, created);
        let ready = owned(world, Kind::Pod, &newest).iter().filter(|pod| !is_deleted(pod) && is_ready(pod)).count();
        let wanted = replicas(&deployment);
        for set in owned(world, Kind::ReplicaSet, &deployment) {
            if name(&set) == name(&newest) {
                scale(world, &set, wanted, created);
            } else {
                scale(world, &set, if ready >= wanted { 0 } else { replicas(&set) }, created);
            }
        }
        let status = json!({"observedGeneration": deployment["metadata"]["generation"]});
        world.store.edit(Kind::Deployment, name(&deployment), |live| live["status"] = status);
    }
}

/// The ReplicaSet of the Deployment's template, which is made if it is not there.
fn newest(world: &World, deployment: &Value, created: Timestamp) -> Value {
    let mut template = deployment["spec"]["template"].clone();
    let hash = suffix(hash(&template), 10);
    let newest = format!("{}-{hash}", name(deployment));
    if world.store.get(Kind::ReplicaSet, &newest).is_none() {
        let revision = (owned(world, Kind::ReplicaSet, deployment).len() + 1).to_string();
        template["metadata"]["labels"][HASH] = json!(hash);
        let mut metadata = owned_by(Kind::Deployment, deployment, &newest, &template["metadata"]["labels"]);
        metadata["annotations"] = json!({REVISION: revision});
        let set = json!({"metadata": metadata, "spec": {"replicas": 0, "template": template}});
        install::put(world, Kind::ReplicaSet, set, created);
        world.store.edit(Kind::Deployment, name(deployment), |live| {
            live["metadata"]["annotations"][REVISION] = json!(revision);
        });
    }
    world.store.get(Kind::ReplicaSet, &newest).map(|set| Value::clone(&set)).unwrap_or_default()
}

/// Makes pods of a ReplicaSet, or marks some as deleted, until as many count as wanted.
fn scale(world: &World, set: &Value, wanted: usize, created: Timestamp) {
    world.store.edit(Kind::ReplicaSet, name(set), |live| live["spec"]["replicas"] = json!(wanted));
    let mut active: Vec<_> = owned(world, Kind::Pod, set).into_iter().filter(|pod| !is_deleted(pod)).collect();
    // Ready ones last.
    active.sort_by_key(|pod| is_ready(pod));
    for pod in active.iter().take(active.len().saturating_sub(wanted)) {
        world.terminate(name(pod));
    }
    let no_pod = world.scenario.no_pod.as_ref().filter(|_| server(set) == world.scenario.server);
    let no_pod = no_pod.filter(|no_pod| no_pod.holds(world.elapsed()));
    if let Some(no_pod) = no_pod.filter(|no_pod| !no_pod.unschedulable && active.len() < wanted) {
        return refuse(world, set, no_pod);
    }
    for _ in active.len()..wanted {
        let template = &set["spec"]["template"];
        let own = format!("{}-{}", name(set), suffix(rand::random(), 5));
        let mut metadata = owned_by(Kind::ReplicaSet, set, &own, &template["metadata"]["labels"]);
        metadata["annotations"] = template["metadata"]["annotations"].clone();
        let mut pod = json!({"metadata": metadata, "spec": template["spec"]});
        if let Some(no_pod) = no_pod {
            pod["status"]["conditions"] = json!([condition(world, "PodScheduled", "Unschedulable", no_pod)]);
        }
        install::put(world, Kind::Pod, pod, created);
        if let Some(reason) = no_pod.and_then(|no_pod| no_pod.announced.as_deref()) {
            announce(world, &own, reason);
        }
    }
}

/// Says, if that is not said yet, that no pod is made.
fn refuse(world: &World, set: &Value, no_pod: &NoPod) {
    world.store.edit(Kind::ReplicaSet, name(set), |live| {
        if items(&live["status"]["conditions"]).next().is_none() {
            live["status"]["conditions"] = json!([condition(world, "ReplicaFailure", "FailedCreate", no_pod)]);
        }
    });
}

fn condition(world: &World, kind: &str, reason: &str, no_pod: &NoPod) -> Value {
    let status = if no_pod.unschedulable { "False" } else { "True" };
    json!({"type": kind, "status": status, "reason": reason, "message": no_pod.says,
        "lastTransitionTime": stamp(world.now() - no_pod.age.unwrap_or_default())})
}

/// The event in which an autoscaler says that it makes a node for a pod.
fn announce(world: &World, pod: &str, reason: &str) {
    let uid = world.store.get(Kind::Pod, pod).map(|pod| uid(&pod).to_owned());
    let event = json!({"metadata": {"name": format!("{pod}.{reason}"), "namespace": NAMESPACE}, "type": "Normal",
        "reason": reason, "involvedObject": {"kind": "Pod", "name": pod, "uid": uid}, "message": "pod triggered scale-up"});
    world.store.put(Kind::Event, event, world.now());
}

fn replicas(object: &Value) -> usize {
    object["spec"]["replicas"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1)
}
