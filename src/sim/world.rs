//! The cluster's shared state: objects, logs, folders, clocks, and the scenario.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::logs::Logs;
use super::object::{Kind, stamp};
use super::scenario::Scenario;
use super::store::Store;

pub const CONTEXT: &str = "simulated";
pub const NAMESPACE: &str = "file-simulator";
pub const RELEASE: &str = "file-sim";
/// Precedes the server's name in the names of the chart's objects.
pub const PREFIX: &str = "file-sim-file-simulator-";
pub const NODE: &str = "file-simulator";

/// The sync interval of the simulated sidecars, in seconds; the chart's default is 30.
pub const INTERVAL: u64 = 2;

/// The age of the release at the first request.
const AGE: Duration = Duration::from_secs(600);

pub struct World {
    pub store: Store,
    pub logs: Logs,
    pub scenario: Scenario,
    /// The host folders.
    pub data: PathBuf,
    /// The node's volumes and the containers' root filesystems.
    pub node: PathBuf,
    pub kubelet: Kubelet,
    /// The node's loopback address, random so that NodePorts of parallel simulations do not collide.
    pub address: Ipv4Addr,
    started: Instant,
    requests: AtomicUsize,
    /// When faults started to count their `after`.
    clock: watch::Sender<Option<Instant>>,
}

#[derive(Default)]
pub struct Kubelet {
    /// The mounted folders, by the pod's uid and the volume. As on Linux, a mount survives renaming its folder.
    pub mounts: Mutex<HashMap<String, HashMap<String, PathBuf>>>,
    /// The local ports of the NFS servers, by the pods' names.
    pub ports: Mutex<HashMap<String, u16>>,
    pub addresses: AtomicU32,
    /// Held while a file is written or read, so that no reader sees half of it.
    pub files: Mutex<()>,
    /// Held for reading during a copy, which resolves its folders once, so that no folder moves until it ends.
    pub copies: RwLock<()>,
    /// Held while a node short of CPU starts a command; the pods and kinds of commands whose output was lost once.
    pub busy: tokio::sync::Mutex<HashSet<(String, bool)>>,
}

impl World {
    pub fn new(scenario: Scenario, folder: &Path) -> Self {
        Self {
            store: Store::default(),
            logs: Logs::default(),
            scenario,
            data: folder.join("data"),
            node: folder.join("node"),
            kubelet: Kubelet::default(),
            address: unused_loopback_address(),
            started: Instant::now(),
            requests: AtomicUsize::new(0),
            clock: watch::Sender::new(None),
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::now() + self.scenario.clock.cluster
    }

    /// The node's clock, which stamps logs and container statuses.
    pub fn node_now(&self) -> Timestamp {
        self.now() + self.scenario.clock.node
    }

    /// The `creationTimestamp` of a new object; objects created before the first request are backdated.
    pub fn created(&self) -> Timestamp {
        self.now() - if self.has_requests() { Duration::ZERO } else { AGE }
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn has_requests(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// Returns the request's number, from 1.
    pub fn count_request(&self, starts_clock: bool) -> usize {
        self.clock.send_if_modified(|start| starts_clock && start.is_none() && start.replace(Instant::now()).is_none());
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Zero before the clock starts.
    pub fn elapsed(&self) -> Duration {
        self.clock.borrow().map_or(Duration::ZERO, |start| start.elapsed())
    }

    pub async fn sleep_until(&self, after: Duration) {
        let mut clock = self.clock.subscribe();
        let Ok(Some(start)) = clock.wait_for(Option::is_some).await.map(|start| *start) else { return };
        tokio::time::sleep_until(start + after).await;
    }

    /// Adds the fields that the API server sets.
    pub fn put(&self, kind: Kind, mut object: Value) {
        if !matches!(kind, Kind::Node | Kind::Namespace) {
            object["metadata"]["namespace"] = json!(NAMESPACE);
        }
        match kind {
            Kind::Pod => {
                // Instead of a scheduler.
                object["spec"]["nodeName"] = json!(NODE);
                object["status"]["phase"] = json!("Pending");
            }
            Kind::Deployment => object["metadata"]["generation"] = json!(1),
            Kind::Service => {
                let number = 10 + self.store.list(kind).len();
                let ip = format!("10.96.{}.{}", number / 256, number % 256);
                object["spec"]["clusterIPs"] = json!([ip]);
                object["spec"]["clusterIP"] = json!(ip);
            }
            _ => {}
        }
        self.store.put(kind, object, self.created());
    }

    /// Marks a pod as terminating: its controller ignores it, and the node stops and removes it.
    pub fn terminate(&self, pod: &str) {
        let now = self.now();
        self.store.edit(Kind::Pod, pod, |pod| {
            let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
            let metadata = &mut pod["metadata"];
            if metadata["deletionTimestamp"].is_null() {
                metadata["deletionTimestamp"] = json!(stamp(now + Duration::from_secs(grace)));
                metadata["deletionGracePeriodSeconds"] = json!(grace);
            }
        });
    }
}

/// A random loopback address, where the system has more than one.
fn unused_loopback_address() -> Ipv4Addr {
    let [_, second, third, fourth] = rand::random::<[u8; 4]>();
    let address = Ipv4Addr::new(127, second.max(1), third, fourth.clamp(1, 254));
    if std::net::TcpListener::bind((address, 0)).is_ok() { address } else { Ipv4Addr::LOCALHOST }
}
