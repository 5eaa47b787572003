//! The ledger of files that a run put somewhere: whatever ends a test, they are removed from here.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cluster::Select;
use crate::event::CaseId;

/// A file that the run put somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The test that put it there, or will.
    pub case: CaseId,
    /// The server.
    pub server: String,
    /// How the server's pods are recognised.
    pub select: Select,
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
}

/// Where a file was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the tester's folder.
    Host,
    /// In the export, reached through this container.
    Export {
        /// The container.
        container: String,
        /// The export's folder in it.
        folder: String,
    },
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Host => write!(f, "{} in the folder of {}", self.name, self.server),
            Place::Export { container, folder } => {
                write!(f, "{folder}/{} in container {container} of {}", self.name, self.server)
            }
        }
    }
}

/// Files that were written, or are about to be, and not yet removed.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Placed>>);

impl Ledger {
    /// Notes a file before it is written.
    pub fn place(&self, placed: Placed) {
        self.files().push(placed);
    }

    /// Strikes out a file that was removed.
    pub fn removed(&self, placed: &Placed) {
        self.files().retain(|other| other != placed);
    }

    /// The files that are not removed yet and that `which` selects.
    pub fn placed(&self, which: impl Fn(&Placed) -> bool) -> Vec<Placed> {
        self.files().iter().filter(|placed| which(placed)).cloned().collect()
    }

    fn files(&self) -> MutexGuard<'_, Vec<Placed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
