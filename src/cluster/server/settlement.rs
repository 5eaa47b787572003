//! Whether a server's pods are what its Deployment asks for, or will be by themselves. Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::container;
use super::objects::{Server, counted, is_ready, phase};
use super::obstacle::{Obstacle, unscheduled};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    Settled,
    /// It changes by itself: wait.
    Pending(String),
    Hopeless(String),
}

impl Settlement {
    pub fn pending(self) -> Option<String> {
        match self {
            Self::Pending(what) => Some(what),
            Self::Settled | Self::Hopeless(_) => None,
        }
    }
}

impl Server {
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
            let stuck = self.current().into_iter().find_map(|pod| stuck(pod));
            return stuck.map_or(Settlement::Settled, Settlement::Hopeless);
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
            let count = newest.len();
            return Settlement::Pending(format!(
                "Deployment {name} has {count} of {wanted} pods of its newest ReplicaSet"
            ));
        }
        if let Some(pod) = newest.iter().find(|pod| !is_ready(pod)) {
            return Settlement::Pending(format!("pod {} is not Ready yet ({})", pod.name_any(), progress(pod)));
        }
        // A pod without an owner is not replaced by anybody: there is nothing to wait for.
        let is_older = |pod: &&Arc<Pod>| !self.is_newest(pod) && !pod.owner_references().is_empty();
        match self.current().into_iter().find(is_older) {
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

/// Where a pod stands that is not Ready yet: its phase, and why it has no node, or the containers that are not ready.
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
    fn only_what_changes_by_itself_is_waited_for() {
        let not_ready = || ("/pods/0/status/conditions/0/status", json!("False"));
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let state = |reason: &str| ("/pods/0/status/initContainerStatuses/1/state", waiting(reason));
        let old = ("/metadata/ownerReferences/0/uid", json!("set-1"));
        let nobodys = ("/metadata/ownerReferences", json!([]));
        let going = ("/metadata/deletionTimestamp", json!("2026-11-21T03:00:00Z"));
        let looping = [
            old.clone(),
            ("/status/initContainerStatuses/1/state", waiting("CrashLoopBackOff")),
            ("/status/conditions/0/status", json!("False")),
        ];
        let pod = |changes: &[(&str, Value)]| with(output_pod(), changes);
        for (what, changes, is) in [
            ("all is well", vec![], "Settled"),
            ("not observed", vec![("/deployments/0/status/observedGeneration", json!(1))], "Pending"),
            ("not Ready", vec![not_ready()], "Pending"),
            ("none of the newest", vec![("/pods", json!([pod(std::slice::from_ref(&old))]))], "Pending"),
            ("one to come", vec![("/deployments/0/spec/replicas", json!(2))], "Pending"),
            ("an old one beside", vec![("/pods/-", pod(&[old]))], "Pending"),
            ("one that ends", vec![("/pods/-", pod(std::slice::from_ref(&going)))], "Pending"),
            ("one that ends and is nobody's", vec![("/pods/-", pod(&[nobodys.clone(), going]))], "Pending"),
            ("a crash loop", vec![state("CrashLoopBackOff"), not_ready()], "Hopeless"),
            ("no image", vec![state("ErrImagePull"), not_ready()], "Hopeless"),
            ("it starts", vec![state("PodInitializing"), not_ready()], "Pending"),
            ("an old crash loop beside what repairs it", vec![not_ready(), ("/pods/-", pod(&looping))], "Pending"),
            ("no Deployment", vec![("/deployments", json!([]))], "Settled"),
            ("scaled to nothing", vec![("/deployments/0/spec/replicas", json!(0)), ("/pods", json!([]))], "Settled"),
            ("one that is nobody's", vec![("/pods/-", pod(&[nobodys]))], "Settled"),
            ("an evicted one", vec![("/pods/-", pod(&[("/status/phase", json!("Failed"))]))], "Settled"),
        ] {
            let server: Server = serde_json::from_value(with(output_server(), &changes)).unwrap();
            let seen = format!("{:?}", server.settlement());
            assert!(seen.starts_with(is), "{what}: {seen}");
        }
    }
}
