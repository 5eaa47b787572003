//! A pod from its start to its end, and operations in it.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::*;
use crate::cluster::Operation;

/// Waits until the pod is as wanted, or gone.
async fn until(world: &World, wanted: impl Fn(Option<&Value>) -> bool) {
    let mut changes = world.store.changes();
    let reached = async {
        while !wanted(world.store.get(Kind::Pod, "pod").as_deref()) {
            changes.changed().await.unwrap();
        }
    };
    let last = || world.store.get(Kind::Pod, "pod").map(|pod| pod["status"].to_string());
    assert!(timeout(Duration::from_secs(20), reached).await.is_ok(), "{:?}", last());
}

#[tokio::test]
async fn a_pod_that_was_there_is_up_with_a_past_and_its_files_go_both_ways() {
    let (world, _folder) = example::world("healthy");
    let own = world.data.join("nas-output-1");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("from-tester"), "hello").unwrap();
    world.store.put(Kind::Pod, example::spec(), world.now() - Duration::from_secs(300));
    let mut tasks = JoinSet::new();
    start(&world, &mut tasks).await.unwrap();
    let pod = world.store.get(Kind::Pod, "pod").unwrap();
    assert!(is_ready(&pod) && pod["status"]["phase"] == "Running", "{pod}");
    let ready = array(&pod["status"]["conditions"]).find(|condition| condition["type"] == "Ready").unwrap();
    let since: Timestamp = text(&ready["lastTransitionTime"]).parse().unwrap();
    assert!(world.now().duration_since(since).as_secs() > 280, "{ready}");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert!(world.logs.read("pod", "sync-to-windows", 0).unwrap().lines.len() > 20);

    let read = Operation::Read { path: "/data/from-tester".into() };
    assert_eq!(command::run(&world, "pod", "nfs-server", &read).await.stdout, b"hello");
    let exports = Operation::Read { path: "/etc/exports".into() };
    assert_eq!(command::run(&world, "pod", "nfs-server", &exports).await.stdout, b"/data 0.0.0.0/0(rw)\n");
    let write = Operation::Write { path: "/data/to-tester".into(), content: "there".into() };
    assert_eq!(command::run(&world, "pod", "nfs-server", &write).await, command::Done::default());
    let limit = Instant::now() + Duration::from_secs(10);
    while std::fs::read(own.join("to-tester")).ok().as_deref() != Some(b"there") {
        assert!(Instant::now() < limit);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let address = listener(&world, "pod", 2049).unwrap();
    tokio::net::TcpStream::connect(address).await.unwrap();

    world.store.edit(Kind::Pod, "pod", |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-11-21T03:00:00Z"));
    until(&world, |pod| pod.is_none()).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err() && listener(&world, "pod", 2049).is_none());
}

#[tokio::test]
async fn a_sidecar_that_ends_is_started_again_and_the_pod_is_not_ready_meanwhile() {
    let (world, _folder) = example::world("healthy");
    let mut tasks = JoinSet::new();
    start(&world, &mut tasks).await.unwrap();
    let mut spec = example::spec();
    // Its folder is not there for it: rsync fails three times in a row.
    spec["spec"]["initContainers"][1]["volumeMounts"][0]["subPath"] = json!("missing");
    world.store.put(Kind::Pod, spec, world.now());
    until(&world, |pod| pod.is_some_and(is_ready)).await;
    let sidecar = |pod: &Value| pod["status"]["initContainerStatuses"][1].clone();
    until(&world, |pod| pod.is_some_and(|pod| sidecar(pod)["state"]["terminated"]["exitCode"] == 23 && !is_ready(pod)))
        .await;
    until(&world, |pod| pod.is_some_and(|pod| sidecar(pod)["restartCount"] == 1 && is_ready(pod))).await;
    let pod = world.store.get(Kind::Pod, "pod").unwrap();
    assert_eq!(sidecar(&pod)["lastState"]["terminated"]["exitCode"], 23, "{pod}");
    until(&world, |pod| pod.is_some_and(|pod| sidecar(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff")).await;
}

/// What a real shell and the simulated one do on the same folder.
#[cfg(unix)]
#[tokio::test]
async fn operations_end_as_in_a_shell() {
    use std::process::Command;
    let (world, pod, _folder) = example::pod();
    let export = world.node.join("pods").join(uid(&pod)).join("nfs-export");
    let real = tempfile::tempdir().unwrap();
    let data = real.path().to_str().unwrap();
    let at = |folder: &str, path: &str| format!("{folder}/{path}");
    let operations = |folder: &str| {
        vec![
            Operation::Write { path: at(folder, "one file"), content: "a\n$b".into() },
            Operation::Write { path: at(folder, "none/x"), content: "a".into() },
            Operation::Read { path: at(folder, "one file") },
            Operation::Read { path: at(folder, "none") },
            Operation::Fill { path: at(folder, "on"), line: "abc".into(), bytes: 10 },
            Operation::WriteNested { folder: at(folder, "two/three"), name: "deep".into(), content: "deep".into() },
            Operation::WriteNested { folder: at(folder, "on/three"), name: "deep".into(), content: "deep".into() },
            Operation::Write { path: at(folder, "two"), content: "a".into() },
            Operation::Read { path: at(folder, "two") },
            Operation::Gather { folder: at(folder, ""), prefix: "on".into() },
            Operation::Gather { folder: at(folder, "none"), prefix: "on".into() },
            Operation::Files { folder: at(folder, "two"), most: 9 },
            Operation::Remove { path: at(folder, "two") },
            Operation::Remove { path: at(folder, "none") },
            Operation::Sweep { folder: at(folder, ""), prefix: "on".into() },
            Operation::Sweep { folder: at(folder, ""), prefix: String::new() },
        ]
    };
    for (simulated, real) in operations("/data").iter().zip(operations(data)) {
        let done = command::run(&world, "pod", "nfs-server", simulated).await;
        let script = format!("run() {{ {}\n}}; run \"$@\"", real.script());
        let output = Command::new("sh").args(["-c", &script, "sh"]).args(real.arguments()).output().unwrap();
        assert_eq!((&done.stdout, done.code == 0), (&output.stdout, output.status.success()), "{simulated:?} {done:?}");
        assert_eq!(done.stderr.is_empty(), output.stderr.is_empty(), "{simulated:?} {done:?} {output:?}");
    }
    assert_eq!(std::fs::read_dir(export).unwrap().count(), 0);
    let write = |path: &str| Operation::Write { path: path.into(), content: "a".into() };
    let refused = command::run(&world, "pod", "sync-to-windows", &write("/nfs-data/x")).await;
    assert_eq!(refused.stderr, b"operations: can't create /nfs-data/x: Read-only file system\n");
    let busy = command::run(&world, "pod", "nfs-server", &Operation::Remove { path: "/data".into() }).await;
    assert_eq!((busy.code, busy.stderr), (1, b"rm: can't remove '/data': Device or resource busy\n".to_vec()));
}
