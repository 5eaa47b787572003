//! Whether a pod may be deleted: its ReplicaSet replaces it, and no host folder is in danger. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use crate::check::parameter::DurationParam;
use crate::check::site::recently_restarted;
use crate::cluster::container::{self, Kind};
use crate::cluster::script;
use crate::cluster::server::{RolloutState, counted, is_ready};
use crate::cluster::{ResourceExt, Server};
use crate::event::Reason;

/// The server's one pod, if it runs steadily.
pub fn steady_pod(server: &Server, window: DurationParam, now: Timestamp) -> Result<Arc<Pod>, Reason> {
    let expected = "to run steadily before its pod is deleted";
    let unsteady = |seen: String| Reason::new(format!("server {}", server.name), expected, seen);
    match server.rollout_state() {
        RolloutState::Settled => {}
        RolloutState::Pending(why) | RolloutState::Stuck(why) => return Err(unsteady(why)),
    }
    let current = server.current();
    let [pod] = current.as_slice() else { return Err(unsteady(counted(&current))) };
    if !is_ready(pod) {
        return Err(unsteady(format!("pod {} is not Ready", pod.name_any())));
    }
    match recently_restarted(pod, window, now) {
        Some(view) => Err(unsteady(format!("{}: {}", container::label(pod, view.name), view.describe()))),
        None => Ok(Arc::clone(pod)),
    }
}

/// The uid of the ReplicaSet that replaces a deleted pod, or why none does.
pub fn owner(server: &Server, pod: &Pod) -> Result<String, Reason> {
    let object = format!("pod {}", pod.name_any());
    let refused = |seen: String| {
        let expected = "a ReplicaSet that replaces it";
        Err(Reason::new(&object, expected, seen).hint(
            "run helm upgrade and wait for the rollout; the pod was not deleted, because nothing would replace it",
        ))
    };
    let Some(owner) = pod.owner_references().iter().find(|owner| owner.controller == Some(true)) else {
        return refused("no controller owns it".to_owned());
    };
    let is_its = |set: &&Arc<ReplicaSet>| set.metadata.uid.as_ref() == Some(&owner.uid);
    let Some(set) = server.replica_sets.iter().find(is_its) else {
        return refused(format!("its owner {} {} is not a ReplicaSet of the server", owner.kind, owner.name));
    };
    if !server.is_newest(pod) {
        return refused(format!("ReplicaSet {} is not the newest", owner.name));
    }
    if set.spec.as_ref().is_some_and(|spec| spec.replicas == Some(0)) {
        return refused(format!("ReplicaSet {} is scaled to 0", owner.name));
    }
    Ok(owner.uid.clone())
}

/// Why a replacement would empty the host folder; `None` if it would not. Errors: why that is unknown.
pub fn danger(pod: &Pod, init: &str, sidecar: Option<&str>) -> Result<Option<Reason>, Reason> {
    let views = container::all(pod);
    let of = |name: &str| views.iter().find(|view| view.name == name);
    let folders = |view: &container::View| -> Vec<String> {
        container::host_paths(pod, view).iter().map(|mount| mount.path.trim_end_matches('/').to_owned()).collect()
    };
    let filled = of(init).map(folders).unwrap_or_default();
    let is_unknown = |view: &&container::View| {
        view.name != init && Some(view.name) != sidecar && folders(view).iter().any(|folder| filled.contains(folder))
    };
    if let Some(unknown) = views.iter().find(is_unknown) {
        let object = container::label(pod, unknown.name);
        let expected = format!("no container except {init} to mount the host folder");
        let hint = "remove the mount; no pod was deleted, because it is unknown what a new one does to that folder";
        return Err(Reason::new(object, expected, format!("it mounts {}", filled.join(", "))).hint(hint));
    }
    let (Some(first), Some(sidecar)) = (of(init), sidecar.and_then(of)) else { return Ok(None) };
    if sidecar.kind != Kind::NativeSidecar || sidecar.index > first.index {
        return Ok(None);
    }
    let reason = |seen: String, would: &str| {
        let expected = format!("to start after {init} has filled the export");
        let hint = format!(
            "put the init container before it; the pod was not deleted, because the sidecar of a new one {would} remove every \
             file from the host folder, as {would} the next restart"
        );
        Reason::new(container::label(pod, sidecar.name), expected, seen).hint(hint)
    };
    match script::strict_delete_flag(sidecar) {
        Ok(flag) => Ok(flag.map(|flag| reason(format!("it starts before {init} and uses {flag}"), "would"))),
        Err(why) => Err(reason(format!("it starts before {init} and may use --delete: {why}"), "might")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{NOW, output_pod, output_server, with};

    fn server(changes: &[(&str, Value)]) -> Server {
        let owner =
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "set", "uid": "set-2", "controller": true});
        let healthy = with(output_server(), &[("/pods/0/metadata/ownerReferences/0", owner)]);
        serde_json::from_value(with(healthy, changes)).unwrap()
    }

    fn is_steady(changes: &[(&str, Value)]) -> bool {
        steady_pod(&server(changes), DurationParam(std::time::Duration::from_mins(10)), NOW.parse().unwrap()).is_ok()
    }

    #[test]
    fn only_a_steady_server_is_disrupted() {
        let restarted = [
            ("/pods/0/status/initContainerStatuses/1/restartCount", json!(1)),
            ("/pods/0/status/initContainerStatuses/1/state/running/startedAt", json!("2026-11-21T03:55:00Z")),
        ];
        assert!(is_steady(&[]) && !is_steady(&restarted));
        for change in [
            ("/pods/0/status/conditions/0/status", json!("False")),
            ("/pods/0/metadata/deletionTimestamp", json!(NOW)),
            ("/deployments/0/spec/replicas", json!(2)),
            ("/pods", json!([])),
        ] {
            assert!(!is_steady(std::slice::from_ref(&change)), "{change:?}");
        }
    }

    #[test]
    fn only_a_pod_that_its_replica_set_replaces_is_deleted() {
        let owner = |changes: &[(&str, Value)]| {
            let server = server(changes);
            owner(&server, &server.pods[0]).ok()
        };
        assert_eq!(owner(&[]).as_deref(), Some("set-2"));
        for change in [
            ("/pods/0/metadata/ownerReferences", json!([])),
            ("/pods/0/metadata/ownerReferences/0/controller", json!(false)),
            ("/pods/0/metadata/ownerReferences/0/uid", json!("another")),
            ("/pods/0/metadata/ownerReferences/0/uid", json!("set-1")),
            ("/replica_sets/1/spec", json!({"replicas": 0, "selector": {}})),
        ] {
            assert_eq!(owner(std::slice::from_ref(&change)), None, "{change:?}");
        }
    }

    #[test]
    fn a_pod_whose_replacement_could_empty_the_host_folder_is_not_deleted() {
        let danger = |changes: &[(&str, Value)], sidecar| {
            let pod = serde_json::from_value(with(output_pod(), changes)).unwrap();
            danger(&pod, "sync-windows-data", sidecar).map(|danger| danger.is_some()).map_err(drop)
        };
        let [init, sidecar] = [0, 1].map(|index| output_pod()["spec"]["initContainers"][index].clone());
        let with = |script: &str| with(sidecar.clone(), &[("/command", json!(["sh", "-c", script]))]);
        let scripts = ["rsync -a --delete /a/ /b/", "echo no --delete; rsync -a /a/ /b/", "rsync -a /a/ /b/"];
        let [deleting, mentioning, adding] = scripts.map(with);
        let order = |first: &Value, second: &Value| ("/spec/initContainers", json!([first, second]));
        let name = Some("sync-to-windows");
        for safe in [&[][..], &[order(&init, &deleting)], &[order(&adding, &init)]] {
            assert_eq!(danger(safe, name), Ok(false), "{safe:?}");
        }
        assert_eq!(danger(&[order(&deleting, &init)], name), Ok(true));
        assert_eq!(danger(&[order(&mentioning, &init)], name), Err(()), "the script may be misread");
        assert_eq!(danger(&[order(&sidecar, &init)], name), Err(()), "the command is unknown");
        assert_eq!(danger(&[], None), Err(()), "a sidecar where none is expected");
    }
}
