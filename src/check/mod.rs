//! The kinds of checks: one file each. A check observes, then judges.
//!
//! `observe` is async and collects everything it needs into a plain, serializable value; `judge` is a pure function
//! of that value. May import `cluster`, `host`, `event`; never `run` or `report`.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::{Hop, Verdict};

pub mod cluster_ready;
pub mod file_sync;
pub mod host_mount;
mod ledger;
mod mount;
pub mod native_sidecar;
pub mod no_sidecar;
pub mod parameter;
pub mod pod_count;
pub mod pods;
mod site;

pub use ledger::{Place, Placed};
pub use site::{Shared, Site};

/// A kind of check with its parameters.
pub trait Kind: Sync {
    /// What it observes; can be stored and judged again elsewhere.
    type Observation: Serialize + DeserializeOwned + Send;

    /// The hops that a PASS proves.
    const HOPS: &'static [Hop];

    /// Collects what the judgement needs.
    ///
    /// # Errors
    /// A verdict, for what could not be observed.
    fn observe(&self, site: &Site) -> impl Future<Output = Result<Self::Observation, Verdict>> + Send;

    /// Judges what was observed.
    fn judge(&self, seen: &Self::Observation) -> Verdict;
}

/// Every kind of check; the key names it in a suite.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The API server's version and the nodes.
    Cluster(cluster_ready::Cluster),
    /// One pod for each server and no other.
    PodCount(pod_count::PodCount),
    /// A server's pod is Ready, of the newest ReplicaSet, and not restarting.
    Pods(pods::Pods),
    /// The tester's folder and the pod's hostPath are one folder.
    HostMount(host_mount::HostMount),
    /// A native sidecar is declared as one and runs.
    NativeSidecar(native_sidecar::NativeSidecar),
    /// No running container mounts the host folder.
    NoSidecar(no_sidecar::NoSidecar),
    /// A file written in a container appears in the tester's folder.
    FileSync(file_sync::FileSync),
}

/// Does `$body` with `$kind` bound to the parameters of whichever check it is.
macro_rules! for_kind {
    ($check:expr, $kind:ident => $body:expr) => {
        match $check {
            Check::Cluster($kind) => $body,
            Check::PodCount($kind) => $body,
            Check::Pods($kind) => $body,
            Check::HostMount($kind) => $body,
            Check::NativeSidecar($kind) => $body,
            Check::NoSidecar($kind) => $body,
            Check::FileSync($kind) => $body,
        }
    };
}

impl Check {
    /// The key that names it in a suite.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "cluster",
            Self::PodCount(_) => "pod-count",
            Self::Pods(_) => "pods",
            Self::HostMount(_) => "host-mount",
            Self::NativeSidecar(_) => "native-sidecar",
            Self::NoSidecar(_) => "no-sidecar",
            Self::FileSync(_) => "file-sync",
        }
    }

    /// Whether it judges one server, rather than the whole.
    pub fn is_per_server(&self) -> bool {
        !matches!(self, Self::Cluster(_) | Self::PodCount(_))
    }

    /// Whether it needs the tester's folder on this machine.
    pub fn needs_host(&self) -> bool {
        matches!(self, Self::HostMount(_) | Self::FileSync(_))
    }

    /// The hops that a PASS proves.
    pub fn hops(&self) -> &'static [Hop] {
        fn hops<K: Kind>(_: &K) -> &'static [Hop] {
            K::HOPS
        }
        for_kind!(self, kind => hops(kind))
    }

    /// Observes and judges.
    pub async fn run(&self, site: &Site) -> Verdict {
        for_kind!(self, kind => match kind.observe(site).await {
            Ok(seen) => kind.judge(&seen),
            Err(verdict) => verdict,
        })
    }
}

/// A measured time in whole milliseconds.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
