//! The reporters of a run, and what they have to say.

use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::error::Exit;
use crate::event::Event;
use crate::output;
use crate::report::console::{Console, Look};
use crate::report::{self, Reporter, files::Files, github};

pub(super) fn reporters(look: Look) -> Vec<Box<dyn Reporter>> {
    let files = Files::new(look.reports.clone());
    let mut reporters: Vec<Box<dyn Reporter>> = vec![Box::new(Console::new(look)), Box::new(files)];
    if let Some(github) = github::this_step() {
        reporters.push(Box::new(github));
    }
    reporters
}

pub(super) struct Reporting {
    pub(super) events: mpsc::Sender<Event>,
    problems: JoinHandle<Vec<String>>,
}

impl Reporting {
    pub(super) fn start(mut reporters: Vec<Box<dyn Reporter>>) -> Self {
        let (events, received) = mpsc::channel();
        Self { events, problems: std::thread::spawn(move || report::consume(&received, &mut reporters)) }
    }

    pub(super) fn send(&self, event: Event) {
        // The thread ends only after the last event.
        let _ = self.events.send(event);
    }

    /// Waits for the last report; a run is not green if a report could not be written.
    pub(super) fn end(self, exit: Exit) -> Exit {
        let problems = self.problems.join().unwrap_or_else(|_| vec!["the reports panicked".to_owned()]);
        for problem in &problems {
            output::tell(format!("error: {problem}"));
        }
        if exit == Exit::Passed && !problems.is_empty() { Exit::CouldNotJudge } else { exit }
    }
}
