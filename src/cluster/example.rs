//! A healthy output server as the API returns it; tests change a few values to create a fault.

use serde_json::{Value, json};

/// The time of the example; its pod is an hour old.
pub const NOW: &str = "2026-11-21T04:00:00Z";
const START: &str = "2026-11-21T03:00:00Z";

pub fn output_pod() -> Value {
    let mounts = json!([
        {"name": "nfs-export", "mountPath": "/nfs-data", "readOnly": true},
        {"name": "windows-data", "mountPath": "/windows-mount"}
    ]);
    json!({
        "metadata": {
            "name": "nas-output-1-abc", "uid": "pod-1", "creationTimestamp": START,
            "labels": {"simulator.protocol": "nfs", "app.kubernetes.io/component": "nas-output-1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "set", "uid": "set-2"}]
        },
        "spec": {
            "initContainers": [
                {"name": "sync-windows-data", "volumeMounts": [
                    {"name": "windows-data", "mountPath": "/windows-data"}, {"name": "nfs-export", "mountPath": "/data"}]},
                {"name": "sync-to-windows", "restartPolicy": "Always", "volumeMounts": mounts}
            ],
            "containers": [{"name": "nfs-server", "volumeMounts": [{"name": "nfs-export", "mountPath": "/data"}]}],
            "volumes": [
                {"name": "windows-data", "hostPath": {"path": "/mnt/simulator-data/nas-output-1"}},
                {"name": "nfs-export", "emptyDir": {"sizeLimit": "500Mi"}}
            ]
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "initContainerStatuses": [
                {"name": "sync-windows-data", "ready": true, "started": false, "restartCount": 0, "image": "", "imageID": "",
                 "state": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": START}}},
                {"name": "sync-to-windows", "ready": true, "started": true, "restartCount": 0, "image": "", "imageID": "",
                 "state": {"running": {"startedAt": START}}}
            ],
            "containerStatuses": [
                {"name": "nfs-server", "ready": true, "started": true, "restartCount": 0, "image": "", "imageID": "",
                 "state": {"running": {"startedAt": START}}}
            ]
        }
    })
}

pub fn output_server() -> Value {
    let labels = output_pod()["metadata"]["labels"].clone();
    let set = |uid: &str, revision: &str| json!({"metadata": {"name": uid, "uid": uid, "annotations": {"deployment.kubernetes.io/revision": revision}}});
    json!({
        "name": "nas-output-1",
        "deployments": [{
            "metadata": {"name": "nas-output-1", "uid": "deployment-1", "generation": 2,
                "annotations": {"deployment.kubernetes.io/revision": "2"}},
            "spec": {"replicas": 1, "selector": {}, "template": {"metadata": {"labels": labels}}},
            "status": {"observedGeneration": 2}
        }],
        "replica_sets": [set("set-1", "1"), set("set-2", "2")],
        "pods": [output_pod()]
    })
}

/// The object with the value at each JSON pointer replaced; `-` appends to an array.
pub fn with(mut object: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match object.pointer_mut(parent).unwrap() {
            Value::Array(list) if key == "-" => list.push(value.clone()),
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
            parent => parent[key] = value.clone(),
        }
    }
    object
}
