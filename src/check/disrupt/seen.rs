//! What became of a server whose pod was deleted, as far as it was seen. Types only.

use serde::{Deserialize, Serialize};

use crate::cluster::Obstacle;
use crate::event::Reason;
use crate::host::Seen;

#[derive(Debug, Serialize, Deserialize)]
pub enum Observation {
    /// Nothing was deleted, because it is known what would have come of it.
    Spared(Reason),
    Restarted(Box<Restarted>),
}

/// What became of a server; times are milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Restarted {
    pub server: String,
    pub folder: String,
    pub deleted: String,
    /// The file that was put into the folder.
    pub put: String,
    /// The file that was written into the export.
    pub wrote: String,
    pub came: Came,
    /// When the first file was in the export again.
    pub arrival: Sighting,
    /// The other one, when the replacement was Ready.
    pub written: Option<Seen>,
    /// The first file in the folder, at the end.
    pub kept: Seen,
    /// How many other files have gone from the folder, and some of their names; `None` if there were too many to compare.
    pub vanished: Option<(usize, Vec<String>)>,
    /// Lines of the new pod's logs that say that it removed such files.
    #[serde(default)]
    pub removed: Vec<String>,
    /// What the old pod still was when waiting for its end was over.
    pub old: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Came {
    /// Another, which is Ready.
    Ready {
        pod: String,
        /// How long after the deletion this was seen.
        after: u64,
    },
    /// Another, which does not become Ready.
    Stuck {
        pod: String,
        /// The container that it hangs on, if that is known.
        container: Option<String>,
        /// What the API says of it.
        state: String,
        /// How long after the deletion this was seen.
        after: u64,
    },
    Nothing {
        /// Within so much time.
        after: u64,
        /// What keeps it from coming, if that is known.
        #[serde(default)]
        obstacle: Option<Obstacle>,
    },
}

/// When a file was seen in the replacement's export, counted from its creation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sighting {
    /// When it was there.
    pub there: Option<u64>,
    /// When it was last seen not to be there.
    pub absent: Option<u64>,
    /// What was seen last in its place.
    pub last: String,
}
