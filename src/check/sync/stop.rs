//! What a look at one place on a file's way found. Types only, and their words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place that the file should have passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The folder, and the container if it is one's; empty if there is no such place.
    pub place: String,
    pub seen: Found,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    Whole,
    /// A file of that name with other content, of this many bytes.
    Other(usize),
    Absent,
    /// It cannot be looked into, and that is a fault of the place itself.
    Trouble(String),
    /// There is no such place.
    NoMount(String),
    /// It was not looked at, which says nothing.
    Unknown(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.seen {
            Found::Whole => write!(f, "whole in {place}"),
            Found::Other(bytes) => write!(f, "{bytes} bytes of other content in {place}"),
            Found::Absent => write!(f, "not in {place}"),
            Found::Trouble(why) => write!(f, "{place} cannot be looked into ({why})"),
            Found::NoMount(why) => f.write_str(why),
            Found::Unknown(why) => write!(f, "{place} was not looked at ({why})"),
        }
    }
}

impl Stop {
    /// Whether the file is known not to be there as it was written.
    pub fn lacks(&self) -> bool {
        !matches!(self.seen, Found::Whole | Found::Unknown(_))
    }
}
