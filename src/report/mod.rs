//! Consumers of events. Imports `event` and nothing else of ours.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::event::Event;

pub mod console;
pub mod grid;
pub mod junit;
pub mod text;

/// The shortest time between two rewritings of a report while results come in.
const REWRITE: Duration = Duration::from_millis(250);

/// Something that tells people or programs what happened.
pub trait Reporter: Send {
    /// Takes in an event.
    fn on(&mut self, event: &Event) -> anyhow::Result<()>;

    /// Brings files up to date.
    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Hands every event to every reporter until the run is finished.
///
/// One that fails does not stop the others; returns what went wrong, once for each reporter and message.
pub fn consume(events: &Receiver<Event>, reporters: &mut [Box<dyn Reporter>]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut note = |result: anyhow::Result<()>| {
        if let Err(error) = result {
            let text = format!("{error:#}");
            if !problems.contains(&text) {
                problems.push(text);
            }
        }
    };
    let mut due = Instant::now() + REWRITE;
    loop {
        let received = events.recv_timeout(due.saturating_duration_since(Instant::now()));
        let is_last = matches!(&received, Ok(Event::RunFinished { .. }) | Err(RecvTimeoutError::Disconnected));
        // The first event replaces the reports of earlier runs, so it is written at once.
        let is_first = matches!(&received, Ok(Event::RunStarted { .. }));
        if let Ok(event) = &received {
            for reporter in reporters.iter_mut() {
                note(reporter.on(event));
            }
        }
        if is_first || is_last || Instant::now() >= due {
            for reporter in reporters.iter_mut() {
                note(reporter.flush());
            }
            due = Instant::now() + REWRITE;
        }
        if is_last {
            return problems;
        }
    }
}
