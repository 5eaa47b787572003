//! What the harness does in a container. Imports its operations.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::files::Shell;
use super::{lock, network};
use crate::cluster::Operation;
use crate::sim::World;
use crate::sim::object::{state, text};
use crate::sim::store::Kind;

/// The node's uptime when the cluster was started, in hundredths of a second.
const UPTIME: u128 = 8_640_000;

/// How a command ended.
#[derive(Debug, Default)]
pub(in crate::sim) struct Done {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The exit code.
    pub code: i32,
}

/// Waits until commands in a pod can be done; `true` if what they say will be lost, as the first ones' of each kind is where the
/// node is short of CPU.
pub(in crate::sim) async fn begin(world: &World, pod: &str, operations: &[Operation]) -> bool {
    let Some(takes) = world.scenario.slowness() else { return false };
    let mut lost = world.kubelet.busy.lock().await;
    tokio::time::sleep(takes).await;
    lost.insert((pod.to_owned(), operations.iter().all(Operation::says_nothing)))
}

/// Does an operation in a container of a pod.
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

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::super::mounts;
    use super::*;
    use crate::sim::object::{name, uid};
    use crate::sim::scenario::{HEALTHY, named};
    use crate::sim::{INTERVAL, control};

    /// What a real shell and the simulated one do on the same folder.
    #[tokio::test]
    async fn operations_end_as_in_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let world = Arc::new(World::new(folder.path(), named(HEALTHY).unwrap(), INTERVAL));
        // There is no node.
        control::start(&world, &mut tokio::task::JoinSet::new()).unwrap();
        let pod = &world.store.list(Kind::Pod)[0];
        mounts::mount(&world, pod);
        let real = tempfile::tempdir().unwrap();
        let operations = |folder: &str| {
            let at = |path: &str| format!("{folder}/{path}");
            let nested =
                |folder: String| Operation::WriteNested { folder, name: "deep".into(), content: "deep".into() };
            [
                Operation::Write { path: at("one file"), content: "a\n$b".into() },
                Operation::Write { path: at("none/x"), content: "a".into() },
                Operation::Read { path: at("one file") },
                Operation::Read { path: at("none") },
                Operation::Digest { path: at("one file") },
                Operation::Digest { path: at("none") },
                Operation::Fill { path: at("on"), line: "abc".into(), bytes: 10 },
                nested(at("two/three")),
                nested(at("on/three")),
                Operation::Gather { folder: at(""), prefix: "two/three/de".into() },
                Operation::Gather { folder: at(""), prefix: "none/de".into() },
                Operation::Write { path: at("two"), content: "a".into() },
                Operation::Read { path: at("two") },
                Operation::Gather { folder: at(""), prefix: "on".into() },
                Operation::Gather { folder: at("none"), prefix: "on".into() },
                Operation::Files { folder: at("two"), most: 9 },
                Operation::Files { folder: at("none"), most: 9 },
                Operation::Remove { path: at("two") },
                Operation::Remove { path: at("none") },
                Operation::Sweep { folder: at(""), prefix: "on".into() },
                Operation::Sweep { folder: at(""), prefix: String::new() },
            ]
        };
        for (simulated, real) in operations("/data").iter().zip(operations(real.path().to_str().unwrap())) {
            let done = run(&world, name(pod), "nfs-server", simulated).await;
            let script = format!("run() {{ {}\n}}; run \"$@\"", real.script());
            let output = Command::new("sh").args(["-c", &script, "sh"]).args(real.arguments()).output().unwrap();
            let ended = (&done.stdout, done.code == 0, done.stderr.is_empty());
            assert_eq!(ended, (&output.stdout, output.status.success(), output.stderr.is_empty()), "{simulated:?}");
        }
        let export = world.node.join("pods").join(uid(pod)).join("nfs-export");
        assert_eq!(std::fs::read_dir(export).unwrap().count(), 0);
    }
}
