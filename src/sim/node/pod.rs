//! The kubelet's work for one pod: starts its containers in their order, starts them again, says how they are, and
//! removes it when it is deleted.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::container::{Container, lock};
use super::mounts;
use super::status::{self, Role, Slot};
use crate::sim::logs::Log;
use crate::sim::object::{Kind, is_deleted, name, stamp, uid};
use crate::sim::store::State;
use crate::sim::world::World;

/// What containers need to start and to end.
const START: Duration = Duration::from_millis(30);
const STOP: Duration = Duration::from_millis(50);
/// How long a container that ended shows that before it waits for its next start.
const SHOWN: Duration = Duration::from_millis(200);
const BACK_OFF: Duration = Duration::from_secs(10);

struct Worker {
    world: Arc<World>,
    pod: Arc<Value>,
    ip: String,
    slots: Sender<Vec<Slot>>,
}

pub(super) async fn run(world: Arc<World>, pod: Arc<Value>) {
    let mut state = world.store.state();
    mounts::mount(&world, &pod);
    let slots = Sender::new(Slot::all(&pod));
    let ip = format!("10.244.0.{}", world.kubelet.addresses.fetch_add(1, Ordering::Relaxed) + 2);
    let worker = Arc::new(Worker { world, pod, ip, slots });
    let mut lives = JoinSet::new();
    tokio::select! {
        _ = state.wait_for(|now| is_gone(now, &worker.pod)) => {}
        () = worker.start(&mut lives) => {}
    }
    lives.shutdown().await;
    worker.remove().await;
}

fn is_gone(state: &State, pod: &Value) -> bool {
    let live = state.get(Kind::Pod, name(pod));
    live.is_none_or(|live| uid(live) != uid(pod) || is_deleted(live))
}

impl Worker {
    /// Starts every container when it is its turn; does not return.
    async fn start(self: &Arc<Self>, lives: &mut JoinSet<()>) {
        let mut slots = self.slots.subscribe();
        let count = slots.borrow().len();
        for index in 0..count {
            lives.spawn(Arc::clone(self).live(index).boxed());
            // The sender is in here.
            let _ = slots.wait_for(|slots| slots[index].lets_others_start()).await;
        }
        pending::<()>().await;
    }

    /// A container's lives, one after another; an init container's last one is that which completes.
    async fn live(self: Arc<Self>, index: usize) {
        let (name, role) = {
            let slot = &self.slots.borrow()[index];
            (slot.name().to_owned(), slot.role)
        };
        let container = Container { world: Arc::clone(&self.world), pod: Arc::clone(&self.pod), name };
        let log = container.log();
        for restarts in 0_u32.. {
            sleep(START).await;
            log.send_modify(Log::begin);
            self.change(index, Slot::start);
            let code = container.work(|| self.change(index, |slot, _| slot.ready = true)).await;
            log.send_modify(|log| log.has_ended = true);
            self.change(index, |slot, now| slot.end(code, now));
            if role == Role::Init && code == 0 {
                return;
            }
            if let Some(doublings) = restarts.checked_sub(1) {
                sleep(SHOWN).await;
                self.change(index, |slot, _| slot.wait());
                self.warn(&container.name);
                let wait = Duration::from_secs(1 << doublings.min(6)).min(BACK_OFF);
                sleep(wait.saturating_sub(SHOWN)).await;
            }
        }
    }

    /// Changes what is known of a container, and says in the store how the pod is.
    fn change(&self, index: usize, change: impl FnOnce(&mut Slot, Timestamp)) {
        self.slots.send_modify(|slots| {
            change(&mut slots[index], self.world.node_now());
            let status = status::pod(slots, [&self.world.address.to_string(), &self.ip]);
            self.world.store.edit(Kind::Pod, name(&self.pod), |pod| {
                if uid(pod) == uid(&self.pod) {
                    pod["status"] = status;
                }
            });
        });
    }

    /// Warns of a container in an event; what was said before is counted.
    fn warn(&self, container: &str) {
        let (pod, world) = (name(&self.pod), &self.world);
        let event = format!("{pod}.{container}");
        let message = format!("Back-off restarting failed container {container} in pod {pod}");
        let before = world.store.get(Kind::Event, &event);
        let count = before.map_or(0, |event| event["count"].as_u64().unwrap_or_default());
        let object = json!({"kind": "Pod", "name": pod, "uid": uid(&self.pod)});
        let event = json!({"metadata": {"name": event}, "involvedObject": object, "type": "Warning", "reason": "BackOff",
            "message": message, "count": count + 1, "lastTimestamp": stamp(world.node_now())});
        world.put(Kind::Event, event);
    }

    /// Removes the pod, whose containers have ended.
    async fn remove(&self) {
        let (world, pod) = (&self.world, &self.pod);
        lock(&world.kubelet.ports).remove(name(pod));
        sleep(STOP).await;
        for slot in &*self.slots.borrow() {
            world.logs.of(name(pod), slot.name()).send_modify(|log| log.has_ended = true);
        }
        world.store.remove(Kind::Pod, name(pod));
        mounts::unmount(world, uid(pod));
    }
}
