//! What a scenario does to a cluster. What has an `after` is done so long after the first request, everything else before.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::serde::unsigned_duration::friendly::compact as span;
use serde::Deserialize;
use serde_json::Value;

use super::super::store::Kind;

/// What is done to the cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Fault {
    /// A JSON patch of the namespace, or of a Deployment or Service; of the scenario's server, if no other one is named.
    Patch {
        kind: Kind,
        server: Option<String>,
        steps: json_patch::Patch,
        #[serde(default, with = "span::optional")]
        after: Option<Duration>,
    },
    /// An object that somebody adds; a pod of it is Ready and does nothing.
    Add { kind: Kind, object: Value },
    /// What is removed of the scenario's server: its Deployment before there are pods, or its pod later, of which the
    /// Deployment makes another.
    Remove {
        kind: Kind,
        #[serde(default, with = "span::optional")]
        after: Option<Duration>,
    },
    /// What a container of the scenario's server does instead of its work.
    Container { name: String, does: Behaviour },
    /// What the scenario's server has instead of its folder.
    Folder {
        is: Instead,
        #[serde(default, with = "span::optional")]
        after: Option<Duration>,
    },
    /// What requests get instead of an answer. Verbs and resources as in RBAC, such as `pods/exec`; none stands for all,
    /// and for `/version`, too.
    Api {
        #[serde(default)]
        verbs: Vec<String>,
        #[serde(default)]
        resources: Vec<String>,
        gets: Answer,
        #[serde(default, with = "span::optional")]
        after: Option<Duration>,
        /// For ever where not said.
        #[serde(default, with = "span::optional")]
        lasts: Option<Duration>,
    },
    /// A container's log is rotated: it begins anew, and whoever follows it is at its end.
    Rotate {
        name: String,
        #[serde(with = "span::required")]
        after: Duration,
    },
    /// A JSON patch of the values that the release is given; of what the chart makes of them, `exportOptions` follows.
    Values(json_patch::Patch),
    /// Helm's word for a revision of the release above those before it, of which the first is deployed.
    Release(String),
    /// What a revision has otherwise than the live objects are made: JSON patches of the values that it was given, and of the
    /// servers' Deployments in its manifest.
    Revision {
        number: u64,
        #[serde(default)]
        values: json_patch::Patch,
        servers: Vec<String>,
        steps: json_patch::Patch,
    },
}

/// How far clocks are off: the cluster's before this machine's, and the node's before the cluster's.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Clock {
    pub cluster: SignedDuration,
    pub node: SignedDuration,
}

/// Why no pod of the scenario's server comes any more.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoPod {
    /// Whether there are pods, and no node for them; else none is made.
    #[serde(default)]
    pub unschedulable: bool,
    /// What the API server or the scheduler says.
    pub says: String,
    /// The reason of an autoscaler's event about it.
    pub announced: Option<String>,
    /// How old the condition is when it is first seen.
    #[serde(default, with = "span::optional")]
    pub age: Option<Duration>,
    #[serde(default, with = "span::optional")]
    pub after: Option<Duration>,
    /// For ever where not said.
    #[serde(default, with = "span::optional")]
    pub lasts: Option<Duration>,
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
    /// The init container says that it is done, and copied nothing.
    CopiesNothing,
    /// The sidecar copies everything in every cycle.
    CopiesAgain,
    /// The sidecar changes a byte of what it copies, but neither size nor time.
    Corrupts,
}

/// What there may be instead of a tester's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instead {
    /// It is gone for the tester; pods that run still have it.
    Missing,
    /// A file is in its place; pods that run still have the folder.
    File,
    /// For all servers: the mount is dead, and pods see empty folders of the node's own.
    Unmounted,
    /// Pods cannot write to it.
    ReadOnly,
}

/// What a request may get instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing: the connection is closed, also one that is open already.
    Closed,
    /// Nothing: the connection stays open without a word, also one that is open already.
    Silence,
    /// A Status with this code.
    Status(u16),
    /// The beginning of a command's output; then the connection is closed.
    Half,
    /// The answer; but of a watch or of a log that is followed nothing more so long after its beginning, also no end.
    Mute(#[serde(with = "span::required")] Duration),
    /// In place of each so many-th request a 429 that asks to come again after so many seconds.
    Busy { each: usize, seconds: u32 },
    /// A page in HTML with this status, as something on the way may have it; a redirect leads to a place to log in.
    Page(u16),
}

impl NoPod {
    /// How long after the first request pods come again.
    pub fn end(&self) -> Option<Duration> {
        self.lasts.map(|lasts| self.after.unwrap_or_default() + lasts)
    }

    /// Whether it is so, so long after the first request.
    pub fn holds(&self, elapsed: Duration) -> bool {
        let has_begun = self.after.is_none_or(|after| after <= elapsed && !elapsed.is_zero());
        has_begun && self.end().is_none_or(|end| elapsed < end)
    }
}

impl Fault {
    /// How long after the first request it is done; `None` for what is done before.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Patch { after, .. } | Self::Remove { after, .. } | Self::Folder { after, .. } => *after,
            Self::Rotate { after, .. } => Some(*after),
            _ => None,
        }
    }
}
