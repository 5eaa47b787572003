//! What was seen of a server whose pod was deleted. Types only.

use serde::{Deserialize, Serialize};

use crate::cluster::Obstacle;
use crate::event::Reason;
use crate::host::Seen;

#[derive(Debug, Serialize, Deserialize)]
pub enum Observation {
    /// No pod was deleted, because the replacement would destroy files.
    #[serde(rename = "Spared")]
    NotDeleted(Reason),
    Restarted(Box<Restarted>),
}

/// Times are milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Restarted {
    pub server: String,
    pub folder: String,
    pub deleted: String,
    /// The file that was created in the host folder.
    #[serde(rename = "put")]
    pub host_file: String,
    /// The file that was written to the export.
    #[serde(rename = "wrote")]
    pub export_file: String,
    #[serde(rename = "came")]
    pub replacement: Replacement,
    /// The host file in the replacement's export.
    pub arrival: Sighting,
    /// The export file in the replacement's export, once that was Ready.
    #[serde(rename = "written")]
    pub export_file_seen: Option<Seen>,
    /// The host file in the host folder, at the end.
    #[serde(rename = "kept")]
    pub host_file_seen: Seen,
    /// How many other files vanished from the host folder, and some of their names; `None` if there were too many to compare.
    pub vanished: Option<(usize, Vec<String>)>,
    /// Lines of the replacement's logs that report their removal.
    #[serde(default)]
    pub removed: Vec<String>,
    /// What was left of the old pod at the end of the wait for it.
    #[serde(rename = "old")]
    pub old_pod: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Replacement {
    Ready {
        pod: String,
        /// The time since the deletion.
        after: u64,
    },
    /// It exists, but does not become Ready.
    Stuck {
        pod: String,
        /// The container that keeps it from that, if known.
        container: Option<String>,
        state: String,
        /// The time since the deletion.
        after: u64,
    },
    #[serde(rename = "Nothing")]
    Missing {
        /// The time since the deletion.
        after: u64,
        /// What prevents it, if known.
        #[serde(default)]
        obstacle: Option<Obstacle>,
    },
}

/// When a file was seen in the replacement's export, in milliseconds since the replacement's creation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sighting {
    #[serde(rename = "there")]
    pub present: Option<u64>,
    /// The last time that it was absent.
    pub absent: Option<u64>,
    /// What was seen last in its place.
    pub last: String,
}
