//! The cluster as all its parts know it: its objects, logs, folders and clocks, and the scenario.

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
/// What the names of the chart's objects have before the server's.
pub const PREFIX: &str = "file-sim-file-simulator-";
pub const NODE: &str = "file-simulator";

/// What its sidecars sleep between two cycles, in seconds; the chart has 30.
pub const INTERVAL: u64 = 2;

/// How long ago the release was installed.
const AGE: Duration = Duration::from_secs(600);

pub struct World {
    pub store: Store,
    pub logs: Logs,
    pub scenario: Scenario,
    /// The host folder.
    pub data: PathBuf,
    /// Where the node keeps volumes and containers' own files.
    pub node: PathBuf,
    pub kubelet: Kubelet,
    /// The node's address: its own among the loopback ones, so that simulations side by side never share a port.
    pub address: Ipv4Addr,
    requests: AtomicUsize,
    /// When the first request came: what happens later is counted from then.
    begun: watch::Sender<Option<Instant>>,
}

/// What the node knows of the pods that it runs.
#[derive(Default)]
pub struct Kubelet {
    /// The folders that are mounted, by pod and volume; as on Linux a mount stays what it was when its folder is renamed.
    pub mounts: Mutex<HashMap<String, HashMap<String, PathBuf>>>,
    /// Where the pods' servers listen on this machine, by the pods' names.
    pub ports: Mutex<HashMap<String, u16>>,
    pub addresses: AtomicU32,
    /// Held while a file is written or read, so that it is seen whole.
    pub files: Mutex<()>,
    /// Held while something is copied, which finds its folders once: so long none of them goes away.
    pub copies: RwLock<()>,
    /// Held while a command is begun on a node that is short of CPU; what commands it has lost an output of.
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
            address: address(),
            requests: AtomicUsize::new(0),
            begun: watch::Sender::new(None),
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::now() + self.scenario.clock.cluster
    }

    /// The node's time: of logs, and of what the kubelet says of containers.
    pub fn node_now(&self) -> Timestamp {
        self.now() + self.scenario.clock.node
    }

    /// When what is made now was made: before the first request, some time ago.
    pub fn created(&self) -> Timestamp {
        self.now() - if self.elapsed().is_zero() { AGE } else { Duration::ZERO }
    }

    /// A request came, and which one it is.
    pub fn asked(&self) -> usize {
        self.begun.send_if_modified(|begun| begun.is_none() && begun.replace(Instant::now()).is_none());
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How long ago the first request came; zero before it.
    pub fn elapsed(&self) -> Duration {
        self.begun.borrow().map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    pub async fn at(&self, after: Duration) {
        let mut begun = self.begun.subscribe();
        // The sender is in here.
        let Ok(Some(begun)) = begun.wait_for(Option::is_some).await.map(|begun| *begun) else { return };
        tokio::time::sleep_until(begun + after).await;
    }

    /// Puts an object into the store, with what the API server adds to what it is given.
    pub fn put(&self, kind: Kind, mut object: Value) {
        if !matches!(kind, Kind::Node | Kind::Namespace) {
            object["metadata"]["namespace"] = json!(NAMESPACE);
        }
        match kind {
            Kind::Pod => {
                // There is no scheduler.
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

    /// Marks a pod as deleted: from then on its controller does not count it, and the node ends and removes it.
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

/// A loopback address that nobody else uses, where the system has more than one.
fn address() -> Ipv4Addr {
    let [_, second, third, fourth] = rand::random::<[u8; 4]>();
    let own = Ipv4Addr::new(127, second.max(1), third, fourth.clamp(1, 254));
    if std::net::TcpListener::bind((own, 0)).is_ok() { own } else { Ipv4Addr::LOCALHOST }
}
