//! Whether an autoscaler has announced a node for a pod that the scheduler finds none for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use tokio::time::Instant;

use super::changes::{Bell, Changes};
use super::store::Store;
use crate::cluster::client::Cluster;
use crate::cluster::server::{Announced, PATIENCE, unscheduled};

/// The reasons of events about such a pod: of the Cluster Autoscaler, and of Karpenter and what is made of it.
/// Source: <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>
/// Source: <https://github.com/kubernetes-sigs/karpenter/blob/main/pkg/events/reason.go>
const REASONS: [&str; 2] = ["TriggeredScaleUp", "Nominated"];
/// So often it is asked again, as long as the pod has no node.
const AGAIN: Duration = Duration::from_secs(5);

/// The event in which an autoscaler has announced a node, if any has.
fn announcement(events: Vec<Event>) -> Option<String> {
    let is_it = |event: &Event| REASONS.iter().any(|reason| event.reason.as_deref() == Some(reason));
    let found = events.into_iter().find(is_it);
    found.map(|event| format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
}

/// Asks for as long as it runs, and rings when the answer is another one.
pub(super) async fn ask(
    cluster: Cluster,
    pods: Arc<Store<Pod>>,
    announced: Arc<Mutex<BTreeMap<String, Announced>>>,
    bell: Arc<Bell>,
) {
    let mut changes = Changes::new(bell.listen(), None);
    let mut asked: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let is_due = |pod: &Arc<Pod>| {
            let since = unscheduled(pod)?.last_transition_time.as_ref()?;
            let uid = pod.uid().filter(|_| cluster.now().duration_since(since.0) >= PATIENCE)?;
            asked.get(&uid).is_none_or(|at| at.elapsed() >= AGAIN).then_some(uid)
        };
        let due: Vec<String> = pods.objects().iter().filter_map(is_due).collect();
        for uid in due {
            let events = cluster.events_of(&uid, "Normal", None).await;
            let found = events.map(announcement).map_err(|error| error.to_string());
            asked.insert(uid.clone(), Instant::now());
            let known = announced.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, found.clone());
            if known != Some(found) {
                bell.ring(None);
            }
        }
        // It looks anew after some seconds, too. The sender lives as long as this.
        let _ = changes.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_events_of_autoscalers_announce_a_node() {
        let event = |reason: &str| Event { reason: Some(reason.to_owned()), ..Event::default() };
        for (reason, told) in [("TriggeredScaleUp", true), ("Nominated", true), ("NotTriggerScaleUp", false)] {
            assert_eq!(announcement(vec![event("Scheduled"), event(reason)]).is_some(), told, "{reason}");
        }
    }
}
