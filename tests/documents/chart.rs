//! The chart as it renders, from the golden file: what the suites rely on is what the chart promises.
//! That the file is what helm makes of the chart is checked by `fixtures/helm-chart/render`, which needs helm.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

const SERVERS: [&str; 7] =
    ["nas-input-1", "nas-input-2", "nas-input-3", "nas-backup", "nas-output-1", "nas-output-2", "nas-output-3"];

fn documents() -> Vec<Value> {
    serde_saphyr::from_multiple(include_str!("../../fixtures/helm-chart/golden/multi-nas.yaml")).unwrap()
}

fn of_kind<T: serde::de::DeserializeOwned>(kind: &str) -> Vec<T> {
    let documents = documents().into_iter().filter(|document| document["kind"] == kind);
    documents.map(|document| serde_json::from_value(document).unwrap()).collect()
}

/// The pod specs in the order of the servers.
fn pods() -> Vec<k8s_openapi::api::core::v1::PodSpec> {
    let deployments: Vec<Deployment> = of_kind("Deployment");
    assert_eq!(deployments.len(), SERVERS.len());
    deployments.into_iter().map(|deployment| deployment.spec.unwrap().template.spec.unwrap()).collect()
}

fn mounts(container: &Container) -> Vec<(&str, bool)> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts.map(|mount| (mount.name.as_str(), mount.read_only == Some(true))).collect()
}

#[test]
fn each_server_is_a_deployment_and_a_service_with_its_labels_and_ports() {
    let deployments: Vec<Deployment> = of_kind("Deployment");
    let services: Vec<Service> = of_kind("Service");
    assert_eq!(
        (deployments.len(), services.len(), documents().len()),
        (7, 7, 14),
        "and there is nothing else, no Namespace"
    );
    for (index, server) in SERVERS.iter().enumerate() {
        let name = format!("file-sim-file-simulator-{server}");
        let spec = deployments[index].spec.as_ref().unwrap();
        assert_eq!((deployments[index].metadata.name.as_ref(), spec.replicas), (Some(&name), Some(1)));
        let labels = spec.template.metadata.as_ref().unwrap().labels.as_ref().unwrap();
        assert_eq!(
            (labels["simulator.protocol"].as_str(), labels["app.kubernetes.io/component"].as_str()),
            ("nfs", *server)
        );
        let service = services[index].spec.as_ref().unwrap();
        let port = &service.ports.as_ref().unwrap()[0];
        assert_eq!((services[index].metadata.name.as_ref(), service.type_.as_deref()), (Some(&name), Some("NodePort")));
        assert_eq!(port.node_port, Some(32150 + i32::try_from(index).unwrap()));
        assert_eq!(port.target_port, Some(IntOrString::String("nfs".into())));
        assert!(service.selector.as_ref().unwrap().iter().all(|(key, value)| labels.get(key) == Some(value)));
    }
}

#[test]
fn output_servers_and_no_others_have_a_native_sidecar_after_the_init_container() {
    for (pod, server) in pods().iter().zip(SERVERS) {
        let init = pod.init_containers.as_ref().unwrap();
        assert_eq!((init[0].name.as_str(), init[0].restart_policy.as_deref()), ("sync-windows-data", None));
        assert_eq!(init.len(), 1 + usize::from(server.starts_with("nas-output")), "{server}");
        for sidecar in &init[1..] {
            assert_eq!((sidecar.name.as_str(), sidecar.restart_policy.as_deref()), ("sync-to-windows", Some("Always")));
            assert_eq!(mounts(sidecar), [("nfs-export", true), ("windows-data", false)]);
        }
        let [only] = pod.containers.as_slice() else { panic!("{server} has {} containers", pod.containers.len()) };
        assert_eq!((only.name.as_str(), mounts(only).as_slice()), ("nfs-server", &[("nfs-export", false)][..]));
    }
}

/// A test can tell from the live pod what becomes of files that only the target has: the text is not the same for all.
#[test]
fn inputs_and_no_others_are_filled_with_delete_and_no_sidecar_deletes() {
    for (pod, server) in pods().iter().zip(SERVERS) {
        let is_input = server.starts_with("nas-input-");
        for container in pod.init_containers.iter().flatten() {
            let words = container.command.iter().chain(&container.args).flatten();
            let values = container.env.iter().flatten().filter_map(|variable| variable.value.as_ref());
            let said: Vec<_> = words.chain(values).collect();
            let says = |flag| said.iter().any(|text| text.contains(flag));
            let expected = match container.name.as_str() {
                "sync-windows-data" => (is_input, !is_input),
                _ => (false, false),
            };
            assert_eq!((says("--delete"), says("--update")), expected, "{} of {server}", container.name);
        }
    }
}

#[test]
fn the_folder_is_the_servers_own_and_the_export_is_limited() {
    for (pod, server) in pods().iter().zip(SERVERS) {
        let volumes = serde_json::to_value(&pod.volumes).unwrap();
        let path = format!("/mnt/simulator-data/{server}");
        assert_eq!(volumes[0]["hostPath"], serde_json::json!({"path": path, "type": "DirectoryOrCreate"}));
        assert_eq!(volumes[1]["emptyDir"]["sizeLimit"], "500Mi");
    }
}

#[test]
fn no_container_is_privileged_and_only_the_server_gets_a_capability() {
    for pod in pods() {
        for container in pod.init_containers.iter().flatten().chain(&pod.containers) {
            let security = container.security_context.as_ref().unwrap();
            assert_ne!(security.privileged, Some(true));
            assert_eq!(security.allow_privilege_escalation, Some(false));
            let added = security.capabilities.as_ref().unwrap().add.clone().unwrap_or_default();
            let is_server = container.name == "nfs-server";
            assert_eq!(added, if is_server { vec!["NET_BIND_SERVICE"] } else { vec![] }, "{}", container.name);
        }
    }
}

#[test]
fn exports_accept_clients_on_any_port_and_only_the_backup_is_read_only() {
    for (pod, server) in pods().iter().zip(SERVERS) {
        let env = pod.containers[0].env.as_ref().unwrap();
        let value = |name| {
            env.iter().find(|variable| variable.name == name).and_then(|variable| variable.value.clone()).unwrap()
        };
        let mode = if server == "nas-backup" { "ro" } else { "rw" };
        assert_eq!(value("EXPORT_OPTIONS"), format!("{mode},sync,no_root_squash,insecure"));
        assert_eq!(value("FSID"), (SERVERS.iter().position(|name| *name == server).unwrap() + 1).to_string());
    }
}
