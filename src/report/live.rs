//! What tests wait for: lines that stand below the results and are brought up to date in place, on a terminal only.

use std::time::{Duration, Instant};

use console::{measure_text_width, pad_str, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::{OwoColorize, Stream};

use crate::event::CaseId;

/// So many waits at the most have a line.
const MOST: usize = 8;
/// What waits for longer is told where there is no terminal, once.
const LONG: Duration = Duration::from_secs(10);

/// A wait of a test.
struct Wait {
    id: CaseId,
    what: String,
    began: Instant,
    limit: Duration,
    next_cycle: Option<Instant>,
    is_told: bool,
}

/// The waits, and where they are shown.
pub struct Live {
    waits: Vec<Wait>,
    area: ProgressBar,
    shown: String,
}

impl Live {
    /// Nothing waits yet; shown on `target`, if that is a terminal.
    pub fn new(target: ProgressDrawTarget) -> Self {
        let area = ProgressBar::with_draw_target(None, target);
        area.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { waits: Vec::new(), area, shown: String::new() }
    }

    /// A test began to wait; what it waited for before is over.
    pub fn begin(&mut self, id: &CaseId, what: &str, limit: Duration, next_cycle: Option<Duration>, now: Instant) {
        self.end(id);
        let (id, what) = (id.clone(), what.to_owned());
        let next_cycle = next_cycle.map(|left| now + left);
        self.waits.push(Wait { id, what, began: now, limit, next_cycle, is_told: false });
    }

    /// A test waits no longer.
    pub fn end(&mut self, id: &CaseId) {
        self.waits.retain(|wait| wait.id != *id);
    }

    /// Nothing waits any longer.
    pub fn clear(&mut self, now: Instant) {
        self.waits.clear();
        self.show(now, 0);
    }

    /// Does something, such as printing, while nothing is shown.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.area.suspend(work)
    }

    /// Brings what is shown up to date; `width` is the terminal's.
    pub fn show(&mut self, now: Instant, width: usize) {
        let text = lines(&self.waits, now, width).join("\n");
        if self.area.is_hidden() || text == self.shown {
            return;
        }
        if text.is_empty() {
            self.area.finish_and_clear();
        } else {
            if self.shown.is_empty() {
                self.area.reset();
            }
            // Each by itself, because a low terminal does not show all.
            let dimmed = |line: &str| line.if_supports_color(Stream::Stderr, |line| line.dimmed()).to_string();
            self.area.set_message(text.lines().map(dimmed).collect::<Vec<_>>().join("\n"));
        }
        self.shown = text;
    }

    /// What has waited for long, where it is not shown; each once.
    pub fn long(&mut self, now: Instant) -> Vec<String> {
        let is_hidden = self.area.is_hidden();
        let long = self.waits.iter_mut().filter(|wait| is_hidden && !wait.is_told && wait.elapsed(now) >= LONG);
        long.filter(|wait| wait.elapsed(now) < wait.limit)
            .map(|wait| {
                wait.is_told = true;
                format!("...   {} waits, {}, for {}", wait.id, wait.times(now), wait.what)
            })
            .collect()
    }
}

impl Wait {
    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Since when it waits and how long it will, and when the next cycle is due, as long as it is.
    fn times(&self, now: Instant) -> String {
        let cycle = self.next_cycle.filter(|due| *due > now).map(|due| {
            let left = (due - now).as_secs_f64().ceil();
            format!(", next cycle in {left}s")
        });
        let (elapsed, limit) = (self.elapsed(now).as_secs(), self.limit.as_secs());
        format!("{elapsed}s of {limit}s{}", cycle.unwrap_or_default())
    }
}

/// A line for each of the longest waits, and how many more there are; what is past its limit waits for nothing any more.
fn lines(waits: &[Wait], now: Instant, width: usize) -> Vec<String> {
    let waits: Vec<&Wait> = waits.iter().filter(|wait| wait.elapsed(now) < wait.limit).collect();
    let shown = &waits[..waits.len().min(MOST)];
    let cells: Vec<[String; 2]> = shown.iter().map(|wait| [wait.id.name(), wait.times(now)]).collect();
    let [names, times] = [0, 1].map(|cell| cells.iter().map(|row| measure_text_width(&row[cell])).max().unwrap_or(0));
    let line = |(row, wait): (&[String; 2], &&Wait)| {
        let head = |cell: usize, width| pad_str(&row[cell], width, console::Alignment::Left, None).into_owned();
        let line = format!("...   {}  {}  {}", head(0, names), head(1, times), wait.what);
        truncate_str(&line, width, "…").into_owned()
    };
    let mut lines: Vec<String> = cells.iter().zip(shown).map(line).collect();
    if waits.len() > MOST {
        lines.push(format!("...   and {} more", waits.len() - MOST));
    }
    lines
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(number: usize) -> CaseId {
        CaseId { suite: "s".into(), slug: "latency".into(), server: Some(format!("nas-{number}")) }
    }

    #[test]
    fn waits_stand_below_the_results_and_vanish_with_their_tests() {
        let term = InMemoryTerm::new(20, 80);
        let (mut live, begin) = (Live::new(ProgressDrawTarget::term_like(Box::new(term.clone()))), Instant::now());
        live.begin(&id(1), "a file on the way to the folder", 60 * SECOND, Some(9 * SECOND), begin);
        live.show(begin + SECOND, 70);
        assert_eq!(term.contents(), "...   latency::nas-1  1s of 60s, next cycle in 8s  a file on the way …");
        live.begin(&id(2), "a pod", 5 * SECOND, None, begin);
        live.show(begin + 4 * SECOND, 70);
        let lines = [
            "...   latency::nas-1  4s of 60s, next cycle in 5s  a file on the way …",
            "...   latency::nas-2  4s of 5s                     a pod",
        ];
        assert_eq!(term.contents(), lines.join("\n"));
        live.show(begin + 10 * SECOND, 70);
        let left = "...   latency::nas-1  10s of 60s  a file on the way to the folder";
        assert_eq!(term.contents(), left, "the cycle and the other wait are over");
        live.end(&id(1));
        live.show(begin + 10 * SECOND, 70);
        assert_eq!(term.contents(), "");
        assert!(live.long(begin + 10 * SECOND).is_empty(), "on a terminal they are seen");
    }

    #[test]
    fn of_many_waits_the_longest_are_shown_and_the_others_counted() {
        let term = InMemoryTerm::new(20, 80);
        let (mut live, begin) = (Live::new(ProgressDrawTarget::term_like(Box::new(term.clone()))), Instant::now());
        for number in 0..MOST + 3 {
            live.begin(&id(number), "a file", 60 * SECOND, None, begin);
        }
        live.show(begin, 80);
        let seen = term.contents();
        assert_eq!(seen.lines().count(), MOST + 1);
        assert!(seen.starts_with("...   latency::nas-0  0s of 60s  a file") && seen.ends_with("and 3 more"), "{seen}");
        live.clear(begin);
        assert_eq!(term.contents(), "");
    }

    #[test]
    fn without_a_terminal_a_long_wait_is_told_once() {
        let (mut live, begin) = (Live::new(ProgressDrawTarget::hidden()), Instant::now());
        live.begin(&id(1), "a file", 60 * SECOND, Some(30 * SECOND), begin);
        live.begin(&id(2), "a pod", 10 * SECOND, None, begin);
        assert!(live.long(begin + 9 * SECOND).is_empty());
        let told = live.long(begin + 10 * SECOND);
        assert_eq!(told, ["...   s::latency::nas-1 waits, 10s of 60s, next cycle in 20s, for a file"]);
        assert!(live.long(begin + 20 * SECOND).is_empty());
    }
}
