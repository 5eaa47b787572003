//! The kubelet's work for one pod: starts its containers in their order, starts them again, says how they are, and
//! removes it when it is deleted.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::container::Container;
use super::status::{self, Conditions, Role, Slot};
use super::{array, mounts, text, uid};
use crate::sim::World;
use crate::sim::store::Kind;

/// What the runtime needs to start a container.
const START: Duration = Duration::from_millis(30);
/// What containers need to end.
const STOP: Duration = Duration::from_millis(50);
/// How long a container that ended shows that before it waits for its next start.
const SHOWN: Duration = Duration::from_millis(200);
/// The longest wait for the next start.
const BACK_OFF: Duration = Duration::from_secs(10);
/// The pause before volumes that could not be mounted are tried again.
const RETRY: Duration = Duration::from_secs(1);
/// What a container that runs when the pod is deleted ends with.
const TERMINATED: i32 = 143;

/// What happened to a container.
enum Event {
    Waits,
    Started,
    Listens(SocketAddr),
    Ended(i32),
}

/// A pod that runs on this node.
struct Worker {
    world: Arc<World>,
    pod: Arc<Value>,
    /// The time, as long as the pod is brought to where it has been for long.
    past: Option<Timestamp>,
    ip: String,
    slots: Vec<Slot>,
    conditions: Conditions,
    lives: JoinSet<()>,
    events: mpsc::UnboundedSender<(usize, Event)>,
}

/// Runs a pod to its end; one of the `past` has been running since it was created.
pub async fn run(world: Arc<World>, pod: Arc<Value>, past: Option<Timestamp>) {
    let mut changes = world.store.changes();
    // One that has ended, such as an evicted one, is only there to be looked at.
    let is_over = matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded");
    let (events, mut happened) = mpsc::unbounded_channel();
    let init = array(&pod["spec"]["initContainers"]).map(|spec| Slot::new(spec, true));
    let slots = init.chain(array(&pod["spec"]["containers"]).map(|spec| Slot::new(spec, false))).collect();
    let ip = format!("10.244.0.{}", world.kubelet.addresses.fetch_add(1, Ordering::Relaxed) + 2);
    let (conditions, lives) = (Conditions::new(), JoinSet::new());
    let mut worker = Worker { world, pod, past, ip, slots, conditions, lives, events };
    while !is_over && !worker.is_deleted() {
        let is_mounted = mounts::mount(&worker.world, &worker.pod).is_ok();
        if is_mounted {
            worker.advance();
        }
        worker.publish("");
        tokio::select! {
            Some((index, event)) = happened.recv() => worker.take(index, &event),
            () = deleted(&worker.world, &worker.pod, &mut changes) => {}
            () = tokio::time::sleep(RETRY), if !is_mounted => {}
        }
    }
    deleted(&worker.world, &worker.pod, &mut changes).await;
    worker.stop(is_over).await;
    // Whoever put a finalizer there wants to see the pod.
    while live(&worker.world, &worker.pod).is_some_and(|pod| array(&pod["metadata"]["finalizers"]).next().is_some()) {
        if changes.changed().await.is_err() {
            return;
        }
    }
    if live(&worker.world, &worker.pod).is_some() {
        worker.world.store.remove(Kind::Pod, worker.name());
    }
    mounts::unmount(&worker.world, uid(&worker.pod));
}

/// The pod as it is in the store, if it is not another one of that name.
fn live(world: &World, pod: &Value) -> Option<Arc<Value>> {
    let live = world.store.get(Kind::Pod, text(&pod["metadata"]["name"]))?;
    (uid(&live) == uid(pod)).then_some(live)
}

async fn deleted(world: &World, pod: &Value, changes: &mut watch::Receiver<u64>) {
    while live(world, pod).is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

impl Worker {
    fn name(&self) -> &str {
        text(&self.pod["metadata"]["name"])
    }

    fn now(&self) -> Timestamp {
        let now = self.world.node_now();
        self.past.map_or(now, |past| past.min(now))
    }

    fn is_deleted(&self) -> bool {
        live(&self.world, &self.pod).is_none_or(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
    }

    /// Starts every container whose turn it is.
    fn advance(&mut self) {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if !slot.begun {
                slot.begun = true;
                self.live(index, None);
            }
            let slot = &self.slots[index];
            match slot.role {
                Role::Init if !slot.is_done() => return,
                // Started once is enough: others do not end with it.
                Role::Sidecar if !slot.runs() && !self.is_initialized() => return,
                _ => {}
            }
        }
    }

    /// Whether the ordinary containers could start; that stays so.
    fn is_initialized(&self) -> bool {
        self.conditions.get("Initialized").is_some_and(|(is_true, _)| *is_true)
    }

    /// Begins a life of a container, after a wait if it is not the first.
    fn live(&mut self, index: usize, wait: Option<Duration>) {
        if let Some(past) = &mut self.past {
            *past += Duration::from_secs(1);
        }
        let past = self.past.map(|_| self.now());
        let (world, pod) = (Arc::clone(&self.world), Arc::clone(&self.pod));
        let container = Container { world, pod, name: self.slots[index].name().to_owned(), past };
        let events = self.events.clone();
        // Nobody listens any more once the pod is gone.
        let tell = move |event| drop(events.send((index, event)));
        self.lives.spawn(async move {
            if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
                tokio::time::sleep(SHOWN).await;
                tell(Event::Waits);
                tokio::time::sleep(wait.saturating_sub(SHOWN)).await;
            }
            container.pause(START).await;
            let (world, pod, name) = (Arc::clone(&container.world), Arc::clone(&container.pod), container.name.clone());
            let pod = text(&pod["metadata"]["name"]);
            world.logs.begin(pod, &name);
            tell(Event::Started);
            let code = container.work(|address| tell(Event::Listens(address))).await;
            world.logs.end(pod, &name);
            tell(Event::Ended(code));
        });
    }

    fn take(&mut self, index: usize, event: &Event) {
        let now = self.now();
        let slot = &mut self.slots[index];
        match *event {
            Event::Waits => slot.wait("CrashLoopBackOff"),
            Event::Started => {
                slot.start(now);
                let is_server = slot.role == Role::Main && !slot.spec["readinessProbe"].is_null();
                slot.ready = slot.role != Role::Init && !is_server;
            }
            Event::Listens(address) => {
                slot.ready = true;
                let mut listeners = self.world.kubelet.listeners.lock().unwrap_or_else(PoisonError::into_inner);
                listeners.insert(text(&self.pod["metadata"]["name"]).to_owned(), address);
            }
            Event::Ended(code) => {
                let restarts = slot.end(code, now);
                if slot.role != Role::Init || code != 0 {
                    self.past = None;
                    let wait = if restarts == 0 { 0 } else { 1 << (restarts - 1).min(6) };
                    self.live(index, Some(Duration::from_secs(wait).min(BACK_OFF)));
                }
            }
        }
    }

    /// Says in the store how the pod is; in a phase, or in that of its containers.
    fn publish(&mut self, phase: &str) {
        let now = self.now();
        let is_done = |slot: &Slot| match slot.role {
            Role::Init => slot.is_done(),
            Role::Sidecar => slot.runs(),
            Role::Main => true,
        };
        let initialized = self.is_initialized() || self.slots.iter().all(is_done);
        let ready = initialized && self.slots.iter().all(|slot| slot.ready);
        let all = [
            ("PodScheduled", true),
            ("PodReadyToStartContainers", true),
            ("Initialized", initialized),
            ("ContainersReady", ready),
            ("Ready", ready),
        ];
        for (kind, is_true) in all {
            let condition = self.conditions.entry(kind).or_insert((is_true, now));
            if condition.0 != is_true {
                *condition = (is_true, now);
            }
        }
        let has_started = self.slots.iter().all(|slot| slot.role != Role::Main || slot.runs());
        let running = initialized && (has_started || self.is_running());
        let phase = match phase {
            "" if running => "Running",
            "" => "Pending",
            phase => phase,
        };
        let host = self.world.address.to_string();
        let status = status::pod(&self.pod, &self.slots, [&host, &self.ip], &self.conditions, phase);
        let own = uid(&self.pod);
        self.world.store.edit(Kind::Pod, self.name(), |pod| {
            if uid(pod) == own {
                pod["status"] = status;
            }
        });
        if ready {
            self.past = None;
        }
    }

    fn is_running(&self) -> bool {
        live(&self.world, &self.pod).is_some_and(|pod| pod["status"]["phase"] == "Running")
    }

    /// Ends the containers.
    async fn stop(&mut self, is_over: bool) {
        self.past = None;
        self.lives.shutdown().await;
        self.world.kubelet.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name());
        if is_over {
            return;
        }
        tokio::time::sleep(STOP).await;
        let (now, name) = (self.now(), self.name().to_owned());
        for slot in self.slots.iter_mut().filter(|slot| slot.runs()) {
            // The chart's scripts end well, but for the init container's.
            slot.end(if slot.role == Role::Init { TERMINATED } else { 0 }, now);
            self.world.logs.end(&name, slot.name());
        }
        self.publish("Succeeded");
    }
}
