//! Runs one pod: starts its containers in order, restarts them, and removes the pod when it is deleted.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::container::{Container, lock};
use super::{mounts, status};
use crate::sim::logs::Log;
use crate::sim::object::{Kind, containers, is_terminating, name, stamp, text, uid};
use crate::sim::store::State;
use crate::sim::world::World;

const START: Duration = Duration::from_millis(30);
const STOP: Duration = Duration::from_millis(50);
/// How long a container's state is `terminated` before it is `CrashLoopBackOff`.
const TERMINATED: Duration = Duration::from_millis(200);
const BACK_OFF: Duration = Duration::from_secs(10);

pub(super) async fn run(world: Arc<World>, pod: Arc<Value>) {
    let mut state = world.store.state();
    mounts::mount(&world, &pod);
    let ip = format!("10.244.0.{}", world.kubelet.addresses.fetch_add(1, Ordering::Relaxed) + 2);
    status::initialize(&world, &pod, &ip);
    let mut running = JoinSet::new();
    tokio::select! {
        _ = state.wait_for(|now| is_gone(now, &pod)) => {}
        () = start(&world, &pod, &mut running) => {}
    }
    running.shutdown().await;
    lock(&world.kubelet.ports).remove(name(&pod));
    sleep(STOP).await;
    for spec in containers(&pod) {
        world.logs.of(name(&pod), text(&spec["name"])).send_modify(|log| log.has_ended = true);
    }
    world.store.remove(Kind::Pod, name(&pod));
    mounts::unmount(&world, uid(&pod));
}

fn is_gone(state: &State, pod: &Value) -> bool {
    let live = state.get(Kind::Pod, name(pod));
    live.is_none_or(|live| uid(live) != uid(pod) || is_terminating(live))
}

/// Does not return.
async fn start(world: &Arc<World>, pod: &Arc<Value>, running: &mut JoinSet<()>) {
    let mut state = world.store.state();
    for spec in containers(pod) {
        let name = text(&spec["name"]).to_owned();
        let container = Arc::new(Container { world: Arc::clone(world), pod: Arc::clone(pod), name });
        running.spawn(run_container(Arc::clone(&container)).boxed());
        let _ = state.wait_for(|now| container.unblocks_next(now)).await;
    }
    pending::<()>().await;
}

/// Runs a container and restarts it whenever it exits; returns when an init container has completed.
async fn run_container(container: Arc<Container>) {
    let log = container.log();
    for restarts in 0_u32.. {
        sleep(START).await;
        log.send_modify(Log::start_run);
        container.started(restarts);
        let code = container.work().await;
        log.send_modify(|log| log.has_ended = true);
        container.terminated(code);
        if container.must_complete() && code == 0 {
            return;
        }
        if let Some(doublings) = restarts.checked_sub(1) {
            sleep(TERMINATED).await;
            container.backs_off();
            record_back_off(&container);
            let wait = Duration::from_secs(1 << doublings.min(6)).min(BACK_OFF);
            sleep(wait.saturating_sub(TERMINATED)).await;
        }
    }
}

fn record_back_off(Container { world, pod, name: container }: &Container) {
    let event = format!("{}.{container}", name(pod));
    let message = format!("Back-off restarting failed container {container} in pod {}", name(pod));
    let before = world.store.get(Kind::Event, &event);
    let count = before.map_or(0, |event| event["count"].as_u64().unwrap_or_default());
    let object = json!({"kind": "Pod", "name": name(pod), "uid": uid(pod)});
    let event = json!({"metadata": {"name": event}, "involvedObject": object, "type": "Warning", "reason": "BackOff",
        "message": message, "count": count + 1, "lastTimestamp": stamp(world.node_now())});
    world.put(Kind::Event, event);
}
