//! Writes a recording of the run, when it is over. A run that was refused leaves nothing to record.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::Reporter;
use crate::event::{CaseId, Ending, Event, millis};
use crate::recording::{RecordedCase, Recording, SuiteText};

pub struct Recorder {
    path: PathBuf,
    recording: Recording,
    seen: HashMap<CaseId, Value>,
    is_over: bool,
}

impl Recorder {
    pub fn new(path: PathBuf, suites: Vec<SuiteText>) -> Self {
        Self { path, recording: Recording::new(suites), seen: HashMap::new(), is_over: false }
    }
}

impl Reporter for Recorder {
    fn on(&mut self, event: &Event) -> anyhow::Result<()> {
        let recording = &mut self.recording;
        match event {
            Event::RunStarted { at, cases, .. } => {
                recording.started = Some(*at);
                recording.planned = cases.iter().map(|case| case.id.clone()).collect();
            }
            Event::Connected { facts } => recording.facts.clone_from(facts),
            Event::CaseObserved { id, seen } => {
                let mut seen = seen.as_ref().clone();
                recording.objects.pack(&mut seen);
                self.seen.insert(id.clone(), seen);
            }
            Event::CaseFinished { id, verdict, elapsed } => recording.cases.push(RecordedCase {
                id: id.clone(),
                millis: millis(*elapsed),
                verdict: verdict.clone(),
                seen: self.seen.remove(id),
            }),
            Event::Noticed { text, is_error } => recording.notices.push((text.clone(), *is_error)),
            Event::RunFinished { ending, elapsed } => {
                recording.ending = ending.clone();
                recording.millis = millis(*elapsed);
                self.is_over = !matches!(ending, Ending::Refused(_));
            }
            Event::Diagnosed { server, sections } => recording.diagnosed.push((server.clone(), sections.clone())),
            Event::CaseWaiting { .. } | Event::Interrupted { .. } => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.is_over { self.recording.write(&self.path) } else { Ok(()) }
    }
}
