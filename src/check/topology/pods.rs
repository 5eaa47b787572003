//! `pods`: a server has one pod; it is Ready, belongs to the newest ReplicaSet, and none of its containers restarts.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::NOT_ONE;
use crate::check::findings::{Findings, read_events};
use crate::check::parameter::DurationParam;
use crate::check::server_exits::ServerExit;
use crate::check::site::has_recently_restarted;
use crate::check::{Kind, Site, System};
use crate::cluster::container;
use crate::cluster::server::{RolloutState, counted, has_ended, is_ready, is_terminating, progress};
use crate::cluster::{ResourceExt, Server};
use crate::event::{Hop, Verdict};

/// The reason of a pod that the kubelet ended because it used too much.
const EVICTED: &str = "Evicted";

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pods {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: Server,
    now: Timestamp,
    /// Pods of the server that the cluster ended but that still exist.
    #[serde(default)]
    ended: Vec<Ended>,
    /// How the server exited at a request of this run.
    #[serde(default)]
    exit: Option<ServerExit>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ended {
    pod: String,
    at: Timestamp,
    /// The eviction's message, if the pod was evicted; or why that is unknown.
    evicted: Result<Option<String>, String>,
}

impl Kind for Pods {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Init, Hop::Nfs];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (server, snapshot) = site.settled_server().await?;
        let ended = ended(site, &server).await;
        // The test that sent the server its first request may still be finding out whether the server exited.
        let exit = site.shared.exits.resolved(site.server()).await;
        Ok(Observation { server, now: snapshot.now, ended, exit })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let server = &seen.server;
        let mut found = Findings::default();
        let object = format!("server {}", server.name);
        match server.replicas() {
            None => {
                let hint = "check whether the release has this server, and run helm upgrade";
                found.add_finding(&object, "one Deployment", format!("{} Deployments", server.deployments.len()), hint);
            }
            Some(1) => {}
            Some(replicas) => {
                let deployment = format!("Deployment {}", server.deployments[0].name_any());
                let hint = "scale it to 1: two pods must not share one folder";
                found.add_finding(deployment, "1 replica", format!("{replicas} replicas"), hint);
            }
        }
        let current = server.current();
        // An obstacle explains why there is no pod, or only one that is old or not Ready.
        let obstacle = server.obstacle();
        if let Some(obstacle) = &obstacle {
            found.add_finding(&obstacle.object, &obstacle.expected, obstacle.seen(), &obstacle.hint);
        } else if current.len() != 1 {
            found.add_finding(&object, "exactly one current pod", counted(&current), NOT_ONE);
        }
        for pod in &current {
            let object = format!("pod {}", pod.name_any());
            if obstacle.is_none() && server.deployment().is_some() && !server.is_newest(pod) {
                let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
                let (owned_by, hint) = match owner {
                    Some(owner) => (
                        format!("it belongs to {} {}", owner.kind, owner.name),
                        "the rollout is not complete: check the Deployment's newest pod",
                    ),
                    None => ("it has no owner".to_owned(), "delete the pod: the Deployment did not create it"),
                };
                found.add_finding(&object, "to belong to its Deployment's newest ReplicaSet", owned_by, hint);
            }
            containers(&mut found, seen, pod, system.restart_window);
            if obstacle.is_none() && !is_ready(pod) {
                found.add_finding(
                    object,
                    "condition Ready",
                    format!("not Ready: {}", progress(pod)),
                    read_events(&pod.name_any()),
                );
            }
        }
        for ended in &seen.ended {
            eviction(&mut found, ended, system.restart_window, seen.now);
        }
        if let (true, RolloutState::Pending(what)) = (found.passes(), server.rollout_state()) {
            found.add_finding(object, "a settled rollout", what, "");
        }
        let has_initialized = |pod: &Pod| {
            container::all(pod).iter().all(|view| view.kind != container::Kind::Init || view.has_completed())
        };
        let hop = if current.iter().all(|pod| has_initialized(pod)) { Hop::Nfs } else { Hop::Init };
        let pod = current.first().map(|pod| pod.name_any()).unwrap_or_default();
        found.verdict(format!("pod {pod} is Ready")).at(hop)
    }
}

fn containers(found: &mut Findings, seen: &Observation, pod: &Pod, window: DurationParam) {
    for view in container::all(pod) {
        let object = container::label(pod, view.name);
        if let Some(exit) = seen.exit.as_ref().filter(|exit| exit.explains(pod, &view, window.signed())) {
            found.note(format!("{object} restarted because a request of {} ended it", exit.by));
        } else if has_recently_restarted(pod, &view, window, seen.now) {
            let hint = "read its previous log and the pod's events";
            found.add_finding(object, format!("no restart within {window}"), view.describe(), hint);
        }
    }
}

/// An evicted pod's replacement is healthy until it is evicted in turn: every minute if the files that fill the
/// export come back from the folder.
fn eviction(found: &mut Findings, Ended { pod, at, evicted }: &Ended, window: DurationParam, now: Timestamp) {
    let object = format!("pod {pod}");
    match evicted {
        Ok(Some(message)) if now.duration_since(*at) <= window.signed() => {
            let expected = format!("not to be evicted within {window}");
            let hint = "remove the excess files from the host folder and from the export";
            found.add_finding(object, expected, format!("Evicted at {at}: {message}"), hint);
        }
        Ok(_) => {}
        Err(why) => found.note(format!("{object} ended at {at} for an unknown reason: {why}")),
    }
}

/// The pods that the cluster ended: a Deployment's pods never end by themselves.
async fn ended(site: &Site, server: &Server) -> Vec<Ended> {
    let mut all = Vec::new();
    for pod in server.pods.iter().filter(|pod| has_ended(pod) && !is_terminating(pod)) {
        let status = pod.status.as_ref();
        let finished = container::all(pod).iter().filter_map(container::View::ended_at).max();
        let at = finished.or(pod.creation_timestamp().map(|time| time.0)).unwrap_or(Timestamp::UNIX_EPOCH);
        let evicted = if status.and_then(|status| status.reason.as_deref()) == Some(EVICTED) {
            Ok(Some(status.and_then(|status| status.message.clone()).unwrap_or_default()))
        } else {
            // If the containers exit with 0 at an eviction, the pod's status is only Succeeded, and only an event
            // shows the eviction (seen).
            let warnings = site.shared.cluster.events(&pod.uid().unwrap_or_default()).await;
            let warning = warnings.map(|all| all.into_iter().find(|warning| warning.reason == EVICTED));
            warning.map(|found| found.map(|warning| warning.message)).map_err(|error| error.to_string())
        };
        all.push(Ended { pod: pod.name_any(), at, evicted });
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
    use crate::cluster::example::{NOW, output_server, with};
    use crate::event::Outcome;

    fn judged(changes: &[(&str, Value)], more: &Value) -> Verdict {
        let mut seen = json!({"server": with(output_server(), changes), "now": NOW});
        json_patch::merge(&mut seen, more);
        judged_by::<Pods>(json!({}), seen)
    }

    #[test]
    fn an_eviction_counts_within_the_restart_window() {
        for (at, evicted, outcome, notes) in [
            ("2026-11-21T03:55:00Z", json!({"Ok": "too much"}), Outcome::Fail, 0),
            ("2026-11-21T03:45:00Z", json!({"Ok": "too much"}), Outcome::Pass, 0),
            ("2026-11-21T03:55:00Z", json!({"Ok": null}), Outcome::Pass, 0),
            ("2026-11-21T03:55:00Z", json!({"Err": "forbidden"}), Outcome::Pass, 1),
        ] {
            let verdict = judged(&[], &json!({"ended": [{"pod": "gone", "at": at, "evicted": evicted}]}));
            assert_eq!((verdict.outcome, verdict.notes.len()), (outcome, notes), "{at} {evicted}");
        }
    }

    #[test]
    fn only_a_restart_caused_by_a_request_of_this_run_is_a_note() {
        let (ended, container) = ("2026-11-21T03:59:20Z", "/pods/0/status/containerStatuses/0");
        for (restarts, ran, at, outcome) in [
            (0, "PT1M", ended, Outcome::Pass),
            // Another restart after it, another one before it, and one long ago.
            (0, "PT1M", "2026-11-21T03:59:10Z", Outcome::Fail),
            (1, "PT1M", ended, Outcome::Fail),
            (1, "PT20M", ended, Outcome::Pass),
        ] {
            let changes = [
                ("/pods/0/metadata/uid", json!("pod-1")),
                (&*format!("{container}/restartCount"), json!(restarts + 1)),
                (&*format!("{container}/state/running/startedAt"), json!("2026-11-21T03:59:30Z")),
                (&*format!("{container}/lastState"), json!({"terminated": {"exitCode": 1, "finishedAt": ended}})),
            ];
            let by = json!({"suite": "nfs", "slug": "node-port", "server": "nas"});
            let exit = json!({"by": by, "container": "nfs-server", "pod": "pod-1", "at": at, "ran": ran,
                "restarts": restarts, "how": "exit code 1", "said": []});
            let verdict = judged(&changes, &json!({"exit": exit}));
            let notes = usize::from(outcome == Outcome::Pass);
            assert_eq!((verdict.outcome, verdict.notes.len()), (outcome, notes), "{restarts} {ran} {at}");
        }
    }
}
