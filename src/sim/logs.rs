//! What the containers of the simulated cluster have said. Imports nothing of ours.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

#[derive(Default)]
pub struct Logs(Mutex<HashMap<[String; 2], watch::Sender<Log>>>);

/// The log of one container, of its current life and the one before.
#[derive(Default)]
pub struct Log {
    pub lines: Vec<(Timestamp, String)>,
    /// Counts lives of the container: whoever follows another one is at its end. 0: it never ran.
    pub life: u64,
    pub has_ended: bool,
    pub before: Option<Vec<(Timestamp, String)>>,
}

impl Logs {
    /// The log of a container, to write, or to subscribe to.
    pub fn of(&self, pod: &str, container: &str) -> watch::Sender<Log> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry([pod.to_owned(), container.to_owned()]).or_default().clone()
    }
}

impl Log {
    /// A container begins to run, again perhaps.
    pub fn begin(&mut self) {
        let before = (self.life > 0).then(|| std::mem::take(&mut self.lines));
        *self = Self { life: self.life + 1, before, ..Self::default() };
    }
}
