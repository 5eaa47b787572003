//! Live lines: the current waits of tests, shown below the results and updated in place, on a terminal only.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::event::TestId;

const MAX_LINES: usize = 8;
/// Without a terminal, a wait that takes this long is printed once.
const LONG: Duration = Duration::from_secs(10);

struct Wait {
    id: TestId,
    what: String,
    began: Instant,
    limit: Duration,
    line: Option<ProgressBar>,
    is_printed: bool,
}

pub struct Live {
    waits: Vec<Wait>,
    area: MultiProgress,
}

impl Live {
    /// Shows lines on `target` if that is a terminal.
    pub fn new(target: ProgressDrawTarget) -> Self {
        Self { waits: Vec::new(), area: MultiProgress::with_draw_target(target) }
    }

    pub fn begin(&mut self, id: &TestId, what: &str, limit: Duration, now: Instant) {
        self.end(id);
        let (id, what) = (id.clone(), what.to_owned());
        self.waits.push(Wait { id, what, began: now, limit, line: None, is_printed: false });
    }

    pub fn end(&mut self, id: &TestId) {
        let ended = self.waits.extract_if(.., |wait| wait.id == *id);
        ended.filter_map(|wait| wait.line).for_each(|line| line.finish_and_clear());
    }

    pub fn clear(&mut self) {
        self.waits.drain(..).filter_map(|wait| wait.line).for_each(|line| line.finish_and_clear());
    }

    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.area.suspend(work)
    }

    pub fn show(&mut self, now: Instant) {
        for wait in self.waits.iter_mut().take(MAX_LINES) {
            let seconds = wait.elapsed(now).as_secs();
            let line = wait.line.get_or_insert_with(|| {
                let style = ProgressStyle::with_template("...   {prefix}  {pos}s of {len}s  {wide_msg}");
                let line = ProgressBar::new(wait.limit.as_secs())
                    .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
                    .with_prefix(wait.id.name())
                    .with_message(wait.what.clone());
                self.area.add(line)
            });
            line.set_position(seconds);
            line.tick();
        }
    }

    /// Without a terminal, the long waits that were not returned before.
    pub fn long_waits(&mut self, now: Instant) -> Vec<String> {
        let is_hidden = self.area.is_hidden();
        let long = self.waits.iter_mut().filter(|wait| is_hidden && !wait.is_printed && wait.elapsed(now) >= LONG);
        long.map(|wait| {
            wait.is_printed = true;
            let (elapsed, limit) = (wait.elapsed(now).as_secs(), wait.limit.as_secs());
            format!("...   {}: waiting {elapsed} s of {limit} s: {}", wait.id, wait.what)
        })
        .collect()
    }
}

impl Wait {
    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(number: usize) -> TestId {
        TestId { suite: "s".into(), slug: "latency".into(), server: Some(format!("nas-{number}")) }
    }

    #[test]
    fn the_longest_waits_are_shown_and_disappear_with_their_tests() {
        let term = InMemoryTerm::new(20, 60);
        let (mut live, begin) = (Live::new(ProgressDrawTarget::term_like(Box::new(term.clone()))), Instant::now());
        live.begin(&id(0), "a file on the way to the folder", 60 * SECOND, begin);
        for number in 1..=MAX_LINES {
            live.begin(&id(number), "a pod", 10 * SECOND, begin);
        }
        live.show(begin + 4 * SECOND);
        let seen = term.contents();
        assert!(seen.starts_with("...   latency::nas-0  4s of 60s  a file on the way to the fo\n"), "{seen}");
        assert!(seen.lines().count() == MAX_LINES && seen.ends_with("nas-7  4s of 10s  a pod"), "{seen}");
        live.end(&id(0));
        live.show(begin + 10 * SECOND);
        assert!(term.contents().ends_with("latency::nas-8  10s of 10s  a pod"), "{}", term.contents());
        assert!(live.long_waits(begin + 10 * SECOND).is_empty(), "a terminal shows live lines");
        live.clear();
        assert_eq!(term.contents(), "");
    }

    #[test]
    fn without_a_terminal_a_long_wait_is_printed_once() {
        let (mut live, begin) = (Live::new(ProgressDrawTarget::hidden()), Instant::now());
        live.begin(&id(1), "a file", 60 * SECOND, begin);
        assert!(live.long_waits(begin + 9 * SECOND).is_empty());
        let expected = "...   s::latency::nas-1: waiting 10 s of 60 s: a file";
        assert_eq!(live.long_waits(begin + 10 * SECOND), [expected]);
        assert!(live.long_waits(begin + 20 * SECOND).is_empty());
    }
}
