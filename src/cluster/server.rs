//! One server of the release as the API shows it: its Deployments, ReplicaSets and pods. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::obstacle::{self, Obstacle};
use super::{Announced, container};

/// The annotation that numbers the ReplicaSets of a Deployment.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The objects of one server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Deployments whose pods carry the server's labels; one, if all is well.
    pub deployments: Vec<Arc<Deployment>>,
    /// The ReplicaSets of those Deployments.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// Every pod with the server's labels.
    pub pods: Vec<Arc<Pod>>,
    /// When this was seen, on the cluster's clock.
    #[serde(default)]
    pub now: Timestamp,
    /// What will make room in the namespace or on its node: pods of the release that are going. Known where that matters.
    #[serde(default)]
    pub leaving: Vec<String>,
    /// What an autoscaler has announced for pods that have no node, by their uids. Known where that matters.
    #[serde(default)]
    pub announced: BTreeMap<String, Announced>,
}

/// Whether a server is still on its way to a steady state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Nothing is under way.
    Settled,
    /// It changes by itself: wait.
    Pending(String),
    /// It will not get better by waiting.
    Hopeless(String),
}

impl Settlement {
    /// What is waited for, if anything.
    pub fn pending(self) -> Option<String> {
        match self {
            Self::Pending(what) => Some(what),
            Self::Settled | Self::Hopeless(_) => None,
        }
    }
}

/// Whether a pod is being deleted.
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether a pod has ended, such as an evicted one: the object stays, its containers are gone.
pub fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Failed" | "Succeeded")
}

/// The pod's phase.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Unknown")
}

/// Whether the pod's Ready condition is true.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// How many pods there are, and which, for messages.
pub fn counted(pods: &[&Arc<Pod>]) -> String {
    let names: Vec<_> = pods.iter().map(|pod| pod.name_any()).collect();
    if names.is_empty() { "no pod".to_owned() } else { format!("{} pods: {}", names.len(), names.join(", ")) }
}

impl Server {
    /// The pods that count: neither being deleted nor ended.
    pub fn current(&self) -> Vec<&Arc<Pod>> {
        self.pods.iter().filter(|pod| !is_terminating(pod) && !has_ended(pod)).collect()
    }

    /// Pods that are being deleted and still have running containers: their sidecars still write.
    pub fn terminating(&self) -> Vec<&Arc<Pod>> {
        self.pods.iter().filter(|pod| is_terminating(pod) && !has_ended(pod)).collect()
    }

    /// The only Deployment; `None` if there is none or more than one.
    pub fn deployment(&self) -> Option<&Deployment> {
        match self.deployments.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The newest ReplicaSet of the Deployment.
    pub fn newest_set(&self) -> Option<&Arc<ReplicaSet>> {
        let revision = self.deployment()?.annotations().get(REVISION)?;
        self.replica_sets.iter().find(|set| set.annotations().get(REVISION) == Some(revision))
    }

    /// Whether the pod belongs to the newest ReplicaSet of the Deployment.
    pub fn is_newest(&self, pod: &Pod) -> bool {
        self.newest_set()
            .is_some_and(|set| pod.owner_references().iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref()))
    }

    /// How many pods the Deployment asks for.
    pub fn replicas(&self) -> Option<i32> {
        self.deployment().and_then(|deployment| deployment.spec.as_ref()).map(|spec| spec.replicas.unwrap_or(1))
    }

    pub(super) fn wanted(&self) -> usize {
        usize::try_from(self.replicas().unwrap_or(1)).unwrap_or_default()
    }

    /// The pods of the newest ReplicaSet that count.
    pub(super) fn newest(&self) -> Vec<&Arc<Pod>> {
        self.current().into_iter().filter(|pod| self.is_newest(pod)).collect()
    }

    /// Whether the controller has taken up the newest change of the Deployment.
    pub(super) fn is_observed(&self) -> bool {
        let observed =
            |deployment: &Deployment| deployment.status.as_ref().and_then(|status| status.observed_generation);
        self.deployment().is_some_and(|deployment| observed(deployment) >= deployment.metadata.generation)
    }

    /// Whether the server still changes by itself.
    pub fn settlement(&self) -> Settlement {
        let obstacle = self.obstacle();
        // Whatever else is under way.
        if let Some(Obstacle { object, said, hope: None, .. }) = &obstacle {
            return Settlement::Hopeless(format!("{object}: {said}"));
        }
        if let [first, ..] = self.terminating().as_slice() {
            return Settlement::Pending(format!("pod {} is being deleted", first.name_any()));
        }
        // Without a Deployment nothing is going to change.
        let Some(deployment) = self.deployment() else {
            return self
                .current()
                .into_iter()
                .find_map(|pod| stuck(pod))
                .map_or(Settlement::Settled, Settlement::Hopeless);
        };
        let name = deployment.name_any();
        if !self.is_observed() {
            return Settlement::Pending(format!("the newest change of Deployment {name} is not taken up yet"));
        }
        let (wanted, newest) = (self.wanted(), self.newest());
        // Only of the newest ReplicaSet: an older pod that is stuck is about to be replaced by the repair.
        if let Some(why) = newest.iter().find_map(|pod| stuck(pod)) {
            return Settlement::Hopeless(why);
        }
        if let Some(Obstacle { object, said, hope: Some(hope), .. }) = obstacle {
            return Settlement::Pending(format!("{object}: {said}; {hope}"));
        }
        if newest.len() != wanted {
            return Settlement::Pending(format!(
                "Deployment {name} has {} of {wanted} pods of its newest ReplicaSet",
                newest.len()
            ));
        }
        if let Some(pod) = newest.iter().find(|pod| !is_ready(pod)) {
            return Settlement::Pending(format!("pod {} is not Ready yet ({})", pod.name_any(), progress(pod)));
        }
        match self.current().into_iter().find(|pod| !self.is_newest(pod) && is_owned(pod)) {
            Some(old) => Settlement::Pending(format!("pod {} of an older ReplicaSet is still there", old.name_any())),
            None => Settlement::Settled,
        }
    }

    /// The same, and whether it serves: it has a pod, and all of them are Ready.
    pub fn readiness(&self) -> Settlement {
        let current = self.current();
        match self.settlement() {
            Settlement::Settled if current.is_empty() || !current.iter().all(|pod| is_ready(pod)) => {
                Settlement::Pending(format!("not Ready: {}", counted(&current)))
            }
            settlement => settlement,
        }
    }
}

/// Why a pod will not become Ready by waiting; `None` if it may.
fn stuck(pod: &Pod) -> Option<String> {
    let views = container::all(pod);
    let view = views.iter().find(|view| view.is_stuck())?;
    Some(format!("pod {}, container {}: {}", pod.name_any(), view.name, view.describe()))
}

/// A pod without an owner is not replaced by anybody: there is nothing to wait for.
fn is_owned(pod: &Pod) -> bool {
    !pod.owner_references().is_empty()
}

/// Where a pod stands that is not Ready yet: its phase, and why it has no node, or the containers that are not ready.
pub fn progress(pod: &Pod) -> String {
    let mut parts = vec![phase(pod).to_owned()];
    if let Some(condition) = obstacle::unscheduled(pod) {
        parts.push(format!("Unschedulable: {}", condition.message.as_deref().unwrap_or_default()));
        return parts.join("; ");
    }
    for view in container::all(pod) {
        if view.status.is_none_or(|status| !status.ready) && view.kind != container::Kind::Ephemeral {
            parts.push(format!("{} {}", view.name, view.describe()));
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::{output_pod, output_server, with};
    use super::*;

    fn settled(changes: &[(&str, Value)]) -> Settlement {
        let server: Server = serde_json::from_value(with(output_server(), changes)).unwrap();
        server.settlement()
    }

    #[test]
    fn a_rollout_is_waited_for_until_only_ready_pods_of_the_newest_replica_set_are_left() {
        assert_eq!(settled(&[]), Settlement::Settled);
        let old = with(output_pod(), &[("/metadata/ownerReferences/0/uid", json!("set-1"))]);
        let terminating = with(output_pod(), &[("/metadata/deletionTimestamp", json!("2026-11-21T03:00:00Z"))]);
        let not_ready = json!("False");
        for (what, changes) in [
            ("not observed", ("/deployments/0/status/observedGeneration", json!(1))),
            ("not Ready", ("/pods/0/status/conditions/0/status", not_ready)),
            ("none of the newest", ("/pods", json!([old.clone()]))),
            ("one to come", ("/deployments/0/spec/replicas", json!(2))),
            ("an old one beside", ("/pods/-", old)),
            ("one that ends", ("/pods/-", terminating)),
        ] {
            assert!(matches!(settled(&[changes]), Settlement::Pending(_)), "{what}");
        }
    }

    #[test]
    fn what_will_not_get_better_is_not_waited_for() {
        let waiting = |reason: &str| {
            let state = json!({"waiting": {"reason": reason}});
            settled(&[
                ("/pods/0/status/initContainerStatuses/1/state", state),
                ("/pods/0/status/conditions/0/status", json!("False")),
            ])
        };
        assert!(matches!(waiting("CrashLoopBackOff"), Settlement::Hopeless(_)));
        assert!(matches!(waiting("ErrImagePull"), Settlement::Hopeless(_)));
        assert!(matches!(waiting("PodInitializing"), Settlement::Pending(_)));
    }

    #[test]
    fn a_stuck_pod_of_before_the_repair_is_waited_for() {
        let looping = [
            ("/metadata/ownerReferences/0/uid", json!("set-1")),
            ("/status/initContainerStatuses/1/state", json!({"waiting": {"reason": "CrashLoopBackOff"}})),
            ("/status/conditions/0/status", json!("False")),
        ];
        let starting = ("/pods/0/status/conditions/0/status", json!("False"));
        let repaired = settled(&[starting, ("/pods/-", with(output_pod(), &looping))]);
        assert!(matches!(repaired, Settlement::Pending(_)), "{repaired:?}");
    }

    #[test]
    fn without_a_deployment_or_an_owner_there_is_nothing_to_wait_for() {
        assert_eq!(settled(&[("/deployments", json!([]))]), Settlement::Settled);
        assert_eq!(settled(&[("/deployments/0/spec/replicas", json!(0)), ("/pods", json!([]))]), Settlement::Settled);
        let stranger = with(output_pod(), &[("/metadata/ownerReferences", json!([]))]);
        assert_eq!(settled(&[("/pods/-", stranger)]), Settlement::Settled);
    }

    #[test]
    fn a_pod_that_is_being_deleted_is_waited_for_also_if_nobody_owns_it() {
        let going =
            [("/metadata/ownerReferences", json!([])), ("/metadata/deletionTimestamp", json!("2026-11-21T03:00:00Z"))];
        let Settlement::Pending(what) = settled(&[("/pods/-", with(output_pod(), &going))]) else { panic!() };
        assert!(what.contains("is being deleted"), "{what}");
        let ended = with(output_pod(), &[&going[..], &[("/status/phase", json!("Succeeded"))]].concat());
        assert_eq!(settled(&[("/pods/-", ended)]), Settlement::Settled);
    }

    #[test]
    fn what_is_waited_for_is_named() {
        assert_eq!(Settlement::Pending("a pod".into()).pending().as_deref(), Some("a pod"));
        assert_eq!([Settlement::Settled, Settlement::Hopeless("why".into())].map(Settlement::pending), [None, None]);
    }

    #[test]
    fn an_ended_pod_does_not_count() {
        let evicted = with(output_pod(), &[("/status/phase", json!("Failed"))]);
        assert_eq!(settled(&[("/pods/-", evicted)]), Settlement::Settled);
    }
}
