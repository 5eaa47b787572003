//! The objects of one server of the release, and their state. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

const REVISION: &str = "deployment.kubernetes.io/revision";

/// The event in which an autoscaler announced a node for a pod, if there is one; or why it is unknown.
pub type Announced = Result<Option<String>, String>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Server {
    pub name: String,
    /// Deployments whose pods have the server's labels; normally one.
    pub deployments: Vec<Arc<Deployment>>,
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    pub pods: Vec<Arc<Pod>>,
    /// The time of the snapshot, on the cluster's clock.
    #[serde(default)]
    pub now: Timestamp,
    /// Pods of the release that are going away and will make room. Only set if there is an obstacle.
    #[serde(default)]
    pub leaving: Vec<String>,
    /// What an autoscaler has announced for unscheduled pods, by their uids.
    #[serde(default)]
    pub announced: BTreeMap<String, Announced>,
}

pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether a pod has ended, such as an evicted one: the object remains, its containers are gone.
pub fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Failed" | "Succeeded")
}

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Unknown")
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub fn counted(pods: &[&Arc<Pod>]) -> String {
    let names: Vec<_> = pods.iter().map(|pod| pod.name_any()).collect();
    match names.as_slice() {
        [] => "no pod".to_owned(),
        [one] => format!("1 pod: {one}"),
        all => format!("{} pods: {}", all.len(), all.join(", ")),
    }
}

impl Server {
    /// The pods that are neither being deleted nor ended.
    pub fn current(&self) -> Vec<&Arc<Pod>> {
        self.pods.iter().filter(|pod| !is_terminating(pod) && !has_ended(pod)).collect()
    }

    /// Pods that are being deleted and have not ended: their sidecars still write.
    pub fn terminating(&self) -> Vec<&Arc<Pod>> {
        self.pods.iter().filter(|pod| is_terminating(pod) && !has_ended(pod)).collect()
    }

    /// The Deployment; `None` unless there is exactly one.
    pub fn deployment(&self) -> Option<&Deployment> {
        match self.deployments.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    pub fn newest_set(&self) -> Option<&Arc<ReplicaSet>> {
        let revision = self.deployment()?.annotations().get(REVISION)?;
        self.replica_sets.iter().find(|set| set.annotations().get(REVISION) == Some(revision))
    }

    pub fn is_newest(&self, pod: &Pod) -> bool {
        self.newest_set()
            .is_some_and(|set| pod.owner_references().iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref()))
    }

    pub fn replicas(&self) -> Option<i32> {
        self.deployment().and_then(|deployment| deployment.spec.as_ref()).map(|spec| spec.replicas.unwrap_or(1))
    }

    pub(in crate::cluster) fn wanted(&self) -> usize {
        usize::try_from(self.replicas().unwrap_or(1)).unwrap_or_default()
    }

    pub(in crate::cluster) fn newest(&self) -> Vec<&Arc<Pod>> {
        self.current().into_iter().filter(|pod| self.is_newest(pod)).collect()
    }

    /// Whether the controller has observed the Deployment's newest generation.
    pub(in crate::cluster) fn is_observed(&self) -> bool {
        let observed =
            |deployment: &Deployment| deployment.status.as_ref().and_then(|status| status.observed_generation);
        self.deployment().is_some_and(|deployment| observed(deployment) >= deployment.metadata.generation)
    }
}
