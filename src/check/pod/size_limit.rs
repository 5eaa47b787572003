//! `size-limit`: the export's volume is an emptyDir with a size limit, so that a server cannot fill its node's disk.

use k8s_openapi::api::core::v1::Volume;
use serde::Deserialize;

use super::{OnlyPod, quantity};
use crate::check::findings::{EDITED, listed};
use crate::check::{Kind, Site, System};
use crate::cluster::ResourceExt;
use crate::event::{Hop, Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SizeLimit {}

impl Kind for SizeLimit {
    type Observation = OnlyPod;
    const HOPS: &'static [Hop] = &[Hop::Export];

    async fn observe(&self, site: &Site) -> Result<OnlyPod, Verdict> {
        OnlyPod::observe(site).await
    }

    fn judge(&self, system: &System, OnlyPod { pod }: &OnlyPod) -> Verdict {
        let name = &system.export.volume;
        let object = format!("pod {}, volume {name}", pod.name_any());
        let fail = |reason: Reason, hint: &str| Verdict::fail(reason.hint(hint)).at(Hop::Export);
        let volumes = || pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let Some(volume) = volumes().find(|volume| volume.name == *name) else {
            let found = format!("no such volume; the pod has {}", listed(volumes().map(|volume| &volume.name)));
            return fail(Reason::new(object, "an emptyDir", found), EDITED);
        };
        let Some(empty_dir) = &volume.empty_dir else {
            let hint = format!("{EDITED}; any other volume can be shared with other servers and outlives the pod");
            return fail(Reason::new(object, "an emptyDir", source(volume)), &hint);
        };
        let limit = empty_dir.size_limit.as_ref().map_or("none", |limit| &limit.0);
        // To the kubelet, 0 means no limit.
        if quantity::number(limit).is_some_and(|bytes| bytes > 0.0) {
            return Verdict::pass(format!("{name} is an emptyDir limited to {limit}"));
        }
        let hint = format!("{EDITED}; without a limit, files in it can fill the node's disk");
        fail(Reason::new(object, "a sizeLimit", limit), &hint)
    }
}

fn source(volume: &Volume) -> String {
    let value = serde_json::to_value(volume).unwrap_or_default();
    let source = value.as_object().into_iter().flatten().find(|(key, _)| *key != "name");
    source.map_or("a volume without source".to_owned(), |(kind, source)| format!("{kind} {source}"))
}
