//! `pod-count`: exactly one current pod for each server of the suite, and no other pods with their labels.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::NOT_ONE;
use crate::check::findings::{Findings, listed};
use crate::check::{Kind, Site, Subject, System};
use crate::cluster::ResourceExt;
use crate::cluster::server::{RolloutState, counted, has_ended, is_terminating};
use crate::event::Verdict;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodCount {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    servers: Vec<String>,
    server_label: String,
    /// All pods with the servers' labels, in any state.
    pods: Vec<Arc<Pod>>,
}

impl Kind for PodCount {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::System;

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let snapshot = site
            .settled(None, |snapshot| {
                let servers = site.system.names().map(|name| snapshot.server(&site.system.pods, name).rollout_state());
                let mut pending = servers.filter_map(RolloutState::pending);
                let terminating = snapshot.selected(&site.system.pods).into_iter().find(|pod| is_terminating(pod));
                pending.next().or_else(|| terminating.map(|pod| format!("pod {} is being deleted", pod.name_any())))
            })
            .await?;
        Ok(Observation {
            servers: site.system.names().cloned().collect(),
            server_label: site.system.pods.server_label.clone(),
            pods: snapshot.selected(&site.system.pods),
        })
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        let mut found = Findings::default();
        let server_of = |pod: &Pod| pod.labels().get(&seen.server_label).cloned().unwrap_or_default();
        let (current, others): (Vec<_>, Vec<_>) =
            seen.pods.iter().partition(|pod| !is_terminating(pod) && !has_ended(pod));
        let pods_of = |server: &str| current.iter().copied().filter(|pod| server_of(pod) == server).collect::<Vec<_>>();
        for server in &seen.servers {
            let pods = pods_of(server);
            if pods.len() != 1 {
                let hint = match pods.len() {
                    0 => "check that the Deployment exists, and its replicas and events; run helm upgrade again",
                    _ => NOT_ONE,
                };
                found.add_finding(format!("server {server}"), "exactly one current pod", counted(&pods), hint);
            }
        }
        for pod in current.iter().filter(|pod| !seen.servers.contains(&server_of(pod))) {
            let what = format!("{}={}", seen.server_label, server_of(pod));
            let expected = format!("a pod of one of {}", listed(&seen.servers));
            let hint = "delete the pod or its owner: it has the labels of the release's pods";
            found.add_finding(format!("pod {}", pod.name_any()), expected, what, hint);
        }
        for pod in others {
            let object = format!("pod {}", pod.name_any());
            let newest = pods_of(&server_of(pod)).into_iter().map(|other| created(other)).max();
            if is_terminating(pod) {
                let hint = "check its finalizers and its node; its sidecar may write until the pod is gone";
                found.add_finding(object, "to be gone after its grace period", "still being deleted", hint);
            } else if newest.is_none_or(|newest| created(pod) > newest) {
                found.add_finding(object, "no ended pod newer than the current one", ended(pod), "");
            } else {
                found.note(format!("old {object} still exists: {}", ended(pod)));
            }
        }
        found.verdict(format!("{} pods, one for each server", current.len()))
    }
}

fn created(pod: &Pod) -> Timestamp {
    pod.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// Why a pod ended, such as `Evicted: Usage of EmptyDir volume …`.
fn ended(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let part = |text: Option<&String>| text.cloned().unwrap_or_default();
    let reason = part(status.and_then(|status| status.reason.as_ref().or(status.phase.as_ref())));
    let message = part(status.and_then(|status| status.message.as_ref()));
    if message.is_empty() { reason } else { format!("{reason}: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::kind::tests::judged;
    use crate::event::Outcome;
    use serde_json::json;

    #[test]
    fn a_terminating_pod_fails_and_an_ended_pod_fails_only_if_it_is_newer_than_the_current_one() {
        let ended = |at: &str| json!({"metadata": {"creationTimestamp": at}, "status": {"phase": "Failed", "reason": "Evicted"}});
        for (third, outcome, notes) in [
            (json!({"metadata": {"deletionTimestamp": "2026-11-21T03:00:00Z"}}), Outcome::Fail, 0),
            (ended("2026-11-21T02:00:00Z"), Outcome::Pass, 1),
            (ended("2026-11-21T03:00:00Z"), Outcome::Pass, 1),
            (ended("2026-11-21T04:00:00Z"), Outcome::Fail, 0),
        ] {
            let pod = |server: &str| {
                let created = "2026-11-21T03:00:00Z";
                json!({"metadata": {"name": server, "labels": {"server": server}, "creationTimestamp": created},
                    "status": {"phase": "Running"}})
            };
            let mut more = pod("a");
            json_patch::merge(&mut more, &third);
            let seen = json!({"servers": ["a", "b"], "server_label": "server", "pods": [pod("a"), pod("b"), more]});
            let verdict = judged::<PodCount>(json!({}), seen);
            let wrong = usize::from(outcome == Outcome::Fail);
            let counts = (verdict.reasons.len(), verdict.notes.len());
            assert_eq!((verdict.outcome, counts), (outcome, (wrong, notes)), "{third}");
        }
    }
}
