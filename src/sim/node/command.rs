//! What the harness does in a container. Imports its operations.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::files::{Said, Shell};
use super::{lock, network};
use crate::cluster::Operation;
use crate::sim::World;
use crate::sim::object::{name, state, text};
use crate::sim::scenario::Span;
use crate::sim::store::Kind;

/// The node's uptime when the cluster was started, in hundredths of a second.
const UPTIME: u128 = 8_640_000;

/// Waits until commands in a pod can be done; `true` if what they say will be lost, as the first ones' of each kind is where the
/// node is short of CPU.
pub(in crate::sim) async fn begin(world: &World, pod: &str, operations: &[Operation]) -> bool {
    let Some(Span(takes)) = world.scenario.slow else { return false };
    let mut lost = world.kubelet.busy.lock().await;
    tokio::time::sleep(takes).await;
    lost.insert((pod.to_owned(), operations.iter().all(Operation::says_nothing)))
}

/// Does an operation in a container.
pub(in crate::sim) async fn run(world: &Arc<World>, pod: &Arc<Value>, container: &str, operation: &Operation) -> Said {
    if world.store.get(Kind::Pod, name(pod)).is_none() {
        return Err("its pod is gone\n".to_owned());
    }
    match operation {
        Operation::Usage => Ok(usage(world, pod, container).into()),
        Operation::Resolve { names } => Ok(network::resolve(world, names).into()),
        Operation::Connect { address, port } => network::connect(world, address, *port).map(|()| Vec::new()),
        _ => {
            let (world, pod) = (Arc::clone(world), Arc::clone(pod));
            let (container, operation) = (container.to_owned(), operation.clone());
            let work = move || {
                let _whole = lock(&world.kubelet.files);
                Shell { world: &world, pod: &pod, container: &container }.run(&operation)
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
        }
    }
}

/// Memory, uptime and CPU time: an idle container uses a thousandth of a core.
fn usage(world: &World, pod: &Value, container: &str) -> String {
    let since = text(&state(pod, container)["running"]["startedAt"]).parse::<Timestamp>();
    let age = since.map_or(0, |since| world.node_now().duration_since(since).as_millis().max(0));
    let uptime = UPTIME + world.elapsed().as_millis() / 10;
    format!("2097152 {uptime} {}\n", age * 1000)
}
