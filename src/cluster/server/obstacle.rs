//! What keeps a pod of a server's newest ReplicaSet from coming: the API server does not take it, or no node does. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::objects::{Server, has_ended};

/// What may pass by itself, such as a webhook that is just being replaced, is waited for until it is so old.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(20);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// What the API says it of.
    pub object: String,
    /// What was expected of that.
    pub expected: String,
    pub said: String,
    /// Why it may pass by itself; `None` if it will not.
    pub hope: Option<String>,
    pub hint: String,
}

impl Obstacle {
    pub fn seen(&self) -> String {
        let hope = self.hope.as_ref().map(|hope| format!(" (waited for as long as --timeout allows: {hope})"));
        format!("{}{}", self.said, hope.unwrap_or_default())
    }
}

/// Why the newest try of a ReplicaSet to make a pod failed. The controller sets this condition at the first failure, leaves its
/// time and words as they are at each further one, and removes it when it has made the pod.
/// Source: <https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/replicaset/replica_set_utils.go#L124>
pub fn refusal(set: &ReplicaSet) -> Option<&ReplicaSetCondition> {
    let status = set.status.as_ref()?;
    let is_newest = status.observed_generation >= set.metadata.generation;
    let mut conditions = status.conditions.iter().flatten();
    let is_it = |condition: &&ReplicaSetCondition| {
        let is_true = condition.type_ == "ReplicaFailure" && condition.status == "True";
        is_true && condition.reason.as_deref() == Some("FailedCreate")
    };
    conditions.find(is_it).filter(|_| is_newest)
}

/// Why the scheduler has found no node for a pod. Each further try gives new words, and leaves the time as it is.
/// Source: <https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/api/v1/pod/util.go#L363>
pub fn unscheduled(pod: &Pod) -> Option<&PodCondition> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let is_it = |condition: &&PodCondition| {
        let is_false = condition.type_ == "PodScheduled" && condition.status == "False";
        is_false && condition.reason.as_deref() == Some("Unschedulable")
    };
    conditions.find(is_it).filter(|_| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod))
}

/// Whether an admission plugin has looked at the pod and will say the same the next time.
fn is_denial(said: &str) -> bool {
    let of_webhook = said.contains("admission webhook") && said.contains("denied the request");
    of_webhook || said.contains("violates PodSecurity") || said.contains("denied request:")
}

impl Server {
    /// What keeps a pod of the newest ReplicaSet from coming, if anything does.
    pub fn obstacle(&self) -> Option<Obstacle> {
        if !self.is_observed() {
            return self.not_taken_up();
        }
        let set = self.newest_set()?;
        let newest = self.newest();
        let refusal = refusal(set).filter(|_| newest.len() < self.wanted());
        let refused = refusal.map(|condition| self.refused(set, condition));
        refused.or_else(|| newest.iter().find_map(|pod| Some(self.unschedulable(pod, unscheduled(pod)?))))
    }

    /// Why the controller could make no ReplicaSet of the newest change. These words are still there when the Deployment is
    /// changed again, so that only those of its first generation are surely of it.
    /// Source: <https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/deployment/sync.go#L272>
    fn not_taken_up(&self) -> Option<Obstacle> {
        let deployment = self.deployment()?;
        let mut conditions = deployment.status.as_ref()?.conditions.iter().flatten();
        let condition = conditions.find(|condition| {
            condition.status == "False" && condition.reason.as_deref() == Some("ReplicaSetCreateError")
        })?;
        let said = condition.message.clone().unwrap_or_default();
        let is_final = is_denial(&said) && deployment.metadata.generation == Some(1);
        Some(Obstacle {
            object: format!("Deployment {}", deployment.name_any()),
            expected: "to make a ReplicaSet".to_owned(),
            hope: (!is_final).then(|| "the controller tries again".to_owned()),
            hint: self.hint(&said),
            said,
        })
    }

    fn refused(&self, set: &ReplicaSet, condition: &ReplicaSetCondition) -> Obstacle {
        let said = condition.message.clone().unwrap_or_default();
        let needs_room = said.contains("exceeded quota");
        let hope = || self.hope(condition.last_transition_time.as_ref().map(|time| time.0), needs_room);
        Obstacle {
            object: format!("ReplicaSet {}", set.name_any()),
            expected: "to make the server's pod".to_owned(),
            hope: if is_denial(&said) { None } else { hope() },
            hint: self.hint(&said),
            said,
        }
    }

    fn unschedulable(&self, pod: &Pod, condition: &PodCondition) -> Obstacle {
        let announced = || match self.announced.get(&pod.uid().unwrap_or_default()) {
            Some(Ok(None)) => None,
            Some(Ok(Some(event))) => Some(format!("an autoscaler has announced a node: {event}")),
            Some(Err(why)) => Some(format!("whether an autoscaler has announced a node is not known: {why}")),
            None => Some("whether an autoscaler has announced a node is being asked".to_owned()),
        };
        // Pods of lower priority have to end first.
        let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_ref());
        let nominated = || nominated.map(|node| format!("room is being made on node {node}"));
        let since = condition.last_transition_time.as_ref().map(|time| time.0);
        Obstacle {
            object: format!("pod {}", pod.name_any()),
            expected: "a node to run on".to_owned(),
            said: format!("Unschedulable: {}", condition.message.as_deref().unwrap_or_default()),
            hope: self.hope(since, true).or_else(nominated).or_else(announced),
            hint: "make a node fit what the message names (its labels, taints, free CPU and memory): kubectl describe \
                   nodes; or change the pod's nodeSelector, tolerations or requests"
                .to_owned(),
        }
    }

    /// Why what is no denial may pass by itself, whoever it is about.
    fn hope(&self, since: Option<Timestamp>, needs_room: bool) -> Option<String> {
        let own = self.terminating().first().map(|pod| format!("pod {} is being deleted", pod.name_any()));
        let others = || self.leaving.first().filter(|_| needs_room).cloned();
        let is_young = since.is_none_or(|since| self.now.duration_since(since) < PATIENCE);
        let young = || is_young.then(|| format!("it is not {} s old", PATIENCE.as_secs()));
        own.or_else(others).or_else(young)
    }

    fn hint(&self, said: &str) -> String {
        let deployment = self.deployment();
        let name = deployment.map(ResourceExt::name_any).unwrap_or_default();
        let namespace = deployment.and_then(ResourceExt::namespace).unwrap_or_default();
        let what = if said.contains("violates PodSecurity") {
            format!(
                "set the label pod-security.kubernetes.io/enforce of namespace {namespace} to a level that allows the pod \
                 (hostPath needs privileged), or change the pod"
            )
        } else {
            format!(
                "change the pod, or what the message names: the policy, webhook or quota (of namespace {namespace})"
            )
        };
        format!("{what}; then kubectl rollout restart deployment {name}, because the controller tries ever more seldom")
    }
}

#[cfg(test)]
mod tests;
