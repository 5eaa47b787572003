//! Container logs. Imports nothing from this crate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

#[derive(Default)]
pub struct Logs(Mutex<HashMap<[String; 2], watch::Sender<Log>>>);

#[derive(Default)]
pub struct Log {
    pub lines: Vec<(Timestamp, String)>,
    /// The number of the current run, from 1; 0 if the container has never run.
    pub run: u64,
    pub has_ended: bool,
    pub previous: Option<Vec<(Timestamp, String)>>,
}

impl Logs {
    pub fn of(&self, pod: &str, container: &str) -> watch::Sender<Log> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry([pod.to_owned(), container.to_owned()]).or_default().clone()
    }
}

impl Log {
    pub fn start_run(&mut self) {
        let previous = (self.run > 0).then(|| std::mem::take(&mut self.lines));
        *self = Self { run: self.run + 1, previous, ..Self::default() };
    }
}
