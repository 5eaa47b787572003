//! `resources`: requests and limits equal those in the values, compared as quantities; additional ones fail too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use serde::{Deserialize, Serialize};

use super::quantity;
use crate::check::findings::{Findings, or_none};
use crate::check::parameter::{Expected, ExpectedFact};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::{ResourceExt, container};
use crate::event::{Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Resources {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
    expected: BTreeMap<String, Expected>,
}

impl Kind for Resources {
    type Observation = Observation;
    const NEEDS: &'static [Need] = &[Need::Values];
    const PARTS: &'static [Part] = &[Part::Resources];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, _) = site.pod().await?;
        let system = &site.system;
        let mut expected = BTreeMap::new();
        for (name, fact, _) in containers(system) {
            expected.insert(name.to_owned(), site.expected(fact)?);
        }
        Ok(Observation { pod, expected })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let (mut found, mut established) = (Findings::default(), Vec::new());
        for (name, _, is_optional) in containers(system) {
            let object = container::label(&seen.pod, name);
            let Some(expected) = seen.expected.get(name) else { continue };
            match container::named(&seen.pod, name) {
                None if is_optional => {}
                None => found.add_finding(object, "to exist", container::missing(&seen.pod), "run helm upgrade"),
                Some(view) if expected.value.is_none() => {
                    found.note(format!(
                        "{object} has {}; not checked, because {}",
                        described(view.resources),
                        expected.source
                    ));
                }
                Some(view) => {
                    compare(&mut found, &object, view.resources, expected);
                    established.push(format!("{name} has {}", described(view.resources)));
                }
            }
        }
        if found.passes() && established.is_empty() {
            let object = format!("pod {}", seen.pod.name_any());
            let hint = "add a default to the system, or pass the values of the release: --values FILE";
            let reason = Reason::new(object, "a container whose resources the values or the suite define", "none");
            return found.error(reason.hint(hint));
        }
        found.verdict(established.join("; "))
    }
}

/// Each container, the fact with its resources, and whether a server may lack it.
fn containers(system: &System) -> impl Iterator<Item = (&str, Option<&ExpectedFact>, bool)> {
    let (export, facts) = (&system.export, &system.facts);
    let sidecar = system.sidecar.as_ref();
    let sidecar = sidecar.map(|sidecar| (sidecar.container.as_str(), facts.sidecar_resources.as_ref(), true));
    [(export.container.as_str(), facts.resources.as_ref(), false)].into_iter().chain(sidecar)
}

const PARTS: [&str; 2] = ["requests", "limits"];

/// Requests and limits by resource. A missing request equals the limit, as in Kubernetes.
fn amounts(resources: impl Serialize) -> [BTreeMap<String, String>; 2] {
    let resources = serde_json::to_value(resources).unwrap_or_default();
    let [mut requests, limits] = PARTS.map(|part| -> BTreeMap<_, _> {
        let amounts = resources[part].as_object().into_iter().flatten().filter(|(_, amount)| !amount.is_null());
        amounts.map(|(name, amount)| (name.clone(), quantity::text(amount))).collect()
    });
    for (name, limit) in &limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
    [requests, limits]
}

/// Compares a container's resources with the values; without a value, any resources pass.
pub(super) fn compare(found: &mut Findings, object: &str, live: Option<&ResourceRequirements>, expected: &Expected) {
    let Some(wanted) = &expected.value else { return };
    for ((part, wanted), live) in PARTS.into_iter().zip(amounts(wanted)).zip(amounts(live)) {
        for name in wanted.keys().chain(live.keys()).collect::<BTreeSet<_>>() {
            let (wanted, live) = (wanted.get(name), live.get(name));
            if wanted.zip(live).is_some_and(|(wanted, live)| quantity::equal(wanted, live)) {
                continue;
            }
            let [wanted, live] = [wanted, live].map(|amount| amount.map_or("none", String::as_str));
            let expected = format!("{part}.{name} {wanted} ({})", expected.source);
            let hint = "run helm upgrade; the live object was edited, or for example a LimitRange changes new pods";
            found.add_finding(object, expected, live, hint);
        }
    }
}

pub(super) fn described(resources: Option<&ResourceRequirements>) -> String {
    let [requests, limits] = amounts(resources).map(|amounts| {
        let all: Vec<_> = amounts.iter().rev().map(|(name, amount)| format!("{name} {amount}")).collect();
        or_none(all.join(" and "))
    });
    format!("requests: {requests}, limits: {limits}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    fn judged(wanted: &Value, changes: &[(&str, Value)]) -> Verdict {
        let live = json!({"requests": {"memory": "64Mi", "cpu": "50m"}, "limits": {"memory": "1024Mi", "cpu": "1"}});
        let pod = with(with(output_pod(), &[("/spec/containers/0/resources", live)]), changes);
        let expected = json!({"value": wanted, "source": "resources in the values"});
        let seen = json!({"pod": pod, "expected": {"nfs-server": expected}});
        judged_by::<Resources>(json!({}), seen)
    }

    #[test]
    fn missing_different_and_additional_resources_fail_and_another_spelling_does_not() {
        let both = json!({"requests": {"memory": "64Mi", "cpu": "50m"}, "limits": {"memory": "1Gi", "cpu": 1}});
        let limit = json!({"limits": {"memory": "64Mi"}});
        for (wanted, field, live, reasons) in [
            (&both, "/limits/memory", json!("1073741824"), 0),
            (&both, "/limits/memory", json!("1G"), 1),
            (&both, "/limits", json!({"memory": "1Gi"}), 1),
            // An additional limit, which is also a request.
            (&both, "/limits/ephemeral-storage", json!("1Gi"), 2),
            (&both, "", json!({}), 4),
            (&json!({}), "/limits/memory", json!("1Gi"), 4),
            // A limit alone is also a request.
            (&limit, "", json!({"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}}), 0),
        ] {
            let verdict = judged(wanted, &[(&format!("/spec/containers/0/resources{field}"), live)]);
            assert_eq!(verdict.reasons.len(), reasons, "{field}: {verdict:?}");
        }
    }

    #[test]
    fn a_missing_container_fails_and_undefined_resources_are_an_error() {
        assert_eq!(judged(&json!({}), &[("/spec/containers/0/name", json!("other"))]).outcome, Outcome::Fail);
        let nothing = judged(&Value::Null, &[]);
        assert_eq!((nothing.outcome, nothing.notes.len()), (Outcome::Error, 1));
    }
}
