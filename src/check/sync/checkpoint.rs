//! One place on a file's route, and what was found there. Types only, and their words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::host::Seen;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The folder, and the container if it is in one; empty if there is no such place.
    #[serde(rename = "place")]
    pub label: String,
    pub seen: Seen,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.seen {
            Seen::NoMount(why) => f.write_str(why),
            seen => write!(f, "{}: {seen}", self.label),
        }
    }
}

impl Checkpoint {
    /// Whether the file is known not to be here as it was written.
    pub fn lacks_file(&self) -> bool {
        !matches!(self.seen, Seen::Complete | Seen::Unknown(_))
    }
}
