//! A pod for tests.

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::mounts;
use crate::sim::World;
use crate::sim::scenario::{HEALTHY, named};
use crate::sim::store::Kind;

/// A world without pods.
pub fn world(scenario: &str) -> (Arc<World>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path(), named(scenario).unwrap(), 1);
    (Arc::new(world), folder)
}

/// A pod of an output server, as its Deployment makes it.
pub fn spec() -> Value {
    let mount =
        |name: &str, path: &str, read_only: bool| json!({"name": name, "mountPath": path, "readOnly": read_only});
    let env = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({
        "metadata": {"name": "pod", "labels": {"app.kubernetes.io/component": "nas-output-1"}},
        "spec": {
            "volumes": [
                {"name": "windows-data", "hostPath": {"path": "/mnt/simulator-data/nas-output-1", "type": "DirectoryOrCreate"}},
                {"name": "nfs-export", "emptyDir": {}}
            ],
            "initContainers": [
                {"name": "sync-windows-data", "image": "alpine:latest", "env": [env("RSYNC_FLAGS", "--update")],
                 "volumeMounts": [mount("windows-data", "/windows-data", true), mount("nfs-export", "/data", false)]},
                {"name": "sync-to-windows", "image": "alpine:latest", "restartPolicy": "Always",
                 "env": [env("SYNC_INTERVAL", "1"), env("NAS_NAME", "nas-output-1")],
                 "volumeMounts": [mount("nfs-export", "/nfs-data", true), mount("windows-data", "/windows-mount", false)]}
            ],
            "containers": [
                {"name": "nfs-server", "image": "alpine:latest", "readinessProbe": {"tcpSocket": {"port": 2049}},
                 "env": [env("EXPORT_OPTIONS", "rw"), env("FSID", "5")],
                 "volumeMounts": [mount("nfs-export", "/data", false)]}
            ]
        }
    })
}

/// A world with that pod in it, whose volumes are mounted, and which does not run.
pub fn pod() -> (Arc<World>, Arc<Value>, TempDir) {
    let (world, folder) = world(HEALTHY);
    world.store.put(Kind::Pod, spec(), world.now());
    let pod = world.store.get(Kind::Pod, "pod").unwrap();
    mounts::mount(&world, &pod).unwrap();
    (world, pod, folder)
}
