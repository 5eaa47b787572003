//! `native-sidecar`: the sidecar is declared as a native one, in the right place, and runs steadily.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::parameter::Span;
use crate::check::{Kind, Site};
use crate::cluster::container::{self, Restarts};
use crate::event::{Hop, Reason, Verdict};

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
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
        let object = container::place(&seen.pod, name);
        let repair = "enable the server's sidecar in the values and run helm upgrade; if the release has it, the live object was edited";
        let Some(sidecar) = container::named(&seen.pod, name) else {
            let containers = container::all(&seen.pod).iter().map(|view| view.name).collect::<Vec<_>>().join(", ");
            let reason =
                Reason::new(object, "a native sidecar", format!("no such container; the pod has {containers}"));
            return Verdict::judged("", vec![reason.hint(repair)]).at(Hop::Sidecar);
        };
        let mut reasons = Vec::new();
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
        let restarts = container::restarts(&seen.pod, &sidecar, self.restart_window.signed(), seen.now);
        if let Restarts::Recent = restarts {
            let expected = format!("no restart within {}", self.restart_window);
            let hint = "look at its previous log: kubectl logs --previous";
            reasons.push(Reason::new(&object, expected, sidecar.describe()).hint(hint));
        }
        let is_started = sidecar.status.is_some_and(|status| status.started == Some(true));
        if sidecar.running_since().is_none() || !is_started {
            reasons.push(
                Reason::new(&object, "running and started", sidecar.describe())
                    .hint("look at the pod's events: kubectl describe pod"),
            );
        }
        Verdict::judged(format!("{name} is a native sidecar after {}, {}", self.after, sidecar.describe()), reasons)
            .notes(restarts.note(&object).into_iter().collect())
            .at(Hop::Sidecar)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{NOW, output_pod, with};
    use crate::event::Outcome;

    fn judged(changes: &[(&str, Value)]) -> Verdict {
        let seen = json!({"pod": with(output_pod(), changes), "now": NOW});
        let check = NativeSidecar {
            container: "sync-to-windows".into(),
            after: "sync-windows-data".into(),
            restart_window: Span(std::time::Duration::from_secs(600)),
        };
        check.judge(&serde_json::from_value(seen).unwrap())
    }

    #[test]
    fn a_native_sidecar_after_the_init_container_passes() {
        assert_eq!(judged(&[]).reasons, Vec::new());
    }

    #[test]
    fn none_at_all_fails() {
        let init = output_pod()["spec"]["initContainers"][0].clone();
        assert_eq!(judged(&[("/spec/initContainers", json!([init]))]).outcome, Outcome::Fail);
    }

    #[test]
    fn an_ordinary_container_and_a_plain_init_container_fail() {
        let [init, sidecar] = [0, 1].map(|index| output_pod()["spec"]["initContainers"][index].clone());
        let status = output_pod()["status"]["initContainerStatuses"][1].clone();
        let ordinary = judged(&[
            ("/spec/initContainers", json!([init])),
            ("/spec/containers", json!([sidecar])),
            ("/status/containerStatuses/-", status),
        ]);
        assert_eq!((ordinary.outcome, ordinary.reasons.len()), (Outcome::Fail, 1), "in whichever place");
        assert_eq!(judged(&[("/spec/initContainers/1/restartPolicy", Value::Null)]).outcome, Outcome::Fail);
    }

    #[test]
    fn before_the_init_container_it_fails() {
        let [init, sidecar] = [0, 1].map(|index| output_pod()["spec"]["initContainers"][index].clone());
        assert_eq!(judged(&[("/spec/initContainers", json!([sidecar, init]))]).outcome, Outcome::Fail);
    }

    #[test]
    fn one_that_does_not_run_or_has_not_started_fails() {
        let waiting = json!({"waiting": {"reason": "PodInitializing"}});
        assert_eq!(judged(&[("/status/initContainerStatuses/1/state", waiting)]).outcome, Outcome::Fail);
        assert_eq!(judged(&[("/status/initContainerStatuses/1/started", json!(false))]).outcome, Outcome::Fail);
    }

    #[test]
    fn recent_restarts_fail_and_old_ones_are_a_note() {
        let count = ("/status/initContainerStatuses/1/restartCount", json!(1));
        let since = |time: &str| ("/status/initContainerStatuses/1/state/running/startedAt", json!(time));
        assert_eq!(judged(&[count.clone(), since("2026-11-21T03:55:00Z")]).outcome, Outcome::Fail);
        let old = judged(&[count, since("2026-11-21T03:45:00Z")]);
        assert_eq!((old.outcome, old.notes.len()), (Outcome::Pass, 1));
    }
}
