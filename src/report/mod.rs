//! Consumers of events, which get them sanitized, and with each the model of the run that `gather` makes of them, once.
//! Imports `event`, `error`, `output`, `profile`, `recording`, `redact` and `replace`, and nothing else of ours.

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

/// The shortest time between two rewritings of a report while results come in.
const REWRITE: Duration = Duration::from_millis(250);

/// Gets the run as it stands after the event, or at the moment.
pub trait Reporter: Send {
    fn on(&mut self, event: &Event, run: &Run) -> anyhow::Result<()>;

    fn flush(&mut self, _run: &Run) -> anyhow::Result<()> {
        Ok(())
    }
}

/// How often the last writing is tried: on Windows a reader can hold the file for a moment.
const LAST_TRIES: u8 = 10;

/// Hands every event to every reporter until the run is finished.
///
/// One that fails does not stop the others; returns what came of the run, and what went wrong and was not made good by a
/// later writing.
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
            run.take(event);
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
            // What cannot be written now can be later.
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

    /// Keeps what it is told; fails to flush so many times.
    struct Keeping {
        fails: usize,
        told: Arc<Mutex<Vec<String>>>,
    }

    impl Reporter for Keeping {
        fn on(&mut self, event: &Event, _: &Run) -> anyhow::Result<()> {
            self.told.lock().unwrap().push(format!("{event:?}"));
            Ok(())
        }

        fn flush(&mut self, _: &Run) -> anyhow::Result<()> {
            let fails = self.fails;
            self.fails = fails.saturating_sub(1);
            anyhow::ensure!(fails == 0, "the file is held");
            Ok(())
        }
    }

    #[test]
    fn a_reporter_that_fails_does_not_stop_the_others_and_none_gets_a_secret() {
        for (fails, problems) in [(3, &[][..]), (100, &["the file is held"])] {
            let told: Arc<Mutex<Vec<String>>> = Arc::default();
            let keeping = |fails| Box::new(Keeping { fails, told: Arc::clone(&told) }) as Box<dyn Reporter>;
            let (sender, events) = mpsc::channel();
            sender.send(Event::Noticed(Notice { text: "password=hunter2".into(), is_error: false })).unwrap();
            sender.send(Event::RunFinished { ending: Ending::Completed, elapsed: Duration::ZERO }).unwrap();
            assert_eq!(consume(&events, &mut [keeping(fails), keeping(0)]).1, problems);
            let told = told.lock().unwrap();
            assert_eq!(told.len(), 4, "two events each");
            assert!(told[0].contains("password=[removed]"), "{told:?}");
        }
    }
}
