//! Other people's objects in the namespace, and what a run would see of the release among them.

use file_simulator_e2e::cluster::{Network, Population, ResourceExt};
use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::suite::load::parse;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::shuffled;

/// Objects of people who have nothing to do with the release, though some of their labels are the same.
pub fn called(name: &str) -> Vec<Value> {
    let [deployment, set] = ["deployment", "set"].map(|what| format!("{what}-of-{name}"));
    vec![
        pod(name, "web", &json!({"app": name}), &json!({"phase": "Running", "conditions": ready("True")})),
        pod(name, "bare", &Value::Null, &json!({"phase": "Pending"})),
        pod(name, "job", &json!({"job-name": name}), &json!({"phase": "Succeeded"})),
        pod(name, "loop", &json!({"app.kubernetes.io/component": "nas-output-1"}), &crash_loop()),
        pod(name, "evicted", &json!({"app.kubernetes.io/component": "nas-backup"}), &json!({"phase": "Failed"})),
        pod(
            name,
            "smb",
            &json!({"simulator.protocol": "smb", "app.kubernetes.io/component": "nas-input-1"}),
            &json!({"phase": "Running", "conditions": ready("False")}),
        ),
        // In the middle of a rollout.
        json!({
            "kind": "Deployment", "metadata": metadata(name, &deployment, &json!({"app.kubernetes.io/component": "nas-output-2"})),
            "spec": {"replicas": 3, "selector": {}, "template": {"metadata": {"labels": {"app.kubernetes.io/component": "nas-output-2"}}}},
            "status": {"observedGeneration": 1}
        }),
        json!({
            "kind": "ReplicaSet",
            "metadata": owned(metadata(name, &set, &json!({"simulator.protocol": "nfs"})), "Deployment", &deployment),
            "spec": {"selector": {}}, "status": {"replicas": 0}
        }),
        json!({
            "kind": "Service", "metadata": metadata(name, "service", &json!({"app.kubernetes.io/component": "nas-output-3"})),
            "spec": {"clusterIP": "None", "selector": {"app.kubernetes.io/component": "nas-output-3"}, "ports": [{"port": 2049}]}
        }),
        json!({
            "kind": "Service", "metadata": metadata(name, "outside", &Value::Null),
            "spec": {"type": "ExternalName", "externalName": "nas.example.org"}
        }),
        json!({
            "kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"port": 80}],
            "metadata": metadata(name, "slice", &json!({"kubernetes.io/service-name": format!("{name}-service")})),
            "endpoints": [{"addresses": ["10.244.3.4"], "conditions": {"ready": true}}]
        }),
        json!({
            "kind": "EndpointSlice", "addressType": "FQDN", "ports": [], "endpoints": [],
            "metadata": metadata(name, "by-hand", &json!({"simulator.protocol": "nfs"}))
        }),
    ]
}

fn metadata(name: &str, what: &str, labels: &Value) -> Value {
    json!({
        "name": format!("{name}-{what}"), "uid": format!("{name}-{what}"), "resourceVersion": "1", "generation": 2,
        "labels": labels, "creationTimestamp": "2026-11-21T10:00:00Z",
        "annotations": {"deployment.kubernetes.io/revision": "1"}
    })
}

fn owned(mut metadata: Value, kind: &str, owner: &str) -> Value {
    metadata["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": owner}]);
    metadata
}

fn pod(name: &str, what: &str, labels: &Value, status: &Value) -> Value {
    let metadata = owned(metadata(name, what, labels), "ReplicaSet", &format!("set-of-{name}"));
    let containers = json!([{"name": "nfs-server", "image": "busybox"}]);
    json!({"kind": "Pod", "metadata": metadata, "spec": {"containers": containers}, "status": status})
}

fn ready(status: &str) -> Value {
    json!([{"type": "Ready", "status": status}])
}

fn crash_loop() -> Value {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let status =
        json!({"name": "nfs-server", "ready": false, "restartCount": 40, "image": "", "imageID": "", "state": waiting});
    json!({"phase": "Running", "conditions": ready("False"), "containerStatuses": [status]})
}

/// Puts into the observations what the namespace has of their servers: read as the API's answers are, with the fields of
/// each object and the objects in any order.
pub fn look_again(recording: &mut Value, strangers: Vec<Value>, random: &mut StdRng) {
    let mut all: Vec<Value> = recording["objects"].as_object().unwrap().values().cloned().collect();
    all.extend(strangers);
    all.shuffle(random);
    let of = |kind: &str| all.iter().filter(|object| object["kind"] == kind).cloned().collect::<Vec<_>>();
    let population = json!({
        "pods": of("Pod"), "deployments": of("Deployment"), "replica_sets": of("ReplicaSet"), "now": "2026-11-21T10:00:00Z"
    });
    let population: Population = serde_json::from_str(&shuffled(&population, random)).unwrap();
    let network = json!({"services": of("Service"), "slices": of("EndpointSlice")});
    let network: Network = serde_json::from_str(&shuffled(&network, random)).unwrap();
    let typed: Recording = serde_json::from_value(recording.clone()).unwrap();
    let suites: Vec<_> = typed.suites.iter().map(|suite| parse(&suite.origin, &suite.text).unwrap()).collect();
    for (case, id) in recording["cases"].as_array_mut().unwrap().iter_mut().zip(typed.cases.iter().map(|case| &case.id))
    {
        let suite = suites.iter().find(|suite| suite.name == id.suite).unwrap();
        let planned = suite.cases.iter().find(|planned| planned.id == *id).unwrap();
        let server = id.server.as_deref().unwrap_or_default();
        let services = network.services(&suite.pods, server);
        let seen = &mut case["seen"];
        match planned.check.kind() {
            "pods" => seen["server"] = json!(population.server(&suite.pods, server)),
            "pod-count" => seen["pods"] = json!(population.selected(&suite.pods)),
            "dns" => seen["services"] = json!(services),
            "service" => {
                let slices: Vec<_> = services.iter().flat_map(|service| network.slices(service)).collect();
                (seen["services"], seen["slices"]) = (json!(services), json!(slices));
            }
            "unique" => {
                for its in seen["servers"].as_array_mut().unwrap() {
                    let name = its["name"].as_str().unwrap().to_owned();
                    its["services"] = json!(network.services(&suite.pods, &name));
                    its["pods"] = json!(population.server(&suite.pods, &name).current());
                }
                let strange = |name: Option<&String>| name.is_none_or(|name| !suite.servers.contains(name));
                let selected = network.selected(&suite.pods).into_iter();
                let strangers = selected.filter(|service| strange(service.labels().get(&suite.pods.server_label)));
                seen["strangers"] = json!(strangers.collect::<Vec<_>>());
            }
            _ => {}
        }
    }
}
