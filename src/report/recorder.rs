//! Writes a recording of the run, when it is over. A run that was refused leaves nothing to record.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::Reporter;
use super::model::Run;
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
    fn on(&mut self, event: &Event, run: &Run) -> anyhow::Result<()> {
        let recording = &mut self.recording;
        match event {
            Event::RunStarted { cases, .. } => recording.planned = cases.iter().map(|case| case.id.clone()).collect(),
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
            Event::RunFinished { ending, .. } => {
                let diagnosed = run.diagnosed.iter();
                let notices = run.notices.iter();
                recording.started = Some(run.started);
                recording.facts.clone_from(&run.facts);
                recording.diagnosed = diagnosed.map(|known| (known.server.clone(), known.sections.clone())).collect();
                recording.notices = notices.map(|notice| (notice.text.clone(), notice.is_error)).collect();
                recording.ending = ending.clone();
                recording.millis = run.millis;
                self.is_over = !matches!(ending, Ending::Refused(_));
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self, _: &Run) -> anyhow::Result<()> {
        if self.is_over { self.recording.write(&self.path) } else { Ok(()) }
    }
}
