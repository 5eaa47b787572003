//! Whether an autoscaler has announced a node for a pod that the scheduler finds none for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::ListParams;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::object::requests;
use super::obstacle::{PATIENCE, refusal, unscheduled};
use super::wake::{Bell, Changes};
use super::watch::{Store, objects};
use super::{ApiError, Cluster};

/// The reasons of events about such a pod: of the Cluster Autoscaler, and of Karpenter and what is made of it.
/// Source: <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>
/// Source: <https://github.com/kubernetes-sigs/karpenter/blob/main/pkg/events/reason.go>
const REASONS: [&str; 2] = ["TriggeredScaleUp", "Nominated"];
/// So often it is asked again, as long as the pod has no node.
const AGAIN: Duration = Duration::from_secs(5);

/// The event in which an autoscaler has announced a node, if any has; or why that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced(pub Result<Option<String>, String>);

impl Cluster {
    async fn announced(&self, uid: &str) -> Result<Option<String>, ApiError> {
        let params = ListParams::default().fields(&format!("involvedObject.uid={uid},type=Normal"));
        let events: Vec<Event> = self.list("events", &requests::<Event>(Some(self.namespace())), &params).await?;
        let is_it = |event: &Event| REASONS.iter().any(|reason| event.reason.as_deref() == Some(reason));
        let found = events.into_iter().find(is_it);
        Ok(found.map(|event| format!("{}: {}", event.reason.unwrap_or_default(), event.message.unwrap_or_default())))
    }
}

/// What is known of pods that do not come, for whoever finds out more.
pub(super) struct Waiting {
    pub pods: Store<Pod>,
    pub replica_sets: Store<ReplicaSet>,
    pub announced: Arc<Mutex<BTreeMap<String, Announced>>>,
    pub bell: Arc<Bell>,
}

impl Waiting {
    /// The pods and the ReplicaSets.
    fn objects(&self) -> (Vec<Arc<Pod>>, Vec<Arc<ReplicaSet>>) {
        (objects(&self.pods), objects(&self.replica_sets))
    }

    /// Notes what an autoscaler has announced; says whether that is news.
    fn announce(&self, uid: String, announced: Announced) -> bool {
        let mut known = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(uid, announced.clone()) != Some(announced)
    }
}

/// Tells, as of a change, when the time is over that a pod which does not come is waited for anyhow; and asks then whether an
/// autoscaler has announced a node for it.
pub(super) async fn follow(cluster: Cluster, waiting: Waiting) {
    let mut changes = Changes::new(waiting.bell.listen(), None);
    let mut asked: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let (pods, sets) = waiting.objects();
        let since = pods.iter().filter_map(|pod| unscheduled(pod)?.last_transition_time.clone());
        let since = since.chain(sets.iter().filter_map(|set| refusal(set)?.last_transition_time.clone()));
        let now = cluster.now();
        let left = since.filter_map(|since| Duration::try_from(PATIENCE - now.duration_since(since.0)).ok());
        let mut next = left.filter(|left| !left.is_zero()).min();
        let is_old = |pod: &Pod| {
            let since = unscheduled(pod).and_then(|condition| condition.last_transition_time.as_ref());
            since.is_some_and(|since| now.duration_since(since.0) >= PATIENCE)
        };
        let mut is_news = false;
        for uid in pods.iter().filter(|pod| is_old(pod)).filter_map(|pod| pod.uid()) {
            if asked.get(&uid).is_none_or(|at| at.elapsed() >= AGAIN) {
                let found = cluster.announced(&uid).await.map_err(|error| error.to_string());
                asked.insert(uid.clone(), Instant::now());
                is_news |= waiting.announce(uid, Announced(found));
            }
            next = Some(next.map_or(AGAIN, |next| next.min(AGAIN)));
        }
        if is_news {
            waiting.bell.ring(None);
        }
        tokio::select! {
            // The sender lives as long as this.
            _ = changes.changed() => {}
            () = sleep(next.unwrap_or(Duration::MAX)) => waiting.bell.ring(None),
        }
    }
}
