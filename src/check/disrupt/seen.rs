//! What became of a server whose pod was deleted, as far as it was seen. Types only, and their words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cluster::Obstacle;
use crate::event::Reason;

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub enum Observation {
    /// Nothing was deleted, because it is known what would have come of it.
    Spared(Reason),
    /// What became of the server.
    Restarted(Box<Restarted>),
}

/// What became of a server; times are milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Restarted {
    /// The server.
    pub server: String,
    /// The tester's folder of it.
    pub folder: String,
    /// The pod that was deleted.
    pub deleted: String,
    /// The file that no sync cycle had copied then, where one copies at all.
    pub unsynced: Option<Unsynced>,
    /// The file that was put into the folder.
    pub put: String,
    /// The file that was written into the export.
    pub wrote: String,
    /// What came in the pod's place.
    pub came: Came,
    /// When the first file was in the export again.
    pub arrival: Arrival,
    /// The other one, when the replacement was Ready.
    pub written: Option<Content>,
    /// The first file in the folder, at the end.
    pub kept: Content,
    /// How many other files have gone from the folder, and some of their names; `None` if there were too many to compare.
    pub vanished: Option<(usize, Vec<String>)>,
    /// Lines of the new pod's logs that say that it removed such files.
    #[serde(default)]
    pub removed: Vec<String>,
    /// What the old pod still was when waiting for its end was over.
    pub old: Option<String>,
}

/// A file that was written into the export just before its pod was deleted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unsynced {
    /// How long before.
    pub age: u64,
    /// How long the last sync cycle was over then.
    pub rested: u64,
    /// What there was of it in the replacement's export; not looked at where none became Ready.
    pub found: Content,
    /// What there was of it in the tester's folder, at the end.
    pub host: Content,
}

/// What came in a pod's place.
#[derive(Debug, Serialize, Deserialize)]
pub enum Came {
    /// Another, which is Ready.
    Ready {
        /// Its name.
        pod: String,
        /// How long after the deletion this was seen.
        after: u64,
        /// What the API's timestamps say.
        phases: Phases,
    },
    /// Another, which does not become Ready.
    Stuck(Trouble),
    /// None.
    Nothing {
        /// Within so much time.
        after: u64,
        /// What keeps it from coming, if that is known.
        #[serde(default)]
        obstacle: Option<Obstacle>,
        /// What Kubernetes warns of at the ReplicaSet that should make one.
        warnings: Warnings,
    },
}

/// Seconds from a pod's creation, by the API's own timestamps, which have no fractions.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Phases {
    pub scheduled: Option<i64>,
    pub init: Option<i64>,
    pub ready: Option<i64>,
}

/// Why a pod does not become Ready.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trouble {
    /// The pod.
    pub pod: String,
    /// The container that it hangs on, if that is known.
    pub container: Option<String>,
    /// What the API says of it.
    pub state: String,
    /// The last that the container said.
    pub said: Vec<String>,
    /// What Kubernetes warns of.
    pub warnings: Warnings,
    /// How long after the deletion this was seen.
    pub after: u64,
}

/// What Kubernetes warns of at an object, in words; or why that is not known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Warnings(pub Result<Vec<String>, String>);

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(warnings) if warnings.is_empty() => f.write_str("no event warns of anything"),
            Ok(warnings) => write!(f, "its events:\n  {}", warnings.join("\n  ")),
            Err(why) => write!(f, "its events are not known: {why}"),
        }
    }
}

/// When a file was seen in the replacement's export, counted from its creation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Arrival {
    /// When it was there.
    pub there: Option<u64>,
    /// When it was last seen not to be there.
    pub absent: Option<u64>,
    /// What was seen last in its place.
    pub last: String,
}

/// What was found where a file was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// The file, whole.
    Whole,
    /// Nothing.
    Absent,
    /// Something else.
    Other(String),
    /// It is not known.
    Unknown(String),
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the file, whole"),
            Self::Absent => f.write_str("no file of that name"),
            Self::Other(what) => f.write_str(what),
            Self::Unknown(why) => write!(f, "it is not known: {why}"),
        }
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [("scheduled", self.scheduled), ("init done", self.init), ("Ready", self.ready)];
        let known: Vec<_> = all.iter().filter_map(|(name, at)| Some(format!("{name} {}", (*at)?))).collect();
        f.write_str(&known.join(", "))
    }
}

impl Phases {
    /// Whether the clocks that they are by are the same: nothing happens to a pod before it is created.
    pub fn are_sound(&self) -> bool {
        [self.scheduled, self.init, self.ready].iter().flatten().all(|at| *at >= 0)
    }
}

impl Trouble {
    /// What the API and the container say.
    pub fn describe(&self) -> String {
        let state = format!("{}, {} after the deletion; {}", self.state, seconds(self.after), self.warnings);
        if self.said.is_empty() {
            state
        } else {
            format!("{state}\nthe last that it said:\n  {}", self.said.join("\n  "))
        }
    }
}

/// Milliseconds in words.
pub fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}
