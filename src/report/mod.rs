//! Reporters: each receives every event, sanitized, and the model of the run that `gather` builds from them.
//! Imports only `event`, `error`, `output`, `profile`, `recording`, `redact` and `replace`.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use self::model::{Conclusion, Run};
use crate::event::Event;

pub mod console;
pub mod diagnostics;
pub mod files;
pub mod gather;
pub mod github;
pub mod grid;
pub mod html;
pub mod junit;
mod live;
pub mod model;
pub mod recorder;
pub mod sanitize;
pub mod text;

/// The shortest time between two updates of a report.
const REWRITE: Duration = Duration::from_millis(250);

pub trait Reporter: Send {
    /// Handles an event; `run` already includes it.
    fn on(&mut self, event: &Event, run: &Run) -> anyhow::Result<()>;

    fn flush(&mut self, _run: &Run) -> anyhow::Result<()> {
        Ok(())
    }
}

/// How often the last update is tried: on Windows, a reader may lock the file briefly.
const LAST_TRIES: u8 = 10;

/// Passes every event to every reporter until the run has finished.
///
/// A failing reporter does not stop the others. Returns the conclusion of the run, and all errors except those of earlier
/// updates.
pub fn consume(events: &Receiver<Event>, reporters: &mut [Box<dyn Reporter>]) -> (Conclusion, Vec<String>) {
    let mut run = Run::default();
    let mut problems: Vec<String> = Vec::new();
    let mut due = Instant::now() + REWRITE;
    loop {
        let mut received = events.recv_timeout(due.saturating_duration_since(Instant::now()));
        let is_last = matches!(&received, Ok(Event::RunFinished { .. }) | Err(RecvTimeoutError::Disconnected));
        // The first event replaces the reports of earlier runs, so it is written at once.
        let is_first = matches!(&received, Ok(Event::RunStarted { .. }));
        if let Ok(event) = &mut received {
            sanitize::sanitize(event);
            run.apply(event);
            for problem in reporters.iter_mut().filter_map(|reporter| reporter.on(event, &run).err()) {
                let text = format!("{problem:#}");
                if !problems.contains(&text) {
                    problems.push(text);
                }
            }
        }
        if is_last {
            run.settle();
            problems.extend(flush_at_last(reporters, &run));
            return (run.conclusion, problems);
        }
        if is_first || Instant::now() >= due {
            // A failed update is tried again later.
            run.settle();
            let _ = flush(reporters, &run);
            due = Instant::now() + REWRITE;
        }
    }
}

fn flush(reporters: &mut [Box<dyn Reporter>], run: &Run) -> Vec<String> {
    let problems = reporters.iter_mut().filter_map(|reporter| reporter.flush(run).err());
    problems.map(|problem| format!("{problem:#}")).collect()
}

fn flush_at_last(reporters: &mut [Box<dyn Reporter>], run: &Run) -> Vec<String> {
    let mut problems = flush(reporters, run);
    for _ in 1..LAST_TRIES {
        if problems.is_empty() {
            break;
        }
        std::thread::sleep(REWRITE / 2);
        problems = flush(reporters, run);
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use super::*;
    use crate::event::{Ending, Notice};

    /// Stores the events; its first flushes fail.
    struct Fake {
        failures: usize,
        events: Arc<Mutex<Vec<String>>>,
    }

    impl Reporter for Fake {
        fn on(&mut self, event: &Event, _: &Run) -> anyhow::Result<()> {
            self.events.lock().unwrap().push(format!("{event:?}"));
            Ok(())
        }

        fn flush(&mut self, _: &Run) -> anyhow::Result<()> {
            let failures = self.failures;
            self.failures = failures.saturating_sub(1);
            anyhow::ensure!(failures == 0, "the file is locked");
            Ok(())
        }
    }

    #[test]
    fn a_failing_reporter_does_not_stop_the_others_and_none_receives_a_secret() {
        for (failures, problems) in [(3, &[][..]), (100, &["the file is locked"])] {
            let received: Arc<Mutex<Vec<String>>> = Arc::default();
            let fake = |failures| Box::new(Fake { failures, events: Arc::clone(&received) }) as Box<dyn Reporter>;
            let (sender, events) = mpsc::channel();
            sender.send(Event::Noticed(Notice { text: "password=hunter2".into(), is_error: false })).unwrap();
            sender.send(Event::RunFinished { ending: Ending::Completed, elapsed: Duration::ZERO }).unwrap();
            assert_eq!(consume(&events, &mut [fake(failures), fake(0)]).1, problems);
            let received = received.lock().unwrap();
            assert_eq!(received.len(), 4, "two events each");
            assert!(received[0].contains("password=[removed]"), "{received:?}");
        }
    }
}
