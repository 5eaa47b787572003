//! Writes the recording at the end of the run, unless the run was refused.

use std::path::PathBuf;

use super::Reporter;
use super::model::{Conclusion, Run};
use crate::event::{Event, millis};
use crate::recording::{RecordedTest, Recording, SuiteText};

pub struct Recorder {
    path: PathBuf,
    recording: Recording,
}

impl Recorder {
    pub fn new(path: PathBuf, suites: Vec<SuiteText>) -> Self {
        Self { path, recording: Recording::new(suites) }
    }
}

impl Reporter for Recorder {
    fn on(&mut self, event: &Event, run: &Run) -> anyhow::Result<()> {
        let recording = &mut self.recording;
        match event {
            Event::RunStarted { tests, .. } => recording.planned = tests.iter().map(|test| test.id.clone()).collect(),
            Event::TestFinished { id, verdict, elapsed, seen } => {
                let mut seen = seen.clone();
                if let Some(seen) = &mut seen {
                    recording.objects.pack(seen);
                }
                let (id, verdict) = (id.clone(), verdict.clone());
                recording.tests.push(RecordedTest { id, millis: millis(*elapsed), verdict, seen });
            }
            Event::RunFinished { ending, .. } => {
                let (diagnosed, notices) = (run.diagnosed.iter(), run.notices.iter());
                recording.started = Some(run.started);
                recording.facts.clone_from(&run.facts);
                recording.diagnosed = diagnosed.map(|its| (its.server.clone(), its.sections.clone())).collect();
                recording.notices = notices.map(|notice| (notice.text.clone(), notice.is_error)).collect();
                recording.ending = ending.clone();
                recording.millis = run.millis;
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self, run: &Run) -> anyhow::Result<()> {
        match run.conclusion {
            Conclusion::NotFinished | Conclusion::Refused => Ok(()),
            _ => self.recording.write(&self.path),
        }
    }
}
