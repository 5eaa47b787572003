//! What is known of a server whose test went wrong: looked at once, while the other tests run, and before anything is
//! tidied up. Reads only. Imports `check` (for what tests share), `cluster` and `event`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::check::{Shared, Site};
use crate::event::{Event, Outcome, Section};

mod gather;

/// How long the API server has for each question about a server; they are asked side by side.
const ANSWER: Duration = Duration::from_secs(4);
/// How long the run waits for what is still being looked at when its last test has ended.
const LAST: Duration = Duration::from_secs(10);
/// More lines of a section are left out.
const LINES: usize = 60;
/// More characters of a line are cut off.
const LONGEST: usize = 400;

/// Looks at each server whose test goes wrong, once.
pub struct Diagnoses {
    shared: Arc<Shared>,
    begun: Mutex<(BTreeSet<String>, JoinSet<()>)>,
}

impl Diagnoses {
    /// For a run in which nothing went wrong yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, begun: Mutex::default() }
    }

    /// Begins to look at the server of a test that went wrong, unless that was done.
    pub fn begin(&self, site: &Site, outcome: Outcome) {
        let (Outcome::Fail | Outcome::Error, Some(server)) = (outcome, site.id.server.clone()) else { return };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !begun.0.insert(server.clone()) {
            return;
        }
        // As it is now, before tidying up changes it.
        let population = self.shared.watch.population();
        let (shared, select) = (Arc::clone(&self.shared), site.select.clone());
        begun.1.spawn(async move {
            let sections = gather::gather(&shared, population.as_ref(), &select, &server).await;
            shared.tell(Event::Diagnosed { server, sections });
        });
    }

    /// Waits until all was looked at, but not for long.
    pub async fn ended(&self) {
        let mut tasks = std::mem::take(&mut self.begun.lock().unwrap_or_else(PoisonError::into_inner).1);
        let _ = timeout(LAST, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// A section of lines that strangers wrote: not too much of it.
fn section(title: impl Into<String>, lines: &[String]) -> Section {
    let all = || lines.iter().flat_map(|line| line.lines());
    let bounded = |line: &str| match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    };
    let mut shown: Vec<String> = all().take(LINES).map(bounded).collect();
    let more = all().count() - shown.len();
    shown.extend((more > 0).then(|| format!("… and {more} more lines")));
    Section { title: title.into(), lines: shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_bounded() {
        let section = section("log", &["x".repeat(1 << 20), "a\nb".to_owned(), "many\n".repeat(100)]);
        assert_eq!(section.lines.len(), LINES + 1);
        assert!(section.lines.iter().all(|line| line.chars().count() <= LONGEST + 1));
        assert_eq!(section.lines[LINES], "… and 43 more lines");
    }
}
