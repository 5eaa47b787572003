//! A scenario's faults. Those with `after` occur during the run, all others before it.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use crate::sim::object::Kind;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Fault {
    /// A JSON patch of the namespace, or of the Deployment or Service of `server` (by default the scenario's).
    Patch { kind: Kind, server: Option<String>, steps: json_patch::Patch, after: Option<SignedDuration> },
    /// An unrelated object; a pod is Ready and does nothing.
    Add { kind: Kind, object: Value },
    /// Deletes an object of the scenario's server: its Deployment before any pod exists, or its pod during the run, which
    /// the Deployment then replaces.
    Remove { kind: Kind, after: Option<SignedDuration> },
    /// A container of the scenario's server misbehaves.
    Container { name: String, does: Behaviour },
    /// The host folder of the scenario's server is moved away; running pods keep it mounted.
    FolderVanishes { after: Option<SignedDuration> },
    /// A fault of the API server. Verbs and resources as in RBAC, such as `pods/exec`; without any, all requests, including
    /// those for `/version`.
    Api {
        #[serde(default)]
        verbs: Vec<String>,
        #[serde(default)]
        resources: Vec<String>,
        gets: ApiFault,
        after: Option<SignedDuration>,
        lasts: Option<SignedDuration>,
    },
    /// How a revision differs from the live objects: its status, and JSON patches of its values and of the Deployments of
    /// `servers` in its manifest. By default the first revision is `deployed` and later ones are `failed`.
    Revision {
        number: u64,
        status: Option<String>,
        #[serde(default)]
        values: json_patch::Patch,
        #[serde(default)]
        servers: Vec<String>,
        #[serde(default)]
        steps: json_patch::Patch,
    },
}

/// The moment from which faults count their `after`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    #[default]
    FirstRequest,
    /// The first command in a pod (of the scenario's server, if any), when tests are running.
    FirstCommand,
}

/// Clock skew: how far the cluster is ahead of this machine, and the node ahead of the cluster.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Clock {
    pub cluster: SignedDuration,
    pub node: SignedDuration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Runs, but does and logs nothing.
    Hangs,
    /// Exits at once, after each restart too.
    Exits,
    /// Exits at once, but only in pods created after the first request.
    ExitsInNewPods,
    DoesNotListen,
    /// The NFS server serves another folder under the export's name.
    ServesElsewhere,
}

/// What a request gets instead of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiFault {
    /// The connection is closed, and so are open ones.
    Closed,
    /// The connection stays open without a reply, and open ones fall silent.
    Silence,
    Status(u16),
    /// Part of a command's output; then the connection is closed.
    Half,
    /// The reply, but watches and followed logs fall silent after this time, without ending.
    Mute(SignedDuration),
    /// The reply of a node short of CPU: it starts one command at a time, and each start takes this long. The output of the
    /// first command of each kind in a pod is lost.
    Slow(SignedDuration),
    /// Every n-th request gets a 429 with `Retry-After`.
    Busy {
        every: usize,
        seconds: u32,
    },
    /// An HTML page with this status, as a proxy or gateway sends it; a redirect leads to a login page.
    Page(u16),
}

impl Fault {
    /// `None` if it is present from the start.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Patch { after, .. } | Self::Remove { after, .. } | Self::FolderVanishes { after } => {
                after.map(SignedDuration::unsigned_abs)
            }
            _ => None,
        }
    }
}
