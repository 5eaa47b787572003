//! What a scenario does to a cluster. What has an `after` is done so long after the first request, everything else before.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use crate::sim::object::Kind;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Fault {
    /// A JSON patch of the namespace, or of a Deployment or Service; of the scenario's server, if no other one is named.
    Patch { kind: Kind, server: Option<String>, steps: json_patch::Patch, after: Option<SignedDuration> },
    /// An object that somebody adds; a pod of it is Ready and does nothing.
    Add { kind: Kind, object: Value },
    /// What is removed of the scenario's server: its Deployment before there are pods, or its pod later, of which the
    /// Deployment makes another.
    Remove { kind: Kind, after: Option<SignedDuration> },
    /// What a container of the scenario's server does instead of its work.
    Container { name: String, does: Behaviour },
    /// The folder of the scenario's server is gone for the tester; pods that run still have it.
    FolderVanishes { after: Option<SignedDuration> },
    /// What requests get instead of an answer. Verbs and resources as in RBAC, such as `pods/exec`; none stands for all,
    /// and for `/version`, too.
    Api {
        #[serde(default)]
        verbs: Vec<String>,
        #[serde(default)]
        resources: Vec<String>,
        gets: Answer,
        after: Option<SignedDuration>,
        lasts: Option<SignedDuration>,
    },
    /// What a revision of the release has otherwise than the live objects are made: Helm's word for it, and JSON patches of the
    /// values that it was given and of the servers' Deployments in its manifest. The first is `deployed`, others `failed` where
    /// nothing is said.
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

/// How far clocks are off: the cluster's before this machine's, and the node's before the cluster's.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Clock {
    pub cluster: SignedDuration,
    pub node: SignedDuration,
}

/// What a container may do instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Says nothing and does nothing.
    Hangs,
    /// Ends at once, again and again.
    Exits,
    /// It ends at once in pods that are made later, again and again.
    ExitsAnew,
    /// The NFS server runs and does not listen.
    DoesNotListen,
    /// The NFS server serves a folder of its own under the export's name.
    ServesElsewhere,
}

/// What a request may get instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing: the connection is closed, also one that is open already.
    Closed,
    /// Nothing: the connection stays open without a word, also one that is open already.
    Silence,
    Status(u16),
    /// The beginning of a command's output; then the connection is closed.
    Half,
    /// The answer; but of a watch or of a log that is followed nothing more so long after its beginning, also no end.
    Mute(SignedDuration),
    /// The answer, as late as from a node that is short of CPU: it begins one command at a time and takes so long for that. What the
    /// first ones of each kind say in a pod is lost.
    Slow(SignedDuration),
    /// In place of each so many-th request a 429 that asks to come again after so many seconds.
    Busy {
        each: usize,
        seconds: u32,
    },
    /// A page in HTML with this status, as something on the way may have it; a redirect leads to a place to log in.
    Page(u16),
}

impl Fault {
    /// How long after the first request it is done; `None` for what is done before.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Patch { after, .. } | Self::Remove { after, .. } | Self::FolderVanishes { after } => {
                after.map(SignedDuration::unsigned_abs)
            }
            _ => None,
        }
    }
}
