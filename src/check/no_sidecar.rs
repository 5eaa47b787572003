//! `no-sidecar`: besides the init container, nothing in the pod mounts the host folder, whatever its name or kind.

use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::{Kind, Site};
use crate::cluster::container;
use crate::event::{Hop, Reason, Verdict};

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NoSidecar {
    /// The init container that may mount the host folder.
    pub init_container: String,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
}

impl Kind for NoSidecar {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Sidecar];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, _) = site.pod().await?;
        Ok(Observation { pod })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let views = container::all(&seen.pod);
        let object = format!("pod {}", seen.pod.name_any());
        let init = views.iter().find(|view| view.name == self.init_container && view.kind == container::Kind::Init);
        let Some((init, folder)) =
            init.and_then(|init| Some((init, container::host_paths(&seen.pod, init).first()?.path)))
        else {
            let expected = format!("an init container {} that mounts the host folder", self.init_container);
            let names = views.iter().map(|view| view.name).collect::<Vec<_>>().join(", ");
            return Verdict::judged("", vec![Reason::new(object, expected, format!("none does; the pod has {names}"))])
                .at(Hop::Sidecar);
        };
        let mut reasons = Vec::new();
        for view in views.iter().filter(|view| view.name != init.name) {
            for mount in container::host_paths(&seen.pod, view).iter().filter(|mount| overlap(mount.path, folder)) {
                let seen = format!("{} mounts {} at {}", view.kind, mount.path, mount.mount_path);
                reasons.push(
                    Reason::new(format!("{object}, container {}", view.name), "not to mount the host folder", seen)
                        .hint("remove it: it overwrites the tester's own files; helm upgrade does not remove what was added by hand"),
                );
            }
        }
        Verdict::judged(format!("only {} mounts {folder}", init.name), reasons).at(Hop::Sidecar)
    }
}

/// Whether one path is the other or above it.
fn overlap(one: &str, other: &str) -> bool {
    Path::new(one).starts_with(other) || Path::new(other).starts_with(one)
}
