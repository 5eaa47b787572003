//! The ledger of the files that a run has written: they are removed by it, however a test ends.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cluster::Select;
use crate::event::TestId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFile {
    pub test: TestId,
    pub server: String,
    pub select: Select,
    pub location: Location,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    Host,
    /// This folder in this container.
    Export {
        container: String,
        folder: String,
    },
}

impl Location {
    pub fn export(self) -> Option<(String, String)> {
        match self {
            Self::Host => None,
            Self::Export { container, folder } => Some((container, folder)),
        }
    }
}

impl fmt::Display for TestFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Host => write!(f, "{} in the host folder of {}", self.name, self.server),
            Location::Export { container, folder } => {
                write!(f, "{folder}/{} in container {container} of {}", self.name, self.server)
            }
        }
    }
}

/// The files that are not removed yet, and all locations where files ever were.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    files: Vec<TestFile>,
    /// By server.
    locations: BTreeSet<(String, Location)>,
}

impl Ledger {
    pub fn register(&self, file: TestFile) {
        let mut entries = self.entries();
        entries.locations.insert((file.server.clone(), file.location.clone()));
        entries.files.push(file);
    }

    pub fn removed(&self, file: &TestFile) {
        self.entries().files.retain(|other| other != file);
    }

    /// The files that are not removed yet and match.
    pub fn files(&self, which: impl Fn(&TestFile) -> bool) -> Vec<TestFile> {
        self.entries().files.iter().filter(|file| which(file)).cloned().collect()
    }

    pub fn locations(&self, server: &str) -> Vec<Location> {
        self.entries().locations.iter().filter(|(its, _)| its == server).map(|(_, location)| location.clone()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
