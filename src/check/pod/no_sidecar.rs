//! `no-sidecar`: only the init container mounts the host folder, whatever the names and kinds of other containers.

use std::path::Path;

use serde::Deserialize;

use super::{OnlyPod, init};
use crate::check::findings::Findings;
use crate::check::{Kind, Part, Site, System};
use crate::cluster::ResourceExt;
use crate::cluster::container;
use crate::event::{Hop, Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NoSidecar {}

impl Kind for NoSidecar {
    type Observation = OnlyPod;
    const HOPS: &'static [Hop] = &[Hop::Sidecar];
    const PARTS: &'static [Part] = &[Part::Init];

    async fn observe(&self, site: &Site) -> Result<OnlyPod, Verdict> {
        OnlyPod::observe(site).await
    }

    fn judge(&self, system: &System, OnlyPod { pod }: &OnlyPod) -> Verdict {
        let server = pod.labels().get(&system.pods.server_label).map_or("", String::as_str);
        let init = init(pod, &system.init_container);
        let folders = init.as_ref().map(|init| container::host_folders(pod, init, server)).unwrap_or_default();
        let (Ok(init), [folder, ..]) = (init, folders.as_slice()) else {
            let expected = format!("an init container {} that mounts the host folder", system.init_container);
            let found = format!("none; the pod has {}", container::names(pod));
            return Verdict::fail(Reason::new(format!("pod {}", pod.name_any()), expected, found)).at(Hop::Sidecar);
        };
        let is_folder = |path: &str| folders.iter().any(|folder| overlap(path, folder.path));
        let mut found = Findings::default();
        for view in container::all(pod).iter().filter(|view| view.name != init.name) {
            for mount in container::host_paths(pod, view).iter().filter(|mount| is_folder(mount.path)) {
                let seen = format!("{} mounts {} at {}", view.kind, mount.path, mount.mount_path);
                let hint = "remove the mount; the container can overwrite testers' files, and helm upgrade does not \
                            remove manual additions";
                found.add_finding(container::label(pod, view.name), "no mount of the host folder", seen, hint);
            }
        }
        found.verdict(format!("only {} mounts {}", init.name, folder.path)).at(Hop::Sidecar)
    }
}

fn overlap(one: &str, other: &str) -> bool {
    Path::new(one).starts_with(other) || Path::new(other).starts_with(one)
}
