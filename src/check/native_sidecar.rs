//! `native-sidecar`: the sidecar is declared as a native one, in the right place, and runs steadily.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::parameter::Span;
use super::{Kind, Site};
use crate::cluster::container::{self, Restarts};
use crate::event::{Hop, Reason, Verdict};

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NativeSidecar {
    /// The sidecar's name.
    pub container: String,
    /// The init container that must come before it: a sidecar that starts first would see an empty export.
    pub after: String,
    /// A sidecar that was restarted must have been running for so long since.
    pub restart_window: Span,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
    now: Timestamp,
}

impl Kind for NativeSidecar {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Sidecar];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, population) = site.pod().await?;
        Ok(Observation { pod, now: population.now })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let name = &self.container;
        let object = format!("pod {}, container {name}", seen.pod.name_any());
        let repair = "enable the server's sidecar in the values and run helm upgrade; if the release has it, the live object was edited";
        let Some(sidecar) = container::named(&seen.pod, name) else {
            let containers = container::all(&seen.pod).iter().map(|view| view.name).collect::<Vec<_>>().join(", ");
            let reason =
                Reason::new(object, "a native sidecar", format!("no such container; the pod has {containers}"));
            return Verdict::judged("", vec![reason.hint(repair)]).at(Hop::Sidecar);
        };
        let mut reasons = Vec::new();
        let mut notes = Vec::new();
        if sidecar.kind != container::Kind::NativeSidecar {
            let expected = "a native sidecar (in initContainers, with restartPolicy: Always)";
            reasons.push(Reason::new(&object, expected, sidecar.kind.to_string()).hint(repair));
        }
        match container::named(&seen.pod, &self.after) {
            Some(init) if init.kind == container::Kind::Init && init.index < sidecar.index => {}
            Some(init) if init.kind == container::Kind::Init && sidecar.kind != container::Kind::NativeSidecar => {}
            found => {
                let seen = found.map_or("there is no such init container".to_owned(), |init| {
                    format!("{} is {}, in place {}", self.after, init.kind, init.index + 1)
                });
                let expected = format!("to come after the init container {}", self.after);
                let hint = "put it behind: before it, the sidecar copies an empty export over the tester's folder";
                reasons.push(Reason::new(&object, expected, seen).hint(hint));
            }
        }
        match container::restarts(&sidecar, self.restart_window.signed(), seen.now) {
            Restarts::None => {}
            Restarts::Old(count) => {
                notes.push(format!(
                    "{object} was restarted {count} times, and has been running for at least {} since",
                    self.restart_window
                ));
            }
            Restarts::Recent(_) => {
                let expected = format!("no restart within {}", self.restart_window);
                reasons.push(
                    Reason::new(&object, expected, sidecar.describe())
                        .hint("look at its previous log: kubectl logs --previous"),
                );
            }
        }
        let is_started = sidecar.status.is_some_and(|status| status.started == Some(true));
        if sidecar.running_since().is_none() || !is_started {
            reasons.push(
                Reason::new(&object, "running and started", sidecar.describe())
                    .hint("look at the pod's events: kubectl describe pod"),
            );
        }
        Verdict::judged(format!("{name} is a native sidecar after {}, {}", self.after, sidecar.describe()), reasons)
            .notes(notes)
            .at(Hop::Sidecar)
    }
}
