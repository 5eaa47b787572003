//! Finds out whether an autoscaler has announced a node for an unschedulable pod.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use tokio::time::Instant;

use super::changes::{Changes, Notifier};
use super::store::Store;
use crate::cluster::client::Cluster;
use crate::cluster::server::{Announced, PATIENCE, unscheduled};

/// Reasons of events about such a pod: from the Cluster Autoscaler, and from Karpenter and its derivatives.
/// Source: <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>
/// Source: <https://github.com/kubernetes-sigs/karpenter/blob/main/pkg/events/reason.go>
const REASONS: [&str; 2] = ["TriggeredScaleUp", "Nominated"];
/// How often to look while the pod has no node.
const INTERVAL: Duration = Duration::from_secs(5);

/// The event in which an autoscaler announced a node, if there is one.
fn announcement(events: Vec<Event>) -> Option<String> {
    let is_it = |event: &Event| REASONS.iter().any(|reason| event.reason.as_deref() == Some(reason));
    let found = events.into_iter().find(is_it);
    found.map(|event| format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default()))
}

/// Looks for announcements until cancelled, and notifies waiters when one changes.
pub(super) async fn watch(
    cluster: Cluster,
    pods: Arc<Store<Pod>>,
    announced: Arc<Mutex<BTreeMap<String, Announced>>>,
    notifier: Arc<Notifier>,
) {
    let mut changes = Changes::new(notifier.subscribe(), None);
    let mut polled: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let is_due = |pod: &Arc<Pod>| {
            let since = unscheduled(pod)?.last_transition_time.as_ref()?;
            let uid = pod.uid().filter(|_| cluster.now().duration_since(since.0) >= PATIENCE)?;
            polled.get(&uid).is_none_or(|at| at.elapsed() >= INTERVAL).then_some(uid)
        };
        let due: Vec<String> = pods.objects().iter().filter_map(is_due).collect();
        for uid in due {
            let events = cluster.events_of(&uid, "Normal", None).await;
            let found = events.map(announcement).map_err(|error| error.to_string());
            polled.insert(uid.clone(), Instant::now());
            let known = announced.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, found.clone());
            if known != Some(found) {
                notifier.notify(None);
            }
        }
        // Returns after some seconds even without a change. Never an error: `notifier` is the sender.
        let _ = changes.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_events_of_autoscalers_announce_a_node() {
        let event = |reason: &str| Event { reason: Some(reason.to_owned()), ..Event::default() };
        for (reason, announces) in [("TriggeredScaleUp", true), ("Nominated", true), ("NotTriggerScaleUp", false)] {
            assert_eq!(announcement(vec![event("Scheduled"), event(reason)]).is_some(), announces, "{reason}");
        }
    }
}
