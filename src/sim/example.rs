//! A cluster for tests: the release is installed, and there is no node.

use serde_json::Value;

use super::*;

/// A server with a sidecar.
pub const SERVER: &str = "nas-output-1";

/// The cluster after these faults of [`SERVER`], and its folder.
pub fn cluster(faults: &Value) -> (TempDir, Arc<World>) {
    let (folder, world) = unmade(faults);
    control::install(&world, world.now()).unwrap();
    (folder, world)
}

/// The cluster before anything is installed.
pub fn unmade(faults: &Value) -> (TempDir, Arc<World>) {
    let folder = tempfile::tempdir().unwrap();
    let scenario = json!({"name": "test", "broken": "something", "server": SERVER, "faults": faults});
    let world = World::new(folder.path(), serde_json::from_value(scenario).unwrap(), 2);
    (folder, Arc::new(world))
}

/// The pods of [`SERVER`].
pub fn pods(world: &World) -> Vec<Arc<Value>> {
    world.store.list(Kind::Pod).into_iter().filter(|pod| object::server(pod) == SERVER).collect()
}
