//! The controllers of Deployments and ReplicaSets: from a Deployment's spec to pods, and from pods to its status.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::World;
use super::{Kind, chart, has_ended, hash, is_active, is_ready, name, owned, owner_references, suffix, terminate};

/// The annotation that numbers the ReplicaSets of a Deployment.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// The label that tells the pods of a Deployment's ReplicaSets apart.
const HASH: &str = "pod-template-hash";
/// How many pods a rolling update may have too many: a quarter of one or two, rounded up. Of those it may have too few
/// it is rounded down, to none.
const SURGE: usize = 1;

/// Takes every Deployment a step further.
pub(super) fn reconcile(world: &World, created: Timestamp) {
    for deployment in world.store.list(Kind::Deployment).1 {
        let newest = newest(world, &deployment, created);
        let sets = || -> Vec<Set> {
            owned(world, Kind::ReplicaSet, &deployment).into_iter().map(|set| Set::new(world, set)).collect()
        };
        scale(world, &deployment, &newest, &sets());
        for set in sets() {
            set.reconcile(world, created);
        }
        status(world, &deployment, &newest, &sets());
    }
}

/// A ReplicaSet and its pods.
struct Set {
    object: Arc<Value>,
    pods: Vec<Arc<Value>>,
}

/// The name of the ReplicaSet of the Deployment's template; it is made, or made the newest again, if it is not.
fn newest(world: &World, deployment: &Value, created: Timestamp) -> String {
    let template = &deployment["spec"]["template"];
    let hash = suffix(hash(template), 10);
    let newest = format!("{}-{hash}", name(deployment));
    let sets = owned(world, Kind::ReplicaSet, deployment);
    let of = |object: &Value| {
        object["metadata"]["annotations"][REVISION].as_str().and_then(|revision| revision.parse().ok()).unwrap_or(0_u64)
    };
    let last = sets.iter().map(|set| of(set)).max().unwrap_or_default();
    let own = sets.iter().find(|set| name(set) == newest);
    let revision = match own {
        Some(own) if of(own) == last => last,
        _ => last + 1,
    };
    if own.is_none() {
        let mut template = template.clone();
        template["metadata"]["labels"][HASH] = json!(hash);
        let mut selector = deployment["spec"]["selector"].clone();
        selector["matchLabels"][HASH] = json!(hash);
        let metadata = json!({"name": newest, "generation": 1, "labels": template["metadata"]["labels"],
            "ownerReferences": owner_references(Kind::Deployment, deployment)});
        let set = json!({"metadata": metadata, "spec": {"replicas": 0, "selector": selector, "template": template}});
        world.store.put(Kind::ReplicaSet, chart::admitted(world, Kind::ReplicaSet, set), created);
    }
    for (kind, name) in [(Kind::ReplicaSet, newest.as_str()), (Kind::Deployment, name(deployment))] {
        world.store.edit(kind, name, |object| {
            object["metadata"]["annotations"][REVISION] = json!(revision.to_string());
        });
    }
    newest
}

/// Says how many pods each ReplicaSet is to have. Source of the steps of a rolling update: Kubernetes' documentation of
/// `maxSurge` and `maxUnavailable`, and how a real one goes.
fn scale(world: &World, deployment: &Value, newest: &str, sets: &[Set]) {
    let wanted = wanted(deployment);
    let (new, old): (Vec<&Set>, Vec<&Set>) = sets.iter().partition(|set| name(&set.object) == newest);
    let Some(new) = new.first() else { return };
    if deployment["spec"]["strategy"]["type"] == "Recreate" {
        for set in &old {
            set.resize(world, 0);
        }
        if old.iter().all(|set| set.pods.iter().all(|pod| has_ended(pod))) {
            new.resize(world, wanted);
        }
        return;
    }
    let total: usize = sets.iter().map(Set::wanted).sum();
    let grown = wanted.min(new.wanted() + (wanted + SURGE).saturating_sub(total));
    if grown != new.wanted() {
        // The old ones' turn comes with this change.
        return new.resize(world, grown);
    }
    let coming = new.wanted().saturating_sub(new.ready());
    let mut surplus = total.saturating_sub(wanted + coming);
    let mut spare = sets.iter().map(Set::ready).sum::<usize>().saturating_sub(wanted);
    for set in old {
        // First those that serve nobody.
        let idle = set.wanted().saturating_sub(set.ready()).min(surplus);
        let ready = (set.wanted() - idle).min(surplus - idle).min(spare);
        surplus -= idle + ready;
        spare -= ready;
        set.resize(world, set.wanted() - idle - ready);
    }
}

impl Set {
    fn new(world: &World, object: Arc<Value>) -> Self {
        let pods = owned(world, Kind::Pod, &object);
        Self { object, pods }
    }

    fn wanted(&self) -> usize {
        wanted(&self.object)
    }

    fn active(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.pods.iter().filter(|pod| is_active(pod))
    }

    fn ready(&self) -> usize {
        self.active().filter(|pod| is_ready(pod)).count()
    }

    fn resize(&self, world: &World, wanted: usize) {
        world.store.edit(Kind::ReplicaSet, name(&self.object), |set| {
            if set["spec"]["replicas"] != json!(wanted) {
                set["spec"]["replicas"] = json!(wanted);
                set["metadata"]["generation"] = json!(set["metadata"]["generation"].as_u64().unwrap_or_default() + 1);
            }
        });
    }

    /// Makes as many pods as there are to be, or marks some as deleted.
    fn reconcile(&self, world: &World, created: Timestamp) {
        let mut active: Vec<_> = self.active().collect();
        // The best last: Ready ones, and of those the oldest.
        active.sort_by_key(|pod| (is_ready(pod), Reverse(pod["metadata"]["creationTimestamp"].as_str())));
        let surplus = active.len().saturating_sub(self.wanted());
        for pod in active.iter().take(surplus) {
            terminate(world, name(pod));
        }
        for _ in active.len()..self.wanted() {
            world.store.put(Kind::Pod, self.pod(world), created);
        }
        let set = Self::new(world, Arc::clone(&self.object));
        let (replicas, ready) = (set.active().count(), set.ready());
        let counts = [("replicas", replicas), ("readyReplicas", ready), ("availableReplicas", ready)];
        say(world, Kind::ReplicaSet, &self.object, &counts);
    }

    /// A new pod.
    fn pod(&self, world: &World) -> Value {
        let stem = format!("{}-", name(&self.object));
        let mut pod = self.object["spec"]["template"].clone();
        pod["metadata"]["name"] = json!(format!("{stem}{}", suffix(rand::random(), 5)));
        pod["metadata"]["generateName"] = json!(stem);
        pod["metadata"]["ownerReferences"] = owner_references(Kind::ReplicaSet, &self.object);
        chart::admitted(world, Kind::Pod, pod)
    }
}

/// Says in the Deployment's status how far it is.
fn status(world: &World, deployment: &Value, newest: &str, sets: &[Set]) {
    let active = |set: &Set| set.active().count();
    let ready: usize = sets.iter().map(Set::ready).sum();
    let total: usize = sets.iter().map(Set::wanted).sum();
    let counts = [
        ("replicas", sets.iter().map(active).sum()),
        ("updatedReplicas", sets.iter().find(|set| name(&set.object) == newest).map_or(0, active)),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", total.saturating_sub(ready)),
    ];
    say(world, Kind::Deployment, deployment, &counts);
}

/// Writes a status; counts of nothing are left out.
fn say(world: &World, kind: Kind, object: &Value, counts: &[(&str, usize)]) {
    let mut status = json!({"observedGeneration": object["metadata"]["generation"]});
    for (field, count) in counts.iter().filter(|(_, count)| *count > 0) {
        status[*field] = json!(count);
    }
    world.store.edit(kind, name(object), |object| object["status"] = status);
}

/// How many pods a Deployment or a ReplicaSet asks for.
fn wanted(object: &Value) -> usize {
    object["spec"]["replicas"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(1)
}
