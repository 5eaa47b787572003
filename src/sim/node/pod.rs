//! The kubelet's work for one pod: starts its containers in their order, starts them again, says how they are, and
//! removes it when it is deleted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::container::Container;
use super::status::{self, Role, Slot};
use super::{lock, mounts};
use crate::sim::logs::Log;
use crate::sim::object::{is_deleted, items, name, stamp, uid};
use crate::sim::store::{Kind, State};
use crate::sim::{NAMESPACE, World};

/// What containers need to start and to end.
const START: Duration = Duration::from_millis(30);
const STOP: Duration = Duration::from_millis(50);
/// How long a container that ended shows that before it waits for its next start.
const SHOWN: Duration = Duration::from_millis(200);
const BACK_OFF: Duration = Duration::from_secs(10);

pub(super) enum Event {
    Waits,
    Started,
    /// A server listens.
    Ready,
    Ended(i32),
}

struct Worker {
    world: Arc<World>,
    pod: Arc<Value>,
    ip: String,
    slots: Vec<Slot>,
    /// Whether the ordinary containers could start; that stays so.
    is_initialized: bool,
    lives: JoinSet<()>,
    events: mpsc::UnboundedSender<(usize, Event)>,
}

pub(super) async fn run(world: Arc<World>, pod: Arc<Value>) {
    let mut state = world.store.state();
    mounts::mount(&world, &pod);
    let (events, mut happened) = mpsc::unbounded_channel();
    let init = items(&pod["spec"]["initContainers"]).map(|spec| Slot::new(spec, true));
    let slots = init.chain(items(&pod["spec"]["containers"]).map(|spec| Slot::new(spec, false))).collect();
    let ip = format!("10.244.0.{}", world.kubelet.addresses.fetch_add(1, Ordering::Relaxed) + 2);
    let mut worker = Worker { world, pod, ip, slots, is_initialized: false, lives: JoinSet::new(), events };
    loop {
        worker.advance();
        worker.publish();
        let pod = Arc::clone(&worker.pod);
        tokio::select! {
            _ = state.wait_for(|now| is_gone(now, &pod)) => break,
            Some((index, event)) = happened.recv() => worker.take(index, &event),
        }
    }
    worker.stop().await;
}

fn is_gone(state: &State, pod: &Value) -> bool {
    let live = state.get(Kind::Pod, name(pod));
    live.is_none_or(|live| uid(live) != uid(pod) || is_deleted(live))
}

impl Worker {
    /// Starts every container whose turn it is.
    fn advance(&mut self) {
        for index in 0..self.slots.len() {
            if !self.slots[index].begun {
                self.slots[index].begun = true;
                self.live(index, Duration::ZERO);
            }
            // A sidecar that started once is enough: others do not end with it.
            if !self.is_initialized && !self.slots[index].lets_others_start() {
                return;
            }
        }
        self.is_initialized = true;
    }

    /// Begins a life of a container after a wait.
    fn live(&mut self, index: usize, wait: Duration) {
        let name = self.slots[index].name().to_owned();
        let log = self.world.logs.of(self::name(&self.pod), &name);
        let (world, pod) = (Arc::clone(&self.world), Arc::clone(&self.pod));
        let container = Container { world, pod, name, log: log.clone() };
        let events = self.events.clone();
        // Nobody listens any more once the pod is gone.
        let tell = move |event| drop(events.send((index, event)));
        let live = async move {
            if !wait.is_zero() {
                tokio::time::sleep(SHOWN).await;
                tell(Event::Waits);
                tokio::time::sleep(wait.saturating_sub(SHOWN)).await;
            }
            tokio::time::sleep(START).await;
            log.send_modify(Log::begin);
            tell(Event::Started);
            let code = container.work(|| tell(Event::Ready)).await;
            log.send_modify(|log| log.has_ended = true);
            tell(Event::Ended(code));
        };
        self.lives.spawn(live.boxed());
    }

    fn take(&mut self, index: usize, event: &Event) {
        let now = self.world.node_now();
        let slot = &mut self.slots[index];
        match *event {
            Event::Waits => {
                slot.wait();
                let container = slot.name().to_owned();
                self.warn(&container, now);
            }
            Event::Started => slot.start(now),
            Event::Ready => slot.ready = true,
            Event::Ended(code) => {
                let restarts = slot.end(code, now);
                if slot.role != Role::Init || code != 0 {
                    let wait = if restarts == 0 { 0 } else { 1 << (restarts - 1).min(6) };
                    self.live(index, Duration::from_secs(wait).min(BACK_OFF));
                }
            }
        }
    }

    /// Warns of a container in an event; what was said before is counted.
    fn warn(&self, container: &str, now: Timestamp) {
        let (pod, store) = (name(&self.pod), &self.world.store);
        let event = format!("{pod}.{container}");
        let message = format!("Back-off restarting failed container {container} in pod {pod}");
        let count = store.get(Kind::Event, &event).map_or(0, |event| event["count"].as_u64().unwrap_or_default());
        let object = json!({"kind": "Pod", "name": pod, "uid": uid(&self.pod)});
        let metadata = json!({"name": event, "namespace": NAMESPACE});
        let event = json!({"metadata": metadata, "involvedObject": object, "type": "Warning", "reason": "BackOff",
            "message": message, "count": count + 1, "lastTimestamp": stamp(now)});
        store.put(Kind::Event, event, now);
    }

    /// Says in the store how the pod is.
    fn publish(&self) {
        let status = status::pod(&self.slots, [&self.world.address.to_string(), &self.ip], self.is_initialized);
        self.world.store.edit(Kind::Pod, name(&self.pod), |pod| {
            if uid(pod) == uid(&self.pod) {
                pod["status"] = status;
            }
        });
    }

    async fn stop(&mut self) {
        self.lives.shutdown().await;
        let (world, pod) = (&self.world, &self.pod);
        lock(&world.kubelet.listeners).remove(name(pod));
        tokio::time::sleep(STOP).await;
        for slot in &self.slots {
            world.logs.of(name(pod), slot.name()).send_modify(|log| log.has_ended = true);
        }
        world.store.remove(Kind::Pod, name(pod));
        mounts::unmount(world, uid(pod));
    }
}
