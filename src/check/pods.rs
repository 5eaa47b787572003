//! `pods`: a server has one pod, it is Ready, of the newest ReplicaSet, and none of its containers is restarting.

use jiff::Timestamp;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::parameter::Span;
use super::{Kind, Site};
use crate::cluster::Server;
use crate::cluster::container::{self, Restarts};
use crate::cluster::server::{Settlement, is_ready, names, progress};
use crate::event::{Hop, Reason, Verdict};

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pods {
    /// A container that was restarted must have been running for so long since.
    pub restart_window: Span,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: Server,
    now: Timestamp,
}

impl Kind for Pods {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Init, Hop::Nfs];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (server, population) = site.settled_server().await?;
        Ok(Observation { server, now: population.now })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let server = &seen.server;
        let mut reasons = Vec::new();
        let mut notes = Vec::new();
        match server.replicas() {
            None => {
                let count = server.deployments.len();
                let hint = "look whether the release has this server: helm get manifest";
                reasons.push(
                    Reason::new(format!("server {}", server.name), "one Deployment", format!("{count} Deployments"))
                        .hint(hint),
                );
            }
            Some(1) => {}
            Some(replicas) => {
                let object = format!("Deployment {}", server.deployments[0].name_any());
                let hint =
                    if replicas == 0 { "scale it to 1" } else { "scale it to 1: two pods fight over one folder" };
                reasons.push(Reason::new(object, "1 replica", format!("{replicas} replicas")).hint(hint));
            }
        }
        let current = server.current();
        if current.len() != 1 {
            let what = if current.is_empty() {
                "no pod".to_owned()
            } else {
                format!("{} pods: {}", current.len(), names(current.clone()))
            };
            reasons.push(Reason::new(format!("server {}", server.name), "exactly one current pod", what));
        }
        let mut hop = Hop::Nfs;
        for pod in &current {
            let object = format!("pod {}", pod.name_any());
            if server.deployment().is_some() && !server.is_newest(pod) {
                let hint = "a rollout has not ended: look at the Deployment's newest pod";
                reasons.push(
                    Reason::new(object.clone(), "to be of its Deployment's newest ReplicaSet", "it is of another")
                        .hint(hint),
                );
            }
            for view in container::all(pod) {
                let object = format!("{object}, container {}", view.name);
                match container::restarts(&view, self.restart_window.signed(), seen.now) {
                    Restarts::None => {}
                    Restarts::Old(count) => {
                        notes.push(format!(
                            "{object} was restarted {count} times, and has been running for at least {} since",
                            self.restart_window
                        ));
                    }
                    // A completed init container was run again with its pod's sandbox, or failed before it succeeded.
                    Restarts::Recent(_) if view.kind == container::Kind::Init && view.has_completed() => {}
                    Restarts::Recent(_) => {
                        let expected = format!("no restart within {}", self.restart_window);
                        reasons.push(
                            Reason::new(object, expected, view.describe())
                                .hint("look at its previous log and the pod's events"),
                        );
                    }
                }
                if view.kind == container::Kind::Init && !view.has_completed() {
                    hop = Hop::Init;
                }
            }
            if !is_ready(pod) {
                let hint = "look at the pod's events: kubectl describe pod";
                reasons
                    .push(Reason::new(object, "condition Ready", format!("not Ready: {}", progress(pod))).hint(hint));
            }
        }
        if let (true, Settlement::Pending(what)) = (reasons.is_empty(), server.settlement()) {
            reasons.push(Reason::new(format!("server {}", server.name), "a settled rollout", what));
        }
        let pod = current.first().map(|pod| pod.name_any()).unwrap_or_default();
        Verdict::judged(format!("pod {pod} is Ready"), reasons).notes(notes).at(hop)
    }
}
