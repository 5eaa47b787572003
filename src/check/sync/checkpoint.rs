//! One place on a file's route, and what a look at it found. Types only, and their words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place that the file should have passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The folder, and the container if it is in one; empty if there is no such place.
    pub place: String,
    pub seen: Found,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    #[serde(rename = "Whole")]
    Complete,
    /// Different content, of this many bytes.
    #[serde(rename = "Other")]
    Different(usize),
    Absent,
    /// It cannot be read, which is a fault of the place itself.
    #[serde(rename = "Trouble")]
    Unreadable(String),
    /// There is no such place.
    NoMount(String),
    /// It was not checked, which proves nothing.
    Unknown(String),
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.seen {
            Found::Complete => write!(f, "{place}: complete"),
            Found::Different(bytes) => write!(f, "{place}: different content, {bytes} bytes"),
            Found::Absent => write!(f, "{place}: missing"),
            Found::Unreadable(why) => write!(f, "{place}: cannot be read: {why}"),
            Found::NoMount(why) => f.write_str(why),
            Found::Unknown(why) => write!(f, "{place}: not checked: {why}"),
        }
    }
}

impl Checkpoint {
    /// Whether the file is known not to be here as it was written.
    pub fn lacks_file(&self) -> bool {
        !matches!(self.seen, Found::Complete | Found::Unknown(_))
    }
}
