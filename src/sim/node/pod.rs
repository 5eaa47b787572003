//! The kubelet's work for one pod: starts its containers in their order, starts them again, says how they are, and
//! removes it when it is deleted.

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
use crate::sim::object::{Kind, containers, is_deleted, name, stamp, text, uid};
use crate::sim::store::State;
use crate::sim::world::World;

/// What containers need to start and to end.
const START: Duration = Duration::from_millis(30);
const STOP: Duration = Duration::from_millis(50);
/// How long a container that ended shows that before it waits for its next start.
const SHOWN: Duration = Duration::from_millis(200);
const BACK_OFF: Duration = Duration::from_secs(10);

pub(super) async fn run(world: Arc<World>, pod: Arc<Value>) {
    let mut state = world.store.state();
    mounts::mount(&world, &pod);
    let ip = format!("10.244.0.{}", world.kubelet.addresses.fetch_add(1, Ordering::Relaxed) + 2);
    status::begin(&world, &pod, &ip);
    let mut lives = JoinSet::new();
    tokio::select! {
        _ = state.wait_for(|now| is_gone(now, &pod)) => {}
        () = start(&world, &pod, &mut lives) => {}
    }
    lives.shutdown().await;
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
    live.is_none_or(|live| uid(live) != uid(pod) || is_deleted(live))
}

/// Starts every container when it is its turn; does not return.
async fn start(world: &Arc<World>, pod: &Arc<Value>, lives: &mut JoinSet<()>) {
    let mut state = world.store.state();
    for spec in containers(pod) {
        let name = text(&spec["name"]).to_owned();
        let container = Arc::new(Container { world: Arc::clone(world), pod: Arc::clone(pod), name });
        lives.spawn(live(Arc::clone(&container)).boxed());
        // The sender is in the world.
        let _ = state.wait_for(|now| container.lets_others_start(now)).await;
    }
    pending::<()>().await;
}

/// A container's lives, one after another; the last one of a container that must complete is that which does.
async fn live(container: Arc<Container>) {
    let log = container.log();
    for restarts in 0_u32.. {
        sleep(START).await;
        log.send_modify(Log::begin);
        container.runs(restarts);
        let code = container.work().await;
        log.send_modify(|log| log.has_ended = true);
        container.ended(code);
        if container.must_complete() && code == 0 {
            return;
        }
        if let Some(doublings) = restarts.checked_sub(1) {
            sleep(SHOWN).await;
            container.waits();
            warn(&container);
            let wait = Duration::from_secs(1 << doublings.min(6)).min(BACK_OFF);
            sleep(wait.saturating_sub(SHOWN)).await;
        }
    }
}

fn warn(Container { world, pod, name: container }: &Container) {
    let event = format!("{}.{container}", name(pod));
    let message = format!("Back-off restarting failed container {container} in pod {}", name(pod));
    let before = world.store.get(Kind::Event, &event);
    let count = before.map_or(0, |event| event["count"].as_u64().unwrap_or_default());
    let object = json!({"kind": "Pod", "name": name(pod), "uid": uid(pod)});
    let event = json!({"metadata": {"name": event}, "involvedObject": object, "type": "Warning", "reason": "BackOff",
        "message": message, "count": count + 1, "lastTimestamp": stamp(world.node_now())});
    world.put(Kind::Event, event);
}
