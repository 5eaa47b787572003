//! Whether a server's pods match its Deployment, or will without intervention. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::container;
use super::objects::{Server, counted, is_ready, phase};
use super::obstacle::{Obstacle, unscheduled};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutState {
    Settled,
    /// Still changing: wait.
    Pending(String),
    Stuck(String),
}

impl RolloutState {
    pub fn pending(self) -> Option<String> {
        match self {
            Self::Pending(what) => Some(what),
            Self::Settled | Self::Stuck(_) => None,
        }
    }
}

impl Server {
    pub fn rollout_state(&self) -> RolloutState {
        let obstacle = self.obstacle();
        if let Some(Obstacle { object, message, may_resolve: None, .. }) = &obstacle {
            return RolloutState::Stuck(format!("{object}: {message}"));
        }
        if let [first, ..] = self.terminating().as_slice() {
            return RolloutState::Pending(format!("pod {} is being deleted", first.name_any()));
        }
        // Without a Deployment, nothing will change.
        let Some(deployment) = self.deployment() else {
            let stuck = self.current().into_iter().find_map(|pod| stuck(pod));
            return stuck.map_or(RolloutState::Settled, RolloutState::Stuck);
        };
        let name = deployment.name_any();
        if !self.is_observed() {
            return RolloutState::Pending(format!(
                "the controller has not observed the newest change of Deployment {name}"
            ));
        }
        let (wanted, newest) = (self.wanted(), self.newest());
        // Only of the newest ReplicaSet: a stuck older pod is about to be replaced.
        if let Some(why) = newest.iter().find_map(|pod| stuck(pod)) {
            return RolloutState::Stuck(why);
        }
        if let Some(Obstacle { object, message, may_resolve: Some(why), .. }) = obstacle {
            return RolloutState::Pending(format!("{object}: {message}; {why}"));
        }
        if newest.len() != wanted {
            let count = newest.len();
            return RolloutState::Pending(format!(
                "Deployment {name} has {count} of {wanted} pods of its newest ReplicaSet"
            ));
        }
        if let Some(pod) = newest.iter().find(|pod| !is_ready(pod)) {
            return RolloutState::Pending(format!("pod {} is not Ready yet ({})", pod.name_any(), progress(pod)));
        }
        // A pod without an owner will not be replaced, so there is nothing to wait for.
        let is_older = |pod: &&Arc<Pod>| !self.is_newest(pod) && !pod.owner_references().is_empty();
        match self.current().into_iter().find(is_older) {
            Some(old) => RolloutState::Pending(format!("pod {} of an older ReplicaSet still exists", old.name_any())),
            None => RolloutState::Settled,
        }
    }

    /// Like `rollout_state`, but settled only with at least one pod, and all of them Ready.
    pub fn readiness(&self) -> RolloutState {
        let current = self.current();
        match self.rollout_state() {
            RolloutState::Settled if current.is_empty() || !current.iter().all(|pod| is_ready(pod)) => {
                RolloutState::Pending(format!("not Ready: {}", counted(&current)))
            }
            rollout_state => rollout_state,
        }
    }
}

/// Why a pod will not become Ready; `None` if it may.
fn stuck(pod: &Pod) -> Option<String> {
    let views = container::all(pod);
    let view = views.iter().find(|view| view.is_stuck())?;
    Some(format!("pod {}, container {}: {}", pod.name_any(), view.name, view.describe()))
}

/// The progress of a pod that is not Ready: its phase, and why it has no node or which containers are not ready.
pub fn progress(pod: &Pod) -> String {
    let mut parts = vec![phase(pod).to_owned()];
    if let Some(condition) = unscheduled(pod) {
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

    use super::*;
    use crate::cluster::example::{output_pod, output_server, with};

    #[test]
    fn a_server_is_pending_only_while_it_changes() {
        let not_ready = || ("/pods/0/status/conditions/0/status", json!("False"));
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let state = |reason: &str| ("/pods/0/status/initContainerStatuses/1/state", waiting(reason));
        let old = ("/metadata/ownerReferences/0/uid", json!("set-1"));
        let ownerless = ("/metadata/ownerReferences", json!([]));
        let going = ("/metadata/deletionTimestamp", json!("2026-11-21T03:00:00Z"));
        let looping = [
            old.clone(),
            ("/status/initContainerStatuses/1/state", waiting("CrashLoopBackOff")),
            ("/status/conditions/0/status", json!("False")),
        ];
        let pod = |changes: &[(&str, Value)]| with(output_pod(), changes);
        for (what, changes, is) in [
            ("healthy", vec![], "Settled"),
            ("not observed", vec![("/deployments/0/status/observedGeneration", json!(1))], "Pending"),
            ("not Ready", vec![not_ready()], "Pending"),
            ("no new pod", vec![("/pods", json!([pod(std::slice::from_ref(&old))]))], "Pending"),
            ("a missing replica", vec![("/deployments/0/spec/replicas", json!(2))], "Pending"),
            ("an additional old pod", vec![("/pods/-", pod(&[old]))], "Pending"),
            ("a pod being deleted", vec![("/pods/-", pod(std::slice::from_ref(&going)))], "Pending"),
            ("an ownerless pod being deleted", vec![("/pods/-", pod(&[ownerless.clone(), going]))], "Pending"),
            ("a crash loop", vec![state("CrashLoopBackOff"), not_ready()], "Stuck"),
            ("no image", vec![state("ErrImagePull"), not_ready()], "Stuck"),
            ("starting", vec![state("PodInitializing"), not_ready()], "Pending"),
            ("an old crash loop being replaced", vec![not_ready(), ("/pods/-", pod(&looping))], "Pending"),
            ("no Deployment", vec![("/deployments", json!([]))], "Settled"),
            ("scaled to zero", vec![("/deployments/0/spec/replicas", json!(0)), ("/pods", json!([]))], "Settled"),
            ("an ownerless pod", vec![("/pods/-", pod(&[ownerless]))], "Settled"),
            ("an evicted pod", vec![("/pods/-", pod(&[("/status/phase", json!("Failed"))]))], "Settled"),
        ] {
            let server: Server = serde_json::from_value(with(output_server(), &changes)).unwrap();
            let seen = format!("{:?}", server.rollout_state());
            assert!(seen.starts_with(is), "{what}: {seen}");
        }
    }
}
