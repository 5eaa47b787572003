//! `size-limit`: a volume is an emptyDir with a size limit, so that a server cannot fill its node's disk.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Volume};
use serde::{Deserialize, Serialize};

use super::quantity;
use crate::check::{Kind, Site, System};
use crate::cluster::ResourceExt;
use crate::event::{Hop, Reason, Verdict};

/// It has no parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SizeLimit {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
}

impl Kind for SizeLimit {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        Ok(Observation { pod: site.pod().await?.0 })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let name = &system.export.volume;
        let volumes = || seen.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let fail = |expected: &str, found: String, hint: &str| {
            let object = format!("pod {}, volume {name}", seen.pod.name_any());
            Verdict::judged("", vec![Reason::new(object, expected, found).hint(hint)]).at(Hop::Export)
        };
        let repair = "run helm upgrade: the live object was edited, or the chart has it otherwise";
        let Some(volume) = volumes().find(|volume| volume.name == *name) else {
            let names: Vec<_> = volumes().map(|volume| volume.name.as_str()).collect();
            return fail("an emptyDir", format!("no such volume; the pod has {}", names.join(", ")), repair);
        };
        let Some(empty_dir) = &volume.empty_dir else {
            let hint =
                format!("{repair}; anything but an emptyDir may be shared with other servers, and outlives the pod");
            return fail("an emptyDir", source(volume), &hint);
        };
        // The kubelet takes 0 for no limit.
        match &empty_dir.size_limit {
            Some(limit) if quantity::number(&limit.0).is_some_and(|bytes| bytes > 0.0) => {
                Verdict::judged(format!("{name} is an emptyDir of at most {}", limit.0), Vec::new())
            }
            limit => {
                let found = limit.as_ref().map_or("none".to_owned(), |limit| limit.0.clone());
                let hint = format!("{repair}; without a limit its files can fill the node's disk");
                fail("a sizeLimit", found, &hint)
            }
        }
    }
}

fn source(volume: &Volume) -> String {
    let value = serde_json::to_value(volume).unwrap_or_default();
    let source = value.as_object().into_iter().flatten().find(|(key, _)| *key != "name");
    source.map_or("a volume without a source".to_owned(), |(kind, source)| format!("{kind} {source}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::kind::tests::judged;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    #[test]
    fn a_limit_of_0_and_a_volume_of_another_name_fail() {
        for (name, limit, outcome) in [
            ("nfs-export", "0.5Gi", Outcome::Pass),
            ("nfs-export", "0", Outcome::Fail),
            ("other", "1Gi", Outcome::Fail),
        ] {
            let volume = json!({"name": name, "emptyDir": {"sizeLimit": limit}});
            let seen = json!({"pod": with(output_pod(), &[("/spec/volumes/1", volume)])});
            let verdict = judged::<SizeLimit>(json!({}), seen);
            assert_eq!(verdict.outcome, outcome, "{name} {limit}");
        }
    }
}
