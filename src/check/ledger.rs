//! The ledger of the files that a run has written: they are removed by it, however a test ends.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cluster::Select;
use crate::event::TestId;

/// A file that a test has written or is about to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub test: TestId,
    pub server: String,
    pub select: Select,
    pub place: Place,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Host,
    /// This folder in this container.
    Export {
        container: String,
        folder: String,
    },
}

impl Place {
    pub fn export(self) -> Option<(String, String)> {
        match self {
            Self::Host => None,
            Self::Export { container, folder } => Some((container, folder)),
        }
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Host => write!(f, "{} in the host folder of {}", self.name, self.server),
            Place::Export { container, folder } => {
                write!(f, "{folder}/{} in container {container} of {}", self.name, self.server)
            }
        }
    }
}

/// The files that are not removed yet, and all places where files ever were.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    files: Vec<Placed>,
    /// By server.
    places: BTreeSet<(String, Place)>,
}

impl Ledger {
    /// Registers a file before it is written.
    pub fn place(&self, placed: Placed) {
        let mut entries = self.entries();
        entries.places.insert((placed.server.clone(), placed.place.clone()));
        entries.files.push(placed);
    }

    pub fn removed(&self, placed: &Placed) {
        self.entries().files.retain(|other| other != placed);
    }

    /// The files that are not removed yet and match.
    pub fn placed(&self, which: impl Fn(&Placed) -> bool) -> Vec<Placed> {
        self.entries().files.iter().filter(|placed| which(placed)).cloned().collect()
    }

    pub fn places(&self, server: &str) -> Vec<Place> {
        self.entries().places.iter().filter(|(its, _)| its == server).map(|(_, place)| place.clone()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
