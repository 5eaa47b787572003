//! Starts the reporters of a run, and waits for them.

use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::event::Event;
use crate::exit_code::Exit;
use crate::output;
use crate::report::console::{Console, ConsoleOptions};
use crate::report::model::Conclusion;
use crate::report::{self, Reporter, files::Files, github};

pub(super) fn reporters(options: ConsoleOptions) -> Vec<Box<dyn Reporter>> {
    let files = Files::new(options.reports.clone());
    let mut reporters: Vec<Box<dyn Reporter>> = vec![Box::new(Console::new(options)), Box::new(files)];
    if let Some(github) = github::this_step() {
        reporters.push(Box::new(github));
    }
    reporters
}

pub(super) struct Reporting {
    pub(super) events: mpsc::Sender<Event>,
    reports: JoinHandle<(Conclusion, Vec<String>)>,
}

impl Reporting {
    pub(super) fn start(mut reporters: Vec<Box<dyn Reporter>>) -> Self {
        let (events, received) = mpsc::channel();
        Self { events, reports: std::thread::spawn(move || report::consume(&received, &mut reporters)) }
    }

    pub(super) fn send(&self, event: Event) {
        // The reporting thread outlives all senders.
        let _ = self.events.send(event);
    }

    /// Waits for the last report. A report that could not be written turns a success into an error; `refused` overrides the
    /// run's conclusion.
    pub(super) fn end(self, refused: Option<Exit>) -> Exit {
        let panicked = |_| (Conclusion::NotFinished, vec!["internal error: a reporter panicked".to_owned()]);
        let (conclusion, problems) = self.reports.join().unwrap_or_else(panicked);
        for problem in &problems {
            output::print_error(format!("error: {problem}"));
        }
        let exit = refused.or(conclusion.exit()).unwrap_or(Exit::CouldNotJudge);
        if exit == Exit::Passed && !problems.is_empty() { Exit::CouldNotJudge } else { exit }
    }
}
