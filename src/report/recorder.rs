//! Writes a recording of the run, when it is over.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::Reporter;
use crate::event::{CaseId, Event};
use crate::recording::{RecordedCase, Recording, SuiteText};

/// Gathers a recording.
pub struct Recorder {
    path: PathBuf,
    recording: Recording,
    seen: HashMap<CaseId, Value>,
    is_over: bool,
}

impl Recorder {
    /// Records a run of these suites into the file `path`.
    pub fn new(path: PathBuf, suites: Vec<SuiteText>) -> Self {
        Self { path, recording: Recording::new(suites), seen: HashMap::new(), is_over: false }
    }
}

impl Reporter for Recorder {
    fn on(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Connected { facts } => self.recording.facts.clone_from(facts),
            Event::CaseObserved { id, seen } => {
                let mut seen = seen.as_ref().clone();
                self.recording.objects.pack(&mut seen);
                self.seen.insert(id.clone(), seen);
            }
            Event::CaseFinished { id, verdict, elapsed } => self.recording.cases.push(RecordedCase {
                id: id.clone(),
                millis: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
                verdict: verdict.clone(),
                seen: self.seen.remove(id),
            }),
            Event::RunFinished { .. } => self.is_over = true,
            Event::RunStarted { .. } | Event::CaseWaiting { .. } | Event::Noticed { .. } => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.is_over { self.recording.write(&self.path) } else { Ok(()) }
    }
}
