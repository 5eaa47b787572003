//! `native-sidecar`: the sidecar is a native sidecar after the init container, and runs without recent restarts.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::findings::{Findings, read_events};
use crate::check::{Kind, Part, Site, System};
use crate::cluster::ResourceExt;
use crate::cluster::container::{self, View};
use crate::event::{Hop, Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NativeSidecar {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
    now: Timestamp,
}

impl Kind for NativeSidecar {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Sidecar];
    const PARTS: &'static [Part] = &[Part::Init, Part::Sidecar];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, snapshot) = site.pod().await?;
        Ok(Observation { pod, now: snapshot.now })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let (name, after) = (system.sidecar_name(), &system.init_container);
        let object = container::label(&seen.pod, name);
        let repair = "enable the server's sidecar in the values and run helm upgrade; if the values already enable it, \
                      the live object was edited";
        let Some(sidecar) = container::named(&seen.pod, name) else {
            let reason = Reason::new(object, "a native sidecar", container::missing(&seen.pod));
            return Verdict::fail(reason.hint(repair)).at(Hop::Sidecar);
        };
        let mut found = Findings::default();
        let is_native = sidecar.kind == container::Kind::NativeSidecar;
        if !is_native {
            let expected = "a native sidecar (in initContainers, with restartPolicy: Always)";
            found.add_finding(&object, expected, sidecar.kind.to_string(), repair);
        }
        let init = container::named(&seen.pod, after);
        let comes_after = |init: View| init.kind == container::Kind::Init && (init.index < sidecar.index || !is_native);
        if !init.is_some_and(comes_after) {
            let seen = init.map_or(format!("no init container {after}"), |init| {
                format!("{after} is {}, at position {}", init.kind, init.index + 1)
            });
            let hint = format!(
                "move the sidecar after {after}; before it, the sidecar copies an empty export over the host folder"
            );
            found.add_finding(&object, format!("to come after init container {after}"), seen, hint);
        }
        if container::restarted_recently(&seen.pod, &sidecar, system.restart_window.signed(), seen.now) {
            let expected = format!("no restart within {}", system.restart_window);
            let hint = format!("read its previous log: kubectl logs {} -c {name} --previous", seen.pod.name_any());
            found.add_finding(&object, expected, sidecar.describe(), hint);
        }
        let is_started = sidecar.status.is_some_and(|status| status.started == Some(true));
        if sidecar.running_since().is_none() || !is_started {
            found.add_finding(object, "running and started", sidecar.describe(), read_events(&seen.pod.name_any()));
        }
        found.verdict(format!("{name} is a native sidecar after {after}, {}", sidecar.describe())).at(Hop::Sidecar)
    }
}
