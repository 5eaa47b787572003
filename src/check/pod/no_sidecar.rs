//! `no-sidecar`: besides the init container, nothing in the pod mounts the host folder, whatever its name or kind.

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
        let folders = init.as_ref().map(|init| container::tester_folders(pod, init, server)).unwrap_or_default();
        let (Ok(init), [folder, ..]) = (init, folders.as_slice()) else {
            let expected = format!("an init container {} that mounts the host folder", system.init_container);
            let found = format!("none does; the pod has {}", container::names(pod));
            return Verdict::fail(Reason::new(format!("pod {}", pod.name_any()), expected, found)).at(Hop::Sidecar);
        };
        let is_folder = |path: &str| folders.iter().any(|folder| overlap(path, folder.path));
        let mut found = Findings::default();
        for view in container::all(pod).iter().filter(|view| view.name != init.name) {
            for mount in container::host_paths(pod, view).iter().filter(|mount| is_folder(mount.path)) {
                let seen = format!("{} mounts {} at {}", view.kind, mount.path, mount.mount_path);
                let hint = "remove it: it overwrites the tester's own files; helm upgrade does not remove what was added by hand";
                found.wrong(container::place(pod, view.name), "not to mount the host folder", seen, hint);
            }
        }
        found.verdict(format!("only {} mounts {}", init.name, folder.path)).at(Hop::Sidecar)
    }
}

fn overlap(one: &str, other: &str) -> bool {
    Path::new(one).starts_with(other) || Path::new(other).starts_with(one)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    /// An input server is an output server without the sidecar.
    fn input(changes: &[(&str, Value)]) -> Outcome {
        let init = output_pod()["spec"]["initContainers"][0].clone();
        let pod = with(with(output_pod(), &[("/spec/initContainers", json!([init]))]), changes);
        judged::<NoSidecar>(json!({}), json!({ "pod": pod })).outcome
    }

    fn container(volume: &str) -> Value {
        json!({"name": "other", "volumeMounts": [{"name": volume, "mountPath": "/anywhere"}]})
    }

    #[test]
    fn the_folder_above_and_below_count_and_another_path_does_not() {
        for (path, outcome) in [
            ("/mnt/simulator-data", Outcome::Fail),
            ("/mnt/simulator-data/nas-output-1/sub", Outcome::Fail),
            ("/mnt/simulator-data/nas-output-10", Outcome::Pass),
            ("/etc/localtime", Outcome::Pass),
        ] {
            let volume = json!({"name": "more", "hostPath": {"path": path}});
            let mounting = [("/spec/volumes/-", volume), ("/spec/containers/-", container("more"))];
            assert_eq!(input(&mounting), outcome, "{path}");
        }
    }

    #[test]
    fn another_host_path_of_the_init_container_hides_nothing() {
        let clock = json!({"name": "clock", "hostPath": {"path": "/etc/localtime"}});
        let mounts = json!([
            {"name": "clock", "mountPath": "/etc/localtime"}, {"name": "windows-data", "mountPath": "/windows-data"}
        ]);
        let changes = [("/spec/volumes/-", clock), ("/spec/initContainers/0/volumeMounts", mounts)];
        assert_eq!(input(&changes), Outcome::Pass);
        let sidecar = ("/spec/initContainers/-", container("windows-data"));
        assert_eq!(input(&[&changes[..], &[sidecar]].concat()), Outcome::Fail);
    }

    #[test]
    fn a_pod_without_the_init_container_is_no_proof() {
        assert_eq!(input(&[("/spec/initContainers", json!([]))]), Outcome::Fail);
        let [name, policy] = ["name", "restartPolicy"].map(|field| format!("/spec/initContainers/0/{field}"));
        assert_eq!(input(&[(&name, json!("other"))]), Outcome::Fail, "another one");
        assert_eq!(input(&[(&policy, json!("Always"))]), Outcome::Fail, "a sidecar of its name");
    }
}
