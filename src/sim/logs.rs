//! What the containers of the simulated cluster have said. Imports nothing of ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

/// The logs of all containers, each of its current life only.
pub struct Logs {
    /// By pod and container.
    all: Mutex<HashMap<[String; 2], Log>>,
    changed: watch::Sender<u64>,
}

/// The log of one container.
#[derive(Default)]
struct Log {
    lines: Vec<(Timestamp, Arc<str>)>,
    /// Counts lives of the container and rotations of the file: whoever follows another one is at its end.
    life: u64,
    ended: bool,
}

/// Some lines of a log, with their times.
pub type Lines = Vec<(Timestamp, Arc<str>)>;

/// What is there of a log.
pub struct Said {
    /// The lines from the one that was asked for.
    pub lines: Lines,
    /// The life that they are of.
    pub life: u64,
    /// Whether the container has ended, so that there will be no more.
    pub ended: bool,
}

impl Logs {
    /// None yet.
    pub fn new() -> Self {
        Self { all: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// A container begins to run, again perhaps, or its log is rotated: what it said before is gone.
    pub fn begin(&self, pod: &str, container: &str) {
        self.with(pod, container, |log| *log = Log { life: log.life + 1, ..Log::default() });
    }

    /// The container said a line.
    pub fn say(&self, pod: &str, container: &str, at: Timestamp, line: &str) {
        self.with(pod, container, |log| log.lines.push((at, line.into())));
    }

    /// The container has ended.
    pub fn end(&self, pod: &str, container: &str) {
        self.with(pod, container, |log| log.ended = true);
    }

    /// What the container said from its line number `from` on; `None` if it never ran.
    pub fn read(&self, pod: &str, container: &str, from: usize) -> Option<Said> {
        let all = self.lock();
        let log = all.get(&[pod.to_owned(), container.to_owned()])?;
        let lines = log.lines.get(from..).unwrap_or_default().to_vec();
        Some(Said { lines, life: log.life, ended: log.ended })
    }

    /// Something to wait on for the next line; create it before looking.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changed.subscribe();
        changes.mark_unchanged();
        changes
    }

    fn with(&self, pod: &str, container: &str, change: impl FnOnce(&mut Log)) {
        change(self.lock().entry([pod.to_owned(), container.to_owned()]).or_default());
        self.changed.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[String; 2], Log>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
