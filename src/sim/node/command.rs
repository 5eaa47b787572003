//! What the harness does in a container. Imports its operations.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::files::Shell;
use super::{lock, network};
use crate::cluster::Operation;
use crate::sim::World;
use crate::sim::object::{state, text};
use crate::sim::scenario::Span;
use crate::sim::store::Kind;

/// The node's uptime when the cluster was started, in hundredths of a second.
const UPTIME: u128 = 8_640_000;

#[derive(Debug, Default)]
pub(in crate::sim) struct Done {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub code: i32,
}

/// Waits until commands in a pod can be done; `true` if what they say will be lost, as the first ones' of each kind is where the
/// node is short of CPU.
pub(in crate::sim) async fn begin(world: &World, pod: &str, operations: &[Operation]) -> bool {
    let Some(Span(takes)) = world.scenario.slow else { return false };
    let mut lost = world.kubelet.busy.lock().await;
    tokio::time::sleep(takes).await;
    lost.insert((pod.to_owned(), operations.iter().all(Operation::says_nothing)))
}

pub(in crate::sim) async fn run(world: &Arc<World>, pod: &str, container: &str, operation: &Operation) -> Done {
    let Some(pod) = world.store.get(Kind::Pod, pod) else { return Done { code: 137, ..Done::default() } };
    let (stdout, ended) = match operation {
        Operation::Usage => (usage(world, &pod, container).into_bytes(), Ok(())),
        Operation::Resolve { names } => (network::resolve(world, names).into_bytes(), Ok(())),
        Operation::Connect { address, port } => (Vec::new(), network::connect(world, address, *port)),
        _ => {
            let (world, container, operation) = (Arc::clone(world), container.to_owned(), operation.clone());
            let work = move || {
                let _whole = lock(&world.kubelet.files);
                let mut shell = Shell { world: &world, pod: &pod, container: &container, stdout: Vec::new() };
                let ended = shell.run(&operation);
                (shell.stdout, ended)
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| (Vec::new(), Err(error.to_string())))
        }
    };
    match ended {
        Ok(()) => Done { stdout, ..Done::default() },
        Err(stderr) => Done { stdout, stderr: stderr.into_bytes(), code: 1 },
    }
}

/// Memory, uptime and CPU time: an idle container uses a thousandth of a core.
fn usage(world: &World, pod: &Value, container: &str) -> String {
    let since = text(&state(pod, container)["running"]["startedAt"]).parse::<Timestamp>();
    let age = since.map_or(0, |since| world.node_now().duration_since(since).as_millis().max(0));
    let uptime = UPTIME + world.elapsed().as_millis() / 10;
    format!("2097152 {uptime} {}\n", age * 1000)
}
