//! Pods, what is declared in them, and Services, in words. Pure.

use std::fmt::Display;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod, ResourceRequirements, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::cluster::container::{self, View};
use crate::cluster::server::{is_terminating, phase};
use crate::cluster::{Network, ResourceExt, Select, Server};

/// More characters of a word of a command are cut off; a script is one long word.
const WORD: usize = 60;

/// The Deployment and its pods, with what is not as it should be.
pub(super) fn pods(server: &Server, looked_at: &[Arc<Pod>]) -> Vec<String> {
    let mut lines: Vec<String> = server.deployments.iter().map(|deployment| of_deployment(deployment)).collect();
    if server.deployments.is_empty() {
        lines.push("no Deployment".to_owned());
    }
    if server.pods.is_empty() {
        lines.push("no pod".to_owned());
    }
    for pod in looked_at {
        lines.extend(of_pod(server, pod));
    }
    let more = server.pods.len() - looked_at.len();
    lines.extend((more > 0).then(|| format!("and {more} more pods")));
    lines
}

fn of_deployment(deployment: &Deployment) -> String {
    let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let not_well = conditions.filter(|condition| (condition.status == "True") == (condition.type_ == "ReplicaFailure"));
    let not_well = not_well.map(|condition| {
        let of = [&condition.reason, &condition.message];
        format!("; {}", said(&condition.type_, &condition.status, condition.last_transition_time.as_ref(), of))
    });
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let pods = if wanted == 1 { "pod" } else { "pods" };
    format!("Deployment {} asks for {wanted} {pods}{}", deployment.name_any(), not_well.collect::<String>())
}

fn of_pod(server: &Server, pod: &Pod) -> Vec<String> {
    let status = pod.status.clone().unwrap_or_default();
    let mut head = format!("pod {}: {}", pod.name_any(), phase(pod));
    let parts = [
        status.reason.map(|reason| format!(" ({reason})")),
        pod.creation_timestamp().map(|time| format!(", made {}", at(&time))),
        pod.spec.as_ref().and_then(|spec| Some(format!(", on node {}", spec.node_name.as_ref()?))),
        status.pod_ip.map(|ip| format!(", {ip}")),
        (!server.is_newest(pod)).then(|| ", not of the newest ReplicaSet".to_owned()),
        is_terminating(pod).then(|| ", being deleted".to_owned()),
        status.message.map(|message| format!(": {message}")),
    ];
    head.extend(parts.into_iter().flatten());
    let mut lines = vec![head];
    for condition in status.conditions.iter().flatten() {
        // Of those that are as they should be, since when the pod is Ready is enough.
        if condition.status != "True" || condition.type_ == "Ready" {
            let of = [&condition.reason, &condition.message];
            let text = said(&condition.type_, &condition.status, condition.last_transition_time.as_ref(), of);
            lines.push(format!("  {text}"));
        }
    }
    for view in container::all(pod) {
        lines.push(format!("  container {}, {}: {}", view.name, view.kind, view.describe()));
        let status = view.status;
        let now = status.and_then(|status| status.state.as_ref()?.terminated.as_ref());
        let before = status.and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
        let ended = [("it ran", now), ("its life before", before)];
        lines.extend(ended.into_iter().filter_map(|(which, ended)| Some(format!("    {which}: {}", life(ended?)))));
    }
    lines
}

/// A condition.
fn said(kind: &str, status: &str, since: Option<&Time>, of: [&Option<String>; 2]) -> String {
    let since = since.map(|time| format!(" since {}", at(time))).unwrap_or_default();
    let why: Vec<&str> = of.into_iter().flatten().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let colon = if why.is_empty() { "" } else { ": " };
    format!("{kind} is {status}{since}{colon}{}", why.join(", "))
}

/// From when to when a container ran, and how that ended.
fn life(ended: &ContainerStateTerminated) -> String {
    let time = |time: &Option<Time>| time.as_ref().map_or("?".to_owned(), at);
    let reason = ended.reason.as_deref().unwrap_or("ended");
    let signal = ended.signal.map(|signal| format!(", signal {signal}")).unwrap_or_default();
    let message = ended.message.as_deref().map(|message| format!(": {}", message.trim())).unwrap_or_default();
    let [from, to] = [&ended.started_at, &ended.finished_at].map(time);
    format!("from {from} to {to}: {reason}, exit code {}{signal}{message}", ended.exit_code)
}

fn at(time: &Time) -> String {
    format!("{:.0}", time.0)
}

/// What a pod's containers are to be, without the values of their environment.
pub(super) fn declared(pod: &Pod) -> Vec<String> {
    let mut lines = vec![format!("pod {}", pod.name_any())];
    for view in container::all(pod) {
        lines.push(format!("  container {}: image {}", view.name, view.image.unwrap_or("none")));
        let parts = [
            ("runs", command(&view)),
            ("mounts", list(view.mounts.iter().map(mount))),
            ("resources", view.resources.map(resources).unwrap_or_default()),
            ("variables", list(view.env.iter().map(|variable| &variable.name))),
        ];
        let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
        lines.extend(parts.map(|(name, text)| format!("    {name}: {text}")));
    }
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    lines.extend(volumes.map(|own| format!("  volume {}: {}", own.name, volume(own))));
    lines
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

fn command(view: &View<'_>) -> String {
    let word = |word: &String| {
        let short: String = word.lines().next().unwrap_or_default().chars().take(WORD).collect();
        if short == *word { short } else { format!("{short}… ({} bytes)", word.len()) }
    };
    view.command.iter().chain(view.args).map(word).collect::<Vec<_>>().join(" ")
}

fn mount(mount: &VolumeMount) -> String {
    let access = if mount.read_only == Some(true) { " (read only)" } else { "" };
    format!("{} at {}{access}", mount.name, mount.mount_path)
}

fn resources(resources: &ResourceRequirements) -> String {
    let all =
        [("requests", &resources.requests), ("limits", &resources.limits)].into_iter().filter_map(|(what, of)| {
            let of = list(of.as_ref()?.iter().map(|(name, quantity)| format!("{name} {}", quantity.0)));
            Some(format!("{what} {of}"))
        });
    all.collect::<Vec<_>>().join("; ")
}

/// A volume's kind, and where its files are.
fn volume(volume: &Volume) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(volume) else { return String::new() };
    let Some((kind, source)) = fields.iter().find(|(key, _)| *key != "name") else { return "of no kind".to_owned() };
    let text = |key: &str| source[key].as_str().map(|text| format!(" {text}")).unwrap_or_default();
    format!("{kind}{}{}{}", text("path"), text("sizeLimit"), text("type"))
}

/// The Services of a server and where they lead.
pub(super) fn services(network: &Network, select: &Select, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for service in network.services(select, name) {
        let spec = service.spec.clone().unwrap_or_default();
        let ports = spec.ports.iter().flatten().map(|port| {
            let node = port.node_port.map(|node| format!(", on nodes {node}")).unwrap_or_default();
            let target = port.target_port.as_ref().and_then(|target| serde_json::to_value(target).ok());
            let target =
                target.map(|target| format!(" to {}", target.to_string().trim_matches('"'))).unwrap_or_default();
            format!("{}{target}{node}", port.port)
        });
        let (kind, ip) = (spec.type_.as_deref().unwrap_or("?"), spec.cluster_ip.as_deref().unwrap_or("no IP"));
        lines.push(format!("Service {}: {kind}, {ip}, port {}", service.name_any(), list(ports)));
        let selector = list(spec.selector.iter().flatten().map(|(key, value)| format!("{key}={value}")));
        lines.push(format!("  selects {}", if selector.is_empty() { "nothing" } else { &selector }));
        let slices = network.slices(&service);
        let endpoints = slices.iter().flat_map(|slice| &slice.endpoints).map(|endpoint| {
            let is_ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false);
            let target = endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref()).unwrap_or("?");
            let ready = if is_ready { "ready" } else { "not ready" };
            format!("  endpoint {}, pod {target}, {ready}", endpoint.addresses.join(" "))
        });
        let before = lines.len();
        lines.extend(endpoints);
        if lines.len() == before {
            lines.push("  no endpoint".to_owned());
        }
    }
    if lines.is_empty() {
        lines.push("none with the labels of the server's pods".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::example::{output_pod, output_server, with};

    const DAY: &str = "2026-11-21";

    #[test]
    fn a_crash_loop_is_told_with_its_life_before() {
        let ended = json!({"exitCode": 137, "signal": 9, "reason": "OOMKilled", "startedAt": format!("{DAY}T03:00:10Z"),
            "finishedAt": format!("{DAY}T03:00:20Z")});
        let sidecar = "/pods/0/status/initContainerStatuses/1";
        let [state, last, count] = ["state", "lastState", "restartCount"].map(|field| format!("{sidecar}/{field}"));
        let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": format!("{DAY}T03:00:20Z"),
            "reason": "ContainersNotReady", "message": "unready: [sync-to-windows]"});
        let scheduled = json!({"type": "PodScheduled", "status": "True"});
        let server = with(
            output_server(),
            &[
                (&state, json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}})),
                (&last, json!({"terminated": ended})),
                (&count, json!(2)),
                ("/pods/0/status/conditions", json!([scheduled, condition])),
                ("/deployments/0/status/conditions", json!([{"type": "Available", "status": "False"}])),
            ],
        );
        let server: Server = serde_json::from_value(server).unwrap();
        let expected = [
            "Deployment nas-output-1 asks for 1 pod; Available is False",
            "pod nas-output-1-abc: Running, made 2026-11-21T03:00:00Z",
            "  Ready is False since 2026-11-21T03:00:20Z: ContainersNotReady, unready: [sync-to-windows]",
            "  container sync-windows-data, an init container without restartPolicy: Always: terminated: Completed, exit code 0",
            "    it ran: from ? to 2026-11-21T03:00:00Z: Completed, exit code 0",
            "  container sync-to-windows, a native sidecar: waiting: CrashLoopBackOff (back-off 10s), restarted 2 times",
            "    its life before: from 2026-11-21T03:00:10Z to 2026-11-21T03:00:20Z: OOMKilled, exit code 137, signal 9",
            "  container nfs-server, an ordinary container: running since 2026-11-21T03:00:00Z",
        ];
        assert_eq!(pods(&server, &server.pods), expected);
        let none: Server =
            serde_json::from_value(with(output_server(), &[("/pods", json!([])), ("/deployments", json!([]))]))
                .unwrap();
        assert_eq!(pods(&none, &none.pods), ["no Deployment", "no pod"]);
    }

    #[test]
    fn what_is_declared_is_told_without_values_of_variables() {
        let sidecar = |field: &str| format!("/spec/initContainers/1/{field}");
        let pod = with(
            output_pod(),
            &[
                (&sidecar("image"), json!("alpine:latest")),
                (&sidecar("env"), json!([{"name": "KEY", "value": "hunter2"}])),
                (&sidecar("command"), json!(["/bin/sh", "-c", "set -e\nrsync"])),
                (&sidecar("resources"), json!({"limits": {"memory": "64Mi"}})),
            ],
        );
        let told = declared(&serde_json::from_value(pod).unwrap()).join("\n");
        let expected = "  container sync-to-windows: image alpine:latest\n    \
            runs: /bin/sh -c set -e… (12 bytes)\n    \
            mounts: nfs-export at /nfs-data (read only), windows-data at /windows-mount\n    \
            resources: limits memory 64Mi\n    \
            variables: KEY\n";
        assert!(told.contains(expected), "{told}");
        assert!(
            told.ends_with(
                "  volume windows-data: hostPath /mnt/simulator-data/nas-output-1\n  volume nfs-export: emptyDir 500Mi"
            ),
            "{told}"
        );
        assert!(!told.contains("hunter2"));
    }

    #[test]
    fn services_are_told_with_where_they_lead() {
        let labels = output_pod()["metadata"]["labels"].clone();
        let service = json!({"metadata": {"name": "svc", "labels": labels}, "spec": {"type": "NodePort", "clusterIP": "10.96.0.1",
            "selector": {"a": "b"}, "ports": [{"port": 2049, "targetPort": "nfs", "nodePort": 32154}]}});
        let slice = json!({"metadata": {"labels": {"kubernetes.io/service-name": "svc"}}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.244.0.5"], "conditions": {"ready": false}, "targetRef": {"name": "nas-output-1-abc"}}]});
        let mut network: Network = serde_json::from_value(json!({"services": [service], "slices": [slice]})).unwrap();
        let select = json!({"labels": {"simulator.protocol": "nfs"}, "server-label": "app.kubernetes.io/component"});
        let select: Select = serde_json::from_value(select).unwrap();
        let head = ["Service svc: NodePort, 10.96.0.1, port 2049 to nfs, on nodes 32154", "  selects a=b"];
        let endpoint = "  endpoint 10.244.0.5, pod nas-output-1-abc, not ready";
        assert_eq!(services(&network, &select, "nas-output-1"), [head[0], head[1], endpoint]);
        network.slices.clear();
        assert_eq!(services(&network, &select, "nas-output-1"), [head[0], head[1], "  no endpoint"]);
        assert_eq!(services(&network, &select, "nas-output-2"), ["none with the labels of the server's pods"]);
    }
}
