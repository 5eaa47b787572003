//! `pod-count`: exactly one current pod for each server that the suite requires, and no other with their labels.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::{Kind, Site, Subject};
use crate::cluster::ResourceExt;
use crate::cluster::server::{Settlement, counted, has_ended, is_terminating};
use crate::event::{Reason, Verdict};

/// It has no parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodCount {}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    /// The servers that must have a pod.
    servers: Vec<String>,
    /// The label with the server's name.
    server_label: String,
    /// Every pod with the servers' labels, whatever its state.
    pods: Vec<Arc<Pod>>,
}

impl Kind for PodCount {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::Whole;

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let population = site
            .settled(None, |population| {
                let servers = site.servers.iter().map(|name| population.server(&site.select, name).settlement());
                let mut pending = servers.filter_map(Settlement::pending);
                let going = population.selected(&site.select).into_iter().find(|pod| is_terminating(pod));
                pending.next().or_else(|| going.map(|pod| format!("pod {} is being deleted", pod.name_any())))
            })
            .await?;
        Ok(Observation {
            servers: site.servers.to_vec(),
            server_label: site.select.server_label.clone(),
            pods: population.selected(&site.select),
        })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let mut reasons = Vec::new();
        let mut notes = Vec::new();
        let server_of = |pod: &Pod| pod.labels().get(&seen.server_label).cloned().unwrap_or_default();
        let (current, others): (Vec<_>, Vec<_>) =
            seen.pods.iter().partition(|pod| !is_terminating(pod) && !has_ended(pod));
        for server in &seen.servers {
            let its: Vec<_> = current.iter().copied().filter(|pod| server_of(pod) == *server).collect();
            if its.len() != 1 {
                let what = counted(&its);
                let hint = "look at the Deployment's replicas and events, then run helm upgrade again";
                reasons.push(Reason::new(format!("server {server}"), "exactly one current pod", what).hint(hint));
            }
        }
        for pod in current.iter().filter(|pod| !seen.servers.contains(&server_of(pod))) {
            let server = server_of(pod);
            let what =
                if server.is_empty() { format!("no label {}", seen.server_label) } else { format!("server {server}") };
            reasons.push(
                Reason::new(
                    format!("pod {}", pod.name_any()),
                    format!("a pod of one of {}", seen.servers.join(", ")),
                    what,
                )
                .hint("delete the pod or what owns it: it has the labels of the release's pods"),
            );
        }
        for pod in others {
            let name = pod.name_any();
            let newest =
                current.iter().filter(|other| server_of(other) == server_of(pod)).map(|other| created(other)).max();
            if is_terminating(pod) {
                let reason =
                    Reason::new(format!("pod {name}"), "to be gone after its grace period", "still being deleted");
                reasons.push(
                    reason.hint("look at its finalizers and its node; until it is gone its sidecar may still write"),
                );
            } else if newest.is_none_or(|newest| created(pod) > newest) {
                reasons.push(Reason::new(
                    format!("pod {name}"),
                    "no pod that ended after the current one was made",
                    ended(pod),
                ));
            } else {
                notes.push(format!("pod {name} of the past is still listed: {}", ended(pod)));
            }
        }
        let summary = format!("{} pods, one for each server", current.len());
        Verdict::judged(summary, reasons).notes(notes)
    }
}

fn created(pod: &Pod) -> Timestamp {
    pod.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// How a pod ended, such as `Evicted: Usage of EmptyDir volume …`.
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
    use crate::event::Outcome;
    use serde_json::{Value, json};

    fn pod(name: &str, server: &str, change: &Value) -> Value {
        let mut pod = json!({
            "metadata": {"name": name, "labels": {"server": server}, "creationTimestamp": "2026-11-21T03:00:00Z"},
            "status": {"phase": "Running"}
        });
        for (pointer, value) in change.as_object().unwrap() {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            pod.pointer_mut(parent).unwrap()[key] = value.clone();
        }
        pod
    }

    fn judged(pods: &[Value]) -> Verdict {
        let seen = json!({"servers": ["a", "b"], "server_label": "server", "pods": pods});
        PodCount {}.judge(&serde_json::from_value(seen).unwrap())
    }

    #[test]
    fn one_pod_for_each_server_passes() {
        let verdict = judged(&[pod("a-1", "a", &json!({})), pod("b-1", "b", &json!({}))]);
        assert_eq!((verdict.outcome, verdict.summary.as_str()), (Outcome::Pass, "2 pods, one for each server"));
    }

    #[test]
    fn none_two_and_a_stranger_fail() {
        let healthy = || vec![pod("a-1", "a", &json!({})), pod("b-1", "b", &json!({}))];
        assert_eq!(judged(&[]).reasons.len(), 2);
        let with = |extra: Value| judged(&[healthy(), vec![extra]].concat()).outcome;
        assert_eq!(with(pod("a-2", "a", &json!({}))), Outcome::Fail);
        assert_eq!(with(pod("extra", "c", &json!({}))), Outcome::Fail);
        let going = pod("a-0", "a", &json!({"/metadata/deletionTimestamp": "2026-11-21T03:00:00Z"}));
        let going = judged(&[healthy(), vec![going]].concat());
        assert_eq!((going.outcome, going.reasons.len()), (Outcome::Fail, 1));
        assert_eq!(going.reasons[0].seen, "still being deleted");
    }

    #[test]
    fn an_evicted_pod_fails_only_if_it_is_younger_than_the_current_one() {
        let evicted = |created: &str| {
            let change =
                json!({"/status/phase": "Failed", "/status/reason": "Evicted", "/metadata/creationTimestamp": created});
            judged(&[pod("a-1", "a", &json!({})), pod("b-1", "b", &json!({})), pod("a-0", "a", &change)])
        };
        let old = evicted("2026-11-21T02:00:00Z");
        assert_eq!((old.outcome, old.notes.len()), (Outcome::Pass, 1));
        assert_eq!(evicted("2026-11-21T03:00:00Z").outcome, Outcome::Pass, "made in the same second");
        assert_eq!(evicted("2026-11-21T04:00:00Z").outcome, Outcome::Fail);
    }
}
