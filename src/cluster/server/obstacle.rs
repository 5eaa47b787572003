//! What keeps a server's newest pod from existing or running: the API server rejects it, or no node fits. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::objects::{Server, has_ended};

/// How long to wait for an obstacle that may resolve itself, such as a webhook that is just being replaced.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(20);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// The object that reports it.
    pub object: String,
    pub expected: String,
    #[serde(rename = "said")]
    pub message: String,
    /// Why it may resolve itself; `None` if it is final.
    #[serde(rename = "hope")]
    pub may_resolve: Option<String>,
    pub hint: String,
}

impl Obstacle {
    pub fn seen(&self) -> String {
        let waited = self.may_resolve.as_ref().map(|why| format!(" (waited until --timeout, because {why})"));
        format!("{}{}", self.message, waited.unwrap_or_default())
    }
}

/// Why a ReplicaSet last failed to create a pod. The controller sets this condition at the first failure, does not update its
/// time and message at later ones, and removes it once it has created the pod.
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

/// Why the scheduler found no node for a pod. Later attempts update the message, but not the time.
/// Source: <https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/api/v1/pod/util.go#L363>
pub fn unscheduled(pod: &Pod) -> Option<&PodCondition> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    let is_it = |condition: &&PodCondition| {
        let is_false = condition.type_ == "PodScheduled" && condition.status == "False";
        is_false && condition.reason.as_deref() == Some("Unschedulable")
    };
    conditions.find(is_it).filter(|_| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod))
}

/// Whether an admission plugin denied the pod, and will deny it again.
fn is_denial(message: &str) -> bool {
    let by_webhook = message.contains("admission webhook") && message.contains("denied the request");
    by_webhook || message.contains("violates PodSecurity") || message.contains("denied request:")
}

impl Server {
    /// What keeps the newest ReplicaSet's pods from being created or scheduled, if anything does.
    pub fn obstacle(&self) -> Option<Obstacle> {
        if !self.is_observed() {
            return self.no_replica_set();
        }
        let set = self.newest_set()?;
        let newest = self.newest();
        let refusal = refusal(set).filter(|_| newest.len() < self.wanted());
        let refused = refusal.map(|condition| self.refused(set, condition));
        refused.or_else(|| newest.iter().find_map(|pod| Some(self.unschedulable(pod, unscheduled(pod)?))))
    }

    /// Why the controller could not create a ReplicaSet for the newest change. The condition remains when the Deployment is
    /// changed again, so it certainly belongs to the newest generation only if that is the first.
    /// Source: <https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/deployment/sync.go#L272>
    fn no_replica_set(&self) -> Option<Obstacle> {
        let deployment = self.deployment()?;
        let mut conditions = deployment.status.as_ref()?.conditions.iter().flatten();
        let condition = conditions.find(|condition| {
            condition.status == "False" && condition.reason.as_deref() == Some("ReplicaSetCreateError")
        })?;
        let message = condition.message.clone().unwrap_or_default();
        let is_final = is_denial(&message) && deployment.metadata.generation == Some(1);
        Some(Obstacle {
            object: format!("Deployment {}", deployment.name_any()),
            expected: "to create a ReplicaSet".to_owned(),
            may_resolve: (!is_final).then(|| "the controller retries".to_owned()),
            hint: self.hint(&message),
            message,
        })
    }

    fn refused(&self, set: &ReplicaSet, condition: &ReplicaSetCondition) -> Obstacle {
        let message = condition.message.clone().unwrap_or_default();
        let needs_room = message.contains("exceeded quota");
        let may_resolve = || self.may_resolve(condition.last_transition_time.as_ref().map(|time| time.0), needs_room);
        Obstacle {
            object: format!("ReplicaSet {}", set.name_any()),
            expected: "to create the server's pod".to_owned(),
            may_resolve: if is_denial(&message) { None } else { may_resolve() },
            hint: self.hint(&message),
            message,
        }
    }

    fn unschedulable(&self, pod: &Pod, condition: &PodCondition) -> Obstacle {
        let announced = || match self.announced.get(&pod.uid().unwrap_or_default()) {
            Some(Ok(None)) => None,
            Some(Ok(Some(event))) => Some(format!("an autoscaler announced a node: {event}")),
            Some(Err(error)) => Some(format!("an autoscaler may have announced a node; cannot check: {error}")),
            None => Some("an autoscaler may have announced a node; not checked yet".to_owned()),
        };
        let nominated = pod.status.as_ref().and_then(|status| status.nominated_node_name.as_ref());
        let nominated = || nominated.map(|node| format!("the scheduler is evicting pods from node {node} for it"));
        let since = condition.last_transition_time.as_ref().map(|time| time.0);
        Obstacle {
            object: format!("pod {}", pod.name_any()),
            expected: "a node to run on".to_owned(),
            message: format!("Unschedulable: {}", condition.message.as_deref().unwrap_or_default()),
            may_resolve: self.may_resolve(since, true).or_else(nominated).or_else(announced),
            hint: "change a node to satisfy the message (labels, taints, free CPU and memory; see kubectl describe nodes), or \
                   change the pod's nodeSelector, tolerations or requests"
                .to_owned(),
        }
    }

    /// Why an obstacle other than a denial may resolve itself.
    fn may_resolve(&self, since: Option<Timestamp>, needs_room: bool) -> Option<String> {
        let own = self.terminating().first().map(|pod| format!("pod {} is being deleted", pod.name_any()));
        let others = || self.leaving.first().filter(|_| needs_room).cloned();
        let is_new = since.is_none_or(|since| self.now.duration_since(since) < PATIENCE);
        let new = || is_new.then(|| format!("it began less than {} s ago", PATIENCE.as_secs()));
        own.or_else(others).or_else(new)
    }

    fn hint(&self, message: &str) -> String {
        let deployment = self.deployment();
        let name = deployment.map(ResourceExt::name_any).unwrap_or_default();
        let namespace = deployment.and_then(ResourceExt::namespace).unwrap_or_default();
        let fix = if message.contains("violates PodSecurity") {
            format!(
                "set the label pod-security.kubernetes.io/enforce of namespace {namespace} to a level that allows the pod \
                 (hostPath needs privileged), or change the pod"
            )
        } else {
            format!("change the pod, or the policy, webhook or quota (of namespace {namespace}) that the message names")
        };
        format!(
            "{fix}; then run kubectl rollout restart deployment {name}, because the controller retries less and less often"
        )
    }
}

#[cfg(test)]
mod tests;
