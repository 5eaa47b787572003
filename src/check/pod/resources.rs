//! `resources`: requests and limits are as in the values, in both directions, compared as quantities.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quantity;
use crate::check::findings::{Findings, or_none};
use crate::check::parameter::{Expected, Fact};
use crate::check::{Kind, Need, Site, System};
use crate::cluster::{ResourceExt, container};
use crate::event::{Reason, Verdict};

/// It has no parameters.
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
            let object = container::place(&seen.pod, name);
            let Some(expected) = seen.expected.get(name) else { continue };
            match container::named(&seen.pod, name) {
                None if is_optional => {}
                None => found.wrong(object, "to be there", container::missing(&seen.pod), "run helm upgrade again"),
                Some(view) if expected.value.is_none() => {
                    found.note(format!("{object} has {}; {}", described(view.resources), expected.source));
                }
                Some(view) => {
                    compare(&mut found, &object, view.resources, expected);
                    established.push(format!("{name} has {}", described(view.resources)));
                }
            }
        }
        if found.are_good() && established.is_empty() {
            let object = format!("pod {}", seen.pod.name_any());
            let hint = "give the system a default, or the values that the release was installed with";
            let reason = Reason::new(object, "a container whose resources somebody lays down", "none");
            return found.error(reason.hint(hint));
        }
        found.verdict(established.join("; "))
    }
}

/// The containers, what the values say of each, and whether a server may do without it.
fn containers(system: &System) -> impl Iterator<Item = (&str, Option<&Fact>, bool)> {
    let (export, facts) = (&system.export, &system.facts);
    let sidecar = system.sidecar.as_ref();
    let sidecar = sidecar.map(|sidecar| (sidecar.container.as_str(), facts.sidecar_resources.as_ref(), true));
    [(export.container.as_str(), facts.resources.as_ref(), false)].into_iter().chain(sidecar)
}

/// Requests and limits by resource; a limit without a request is a request too, as Kubernetes fills it in.
struct Amounts {
    requests: BTreeMap<String, String>,
    limits: BTreeMap<String, String>,
}

impl Amounts {
    fn new(resources: &Value) -> Self {
        let part = |key: &str| -> BTreeMap<String, String> {
            let amounts = resources[key].as_object().into_iter().flatten().filter(|(_, amount)| !amount.is_null());
            amounts.map(|(name, amount)| (name.clone(), quantity::text(amount))).collect()
        };
        let (mut requests, limits) = (part("requests"), part("limits"));
        for (name, limit) in &limits {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
        Self { requests, limits }
    }

    fn of(resources: Option<&ResourceRequirements>) -> Self {
        Self::new(&serde_json::to_value(resources).unwrap_or_default())
    }
}

/// Whether a container's resources are as the values say; what they do not say may be anything.
pub(super) fn compare(found: &mut Findings, object: &str, live: Option<&ResourceRequirements>, expected: &Expected) {
    let Some(wanted) = &expected.value else { return };
    let (wanted, live) = (Amounts::new(wanted), Amounts::of(live));
    let parts = [("requests", &wanted.requests, &live.requests), ("limits", &wanted.limits, &live.limits)];
    for (part, wanted, live) in parts {
        for name in wanted.keys().chain(live.keys()).collect::<BTreeSet<_>>() {
            let (wanted, live) = (wanted.get(name), live.get(name));
            if wanted.zip(live).is_some_and(|(wanted, live)| quantity::same(wanted, live)) {
                continue;
            }
            let [wanted, live] = [wanted, live].map(|amount| amount.map_or("none", String::as_str));
            let expected = format!("{part}.{name} {wanted} ({})", expected.source);
            let hint = "run helm upgrade: the live object was edited, or something like a LimitRange changes new pods";
            found.wrong(object, expected, live, hint);
        }
    }
}

pub(super) fn described(resources: Option<&ResourceRequirements>) -> String {
    let amounts = Amounts::of(resources);
    let part = |amounts: &BTreeMap<String, String>| {
        let all: Vec<_> = amounts.iter().rev().map(|(name, amount)| format!("{name} {amount}")).collect();
        or_none(all.join(" and "))
    };
    format!("requests: {}, limits: {}", part(&amounts.requests), part(&amounts.limits))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    fn wanted() -> Value {
        json!({"requests": {"memory": "64Mi", "cpu": "50m"}, "limits": {"memory": "1Gi", "cpu": 1}})
    }

    fn judged(wanted: &Value, changes: &[(&str, Value)]) -> Verdict {
        let live = json!({"requests": {"memory": "64Mi", "cpu": "50m"}, "limits": {"memory": "1024Mi", "cpu": "1"}});
        let pod = with(with(output_pod(), &[("/spec/containers/0/resources", live)]), changes);
        let expected = json!({"value": wanted, "source": "resources in the values"});
        let seen = json!({"pod": pod, "expected": {"nfs-server": expected}});
        judged_by::<Resources>(json!({}), seen)
    }

    #[test]
    fn a_difference_in_either_direction_fails() {
        let live = |pointer: &str, value: Value| {
            judged(&wanted(), &[(&format!("/spec/containers/0/resources{pointer}"), value)]).reasons.len()
        };
        assert_eq!(live("/limits/memory", json!("1073741824")), 0, "the same amount");
        assert_eq!(live("/limits/memory", json!("1G")), 1);
        assert_eq!(live("/limits", json!({"memory": "1Gi"})), 1, "a limit is missing");
        assert_eq!(live("/limits/ephemeral-storage", json!("1Gi")), 2, "one too many, which is a request too");
        assert_eq!(live("", json!({})), 4);
        assert_eq!(judged(&json!({}), &[]).reasons.len(), 4, "the values have none");
    }

    #[test]
    fn a_limit_alone_is_a_request_too() {
        let limits = json!({"limits": {"memory": "64Mi"}});
        let live = json!({"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}});
        let verdict = judged(&limits, &[("/spec/containers/0/resources", live)]);
        assert_eq!(verdict.reasons, Vec::new());
    }

    #[test]
    fn a_missing_container_fails_and_where_nothing_is_laid_down_nothing_is_judged() {
        assert_eq!(judged(&wanted(), &[("/spec/containers/0/name", json!("other"))]).outcome, Outcome::Fail);
        let nothing = judged(&Value::Null, &[]);
        assert_eq!((nothing.outcome, nothing.notes.len()), (Outcome::Error, 1));
    }
}
