//! The sync cycle of a sidecar as its log tells it: when cycles ended, and how far they are apart.
//!
//! Ages come from the log's own timestamps; for lines that arrive live, from this machine's monotonic clock.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use regex::Regex;
use tokio::time::Instant;

use super::ApiError;
use super::log::is_last_word;

/// How long the backlog of a log that was just opened may take to come.
pub(super) const BACKLOG: Duration = Duration::from_secs(1);
/// A file is not removed from an export when the next cycle is nearer than this, because a file that vanishes under
/// a running rsync makes it exit with 24, which ends a sidecar that runs under `set -e` (observed: 23 of 117 cycles).
const GUARD: Duration = Duration::from_secs(2);
/// What is said so soon after the end of a cycle still belongs to it, such as a late line of standard error.
const AFTERMATH: Duration = Duration::from_millis(250);
/// A sidecar whose pauses are shorter never rests, and no moment between two cycles is worth waiting for.
const RESTLESS: Duration = Duration::from_millis(500);
/// A sidecar that says nothing for so long is not in the middle of a cycle.
pub(super) const SILENT: Duration = Duration::from_secs(35);
/// How often a sidecar that says nothing is asked about; for twice as long, what it did not say counts.
const AGAIN: Duration = Duration::from_secs(5);
/// So many lines that mention this run's files are kept, and so much of each: a log may say them for ever.
const MARKED: usize = 20_000;
const LONGEST_NAME: usize = 512;

/// What tells the lines of a sidecar's log apart.
#[derive(Debug, Clone)]
pub struct Marks {
    /// The line that ends a cycle.
    pub end: Regex,
    /// The line that says the interval, in seconds in the first group.
    pub interval: Regex,
    /// What the names of this run's files contain.
    pub files: String,
}

/// What is known of a sidecar's cycles.
#[derive(Debug, Clone, Default)]
pub struct CycleLog {
    /// When the log was opened.
    pub(super) opened: Option<Instant>,
    /// When it was last asked what the sidecar had said, because a stream was silent: it had said no more than is known.
    pub(super) heard: Option<Instant>,
    /// When the last cycles ended, oldest first; the newest 16.
    ends: Vec<(Instant, Timestamp)>,
    /// When the sidecar last said anything, and whether no rsync runs since: it ended a cycle, or failed.
    pub(super) last: Option<(Instant, bool)>,
    /// When an rsync last said that it had failed.
    failed: Option<Timestamp>,
    /// The shortest time seen from the end of a cycle to the next thing that the sidecar said: its sleep.
    pause: Option<Duration>,
    /// The interval that the sidecar said when it started: what its sleep will be, before one was seen.
    interval: Option<Duration>,
    /// Lines that mention this run's files, or their ends.
    marked: Vec<(String, Timestamp)>,
    /// Why the log cannot be read.
    pub trouble: Option<ApiError>,
}

impl CycleLog {
    /// When the log listed a file of that name as copied, each time; also across restarts of the container.
    pub fn listings(&self, name: &str) -> Vec<Timestamp> {
        let listed = self.marked.iter().filter(|(line, _)| line.ends_with(name));
        listed.map(|(_, stamp)| *stamp).collect()
    }

    /// Whether the cycle has ended that brought the file of that name, which was noticed at `noticed`; the log had
    /// listed it `before` times when it was written.
    pub fn ended_after(&self, name: &str, before: usize, noticed: Instant) -> bool {
        match self.listings(name).as_slice() {
            // rsync without -v lists nothing.
            [] => self.ends.iter().any(|(at, _)| *at >= noticed),
            listings @ [.., last] if listings.len() > before => {
                let Some((at, _)) = self.ends.iter().find(|(_, stamp)| stamp > last) else { return false };
                // What is noticed long after its cycle has perhaps been brought by another one.
                *at + AFTERMATH >= noticed || self.ends.iter().any(|(at, _)| *at >= noticed)
            }
            _ => false,
        }
    }

    /// How many ends of cycles are known, at most 16, and how many of them came after the moment.
    pub fn ends(&self, after: Timestamp) -> (usize, usize) {
        (self.ends.len(), self.ends.iter().filter(|(_, stamp)| *stamp > after).count())
    }

    /// When the last cycles ended, at most 16, oldest first.
    pub fn moments(&self) -> impl Iterator<Item = Instant> {
        self.ends.iter().map(|(at, _)| *at)
    }

    /// How long it is until the next cycle should end: as long after the last as that was after the one before, or the
    /// interval that the sidecar said. `None` if that is not known, or if the cycle is late.
    pub fn next_end(&self, now: Instant) -> Option<Duration> {
        let (last, _) = *self.ends.last()?;
        let before = self.ends.len().checked_sub(2).map(|before| last - self.ends[before].0);
        let left = (last + before.or(self.interval)?).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Whether the user may not read the log; other trouble passes, and the log is opened again.
    pub fn is_denied(&self) -> bool {
        matches!(self.trouble, Some(ApiError::Forbidden { .. } | ApiError::Unauthorized { .. }))
    }

    /// Whether a file can be removed from the export now without vanishing under a running rsync; commands take as long as
    /// `lag` at present.
    pub(super) fn is_quiet(&self, now: Instant, lag: Duration) -> bool {
        if let Some(ApiError::NotFound { .. }) = self.trouble {
            // The sidecar is gone with its pod.
            return true;
        }
        // A stream may be silent because something on the way is.
        let heard = self.heard.filter(|heard| now.saturating_duration_since(*heard) < 2 * AGAIN);
        let Some((last, is_resting)) = self.last else { return heard.is_some() };
        let silence = now.saturating_duration_since(last);
        let pause = self.pause.or(self.interval);
        let is_silent = |heard| heard >= last + SILENT.max(pause.unwrap_or_default() + GUARD);
        match pause {
            _ if heard.is_some_and(is_silent) => true,
            Some(pause) if pause < RESTLESS => true,
            _ if !is_resting => false,
            // Of a very short sleep the first half has to do.
            Some(pause) => silence + GUARD.max(lag).min(pause / 2) < pause,
            None => silence < GUARD / 2,
        }
    }

    /// How long a stream of the log may be silent before one has to ask what the sidecar says.
    pub(super) fn patience(&self, now: Instant, lag: Duration) -> Duration {
        let again = if self.heard.is_none() { BACKLOG.max(lag) } else { AGAIN };
        let Some((last, _)) = self.last else { return again };
        let cycle = self.pause.or(self.interval).map_or(SILENT, |pause| pause + GUARD);
        Some((last + cycle).saturating_duration_since(now)).filter(|left| !left.is_zero()).unwrap_or(again)
    }

    /// Takes in one line of the sidecar.
    pub(super) fn take(&mut self, line: &str, at: Instant, stamp: Timestamp, marks: &Marks) {
        let is_end = marks.end.is_match(line);
        if line.contains(&marks.files) && !line.starts_with("deleting ") && self.marked.len() < MARKED {
            let tail = line.char_indices().rev().nth(LONGEST_NAME).map_or(0, |(at, _)| at);
            self.marked.push((line[tail..].to_owned(), stamp));
        }
        if let (Some((_, true)), Some((_, end))) = (self.last, self.ends.last())
            && let Ok(pause) = Duration::try_from(stamp.duration_since(*end))
        {
            if pause < AFTERMATH && !is_end {
                return;
            }
            self.pause = Some(self.pause.map_or(pause, |shortest| shortest.min(pause)));
        }
        let is_failure = is_last_word(line);
        // What the sidecar says of a failure right after it begins no cycle.
        let is_about =
            |failed: Timestamp| Duration::try_from(stamp.duration_since(failed)).is_ok_and(|since| since < AFTERMATH);
        let was_resting = self.last.is_some_and(|(_, is_resting)| is_resting);
        self.last = Some((at, is_end || is_failure || was_resting && self.failed.is_some_and(is_about)));
        if is_failure {
            self.failed = Some(stamp);
        }
        if is_end {
            self.ends.push((at, stamp));
            self.ends.drain(..self.ends.len().saturating_sub(16));
        } else if let Some(seconds) =
            marks.interval.captures(line).and_then(|found| found.get(1)?.as_str().parse().ok())
        {
            self.interval = Some(Duration::from_secs(u32::into(seconds)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDING: &str = "sending incremental file list";
    const SYNCED: &str = "[03:00:30] Synced to Windows in 0s";

    /// A log that was opened long ago, with lines written so many seconds before `now`.
    fn log(now: Instant, lines: &[(u64, &str)]) -> CycleLog {
        let mut log =
            CycleLog { opened: Some(now - Duration::from_secs(300)), heard: Some(now), ..CycleLog::default() };
        let clock: Timestamp = "2026-11-21T03:01:10Z".parse().unwrap();
        for (age, line) in lines {
            let age = Duration::from_secs(*age);
            log.take(line, now - age, clock - age, &marks());
        }
        log
    }

    fn marks() -> Marks {
        let [end, interval] = [r"^\[\d\d:\d\d:\d\d\] Synced\b", r"^Sync interval: (\d+)s"];
        let pattern = |text| Regex::new(text).unwrap();
        Marks { end: pattern(end), interval: pattern(interval), files: "e2e-run".into() }
    }

    fn long_ago() -> Instant {
        // The monotonic clock may have started only minutes ago.
        Instant::now() + Duration::from_secs(600)
    }

    #[test]
    fn between_cycles_it_is_quiet_until_the_next_is_near() {
        let now = long_ago();
        let quiet = |since_end: u64| {
            let before = [(since_end + 40, SENDING), (since_end + 40, SYNCED)];
            log(now, &[before[0], before[1], (since_end + 10, SENDING), (since_end, SYNCED)])
                .is_quiet(now, Duration::ZERO)
        };
        assert!(quiet(0) && quiet(20));
        assert!(!quiet(28) && !quiet(31), "the sidecar sleeps 30 s and its cycle takes 10 s");
    }

    #[test]
    fn where_commands_are_slow_the_next_cycle_must_be_farther() {
        let (now, lag) = (long_ago(), Duration::from_secs(9));
        let quiet =
            |since_end: u64, lag| log(now, &[(60, "Sync interval: 30s"), (since_end, SYNCED)]).is_quiet(now, lag);
        assert!(quiet(20, lag) && !quiet(22, lag) && quiet(22, Duration::ZERO));
        assert!(quiet(14, lag * 9) && !quiet(15, lag * 9), "half of the sleep has to do");
    }

    #[test]
    fn after_the_first_cycle_the_interval_that_the_sidecar_said_counts() {
        let now = long_ago();
        let quiet = |since_end: u64, interval: &str| {
            log(now, &[(since_end, interval), (since_end, SENDING), (since_end, SYNCED)]).is_quiet(now, Duration::ZERO)
        };
        assert!(quiet(20, "Sync interval: 30s") && !quiet(29, "Sync interval: 30s"));
        assert!(!quiet(59, "Sync interval: 60s") && quiet(63, "Sync interval: 60s"));
        assert!(!quiet(4, "Sync interval: 5s") && !quiet(20, "no word of it"));
        assert!(quiet(0, "Sync interval: 2s") && !quiet(1, "Sync interval: 2s"), "half of a very short sleep");
        assert!(quiet(0, "no word of it") && !quiet(1, "no word of it"), "less than the guard is known to be left");
    }

    #[test]
    fn ends_after_a_moment_are_counted_and_that_moment_is_none() {
        let log = log(long_ago(), &[(40, SYNCED), (20, SYNCED), (10, SYNCED)]);
        assert_eq!(log.ends(log.ends[0].1), (3, 2));
    }

    #[test]
    fn the_next_end_is_as_far_off_as_the_last_ones_were_apart() {
        let now = long_ago();
        let left = |lines: &[(u64, &str)]| log(now, lines).next_end(now).map(|left| left.as_secs());
        assert_eq!(left(&[(50, SYNCED), (10, SYNCED)]), Some(30));
        assert_eq!(left(&[(12, "Sync interval: 30s"), (10, SYNCED)]), Some(20));
        let absurd = format!("Sync interval: {}s", u64::MAX);
        assert_eq!(left(&[(12, &absurd), (10, SYNCED)]), None, "no clock can tell it");
        assert_eq!([left(&[]), left(&[(10, SYNCED)]), left(&[(50, SYNCED), (41, SYNCED)])], [None; 3]);
    }

    #[test]
    fn only_a_missing_permission_is_a_denial() {
        let denied = |trouble| CycleLog { trouble, ..CycleLog::default() }.is_denied();
        let (verb, resource, message) = ("get", "pods/log", String::new());
        assert!(denied(Some(ApiError::Forbidden { verb, resource, message: message.clone() })));
        assert!(!denied(None) && !denied(Some(ApiError::NotFound { message })));
    }

    #[test]
    fn a_late_line_belongs_to_the_cycle_that_ended() {
        let now = long_ago();
        let mut log = log(now, &[(40, SENDING), (40, SYNCED), (10, SENDING), (10, SYNCED)]);
        let (at, stamp) = log.ends[1];
        let soon = Duration::from_millis(100);
        log.take("next sync in 30s", at + soon, stamp + soon, &marks());
        assert!(log.is_quiet(now, Duration::ZERO));
        assert_eq!(log.pause, Some(Duration::from_secs(30)));
        log.take(SENDING, at + AFTERMATH, stamp + AFTERMATH, &marks());
        assert_eq!(log.pause, Some(AFTERMATH), "that is the next one");
    }

    #[test]
    fn what_a_sidecar_says_of_a_failure_begins_no_cycle() {
        let now = long_ago();
        let failed = "rsync error: some files were not transferred (code 23) at main.c(1338) [sender=3.4.1]";
        let said = |after: &[(u64, &str)]| {
            let before = [(60, "Sync interval: 30s"), (60, SENDING), (20, failed)];
            log(now, &[&before[..], after].concat())
        };
        let of_it = (20, "[03:00:50] Not all was synced to Windows: rsync exit code 23");
        assert!(said(&[of_it]).is_quiet(now, Duration::ZERO));
        assert!(!said(&[of_it, (10, SENDING)]).is_quiet(now, Duration::ZERO));
    }

    #[test]
    fn during_a_cycle_it_is_not_quiet_however_long_it_lists_files() {
        let now = long_ago();
        assert!(!log(now, &[(60, SYNCED), (30, SENDING), (3, "some/file.txt")]).is_quiet(now, Duration::ZERO));
        assert!(!log(now, &[(1, "=== Starting ==="), (0, SENDING)]).is_quiet(now, Duration::ZERO), "the first cycle");
    }

    #[test]
    fn a_sidecar_that_says_nothing_any_more_is_not_waited_for() {
        let now = long_ago();
        assert!(log(now, &[]).is_quiet(now, Duration::ZERO));
        assert!(log(now, &[(90, SENDING), (90, SYNCED), (60, SENDING)]).is_quiet(now, Duration::ZERO));
    }

    #[test]
    fn silence_counts_only_where_the_sidecar_was_asked_about_just_now() {
        let now = long_ago();
        let quiet = |asked: Option<u64>, lines: &[(u64, &str)]| {
            let heard = asked.map(|ago| now - Duration::from_secs(ago));
            CycleLog { heard, ..log(now, lines) }.is_quiet(now, Duration::ZERO)
        };
        let in_a_cycle = [(90, SENDING), (90, SYNCED), (60, SENDING)];
        assert!(!quiet(None, &in_a_cycle) && !quiet(None, &[]), "the stream may be mute");
        assert!(!quiet(Some(30), &in_a_cycle) && !quiet(Some(30), &[]), "it may have begun since");
        assert!(quiet(Some(3), &in_a_cycle) && quiet(Some(3), &[]));
        assert!(!quiet(Some(9), &[(60, SYNCED), (40, SENDING)]), "31 s of silence were heard");
        assert!(quiet(None, &[(60, "Sync interval: 30s"), (10, SYNCED)]), "a sleep needs no asking");
    }

    #[test]
    fn a_stream_may_be_silent_for_as_long_as_a_sidecar_usually_is() {
        let now = long_ago();
        let patience = |log: &CycleLog| log.patience(now, Duration::ZERO).as_secs();
        assert_eq!(patience(&log(now, &[(20, "Sync interval: 30s"), (10, SYNCED)])), 22);
        assert_eq!(patience(&log(now, &[(50, SYNCED), (10, SENDING)])), 32, "as long as the last pause");
        assert_eq!(patience(&log(now, &[(10, "no word of it")])), 25);
        assert_eq!(patience(&log(now, &[(90, "no word of it")])), AGAIN.as_secs(), "it was asked about, and is again");
        assert_eq!([patience(&CycleLog::default()), patience(&log(now, &[]))], [BACKLOG, AGAIN].map(|it| it.as_secs()));
    }

    #[test]
    fn after_an_rsync_that_failed_it_is_quiet_for_a_moment() {
        let now = long_ago();
        let quiet =
            |last| log(now, &[(9, "Sync interval: 30s"), (9, SENDING), (8, last)]).is_quiet(now, Duration::ZERO);
        assert!(quiet("rsync error: some files could not be transferred (code 23) at main.c(1338) [sender=3.4.1]"));
        assert!(!quiet("rsync error: failed (code 23)"), "that is a file's name");
    }

    #[test]
    fn a_sidecar_that_never_rests_is_not_waited_for() {
        let now = long_ago();
        let mut log = log(now, &[(1, SENDING), (0, SYNCED)]);
        let (at, stamp) = log.ends[0];
        let soon = Duration::from_millis(80);
        log.take("e2e-run-a.txt", at + soon, stamp + soon, &marks());
        log.take(SYNCED, at + soon, stamp + soon, &marks());
        log.take(SENDING, at + soon * 4, stamp + soon * 4, &marks());
        assert!(log.is_quiet(now + soon * 4, Duration::ZERO));
        assert_eq!(log.listings("e2e-run-a.txt").len(), 1, "soon after a cycle's end, and yet not lost");
    }

    #[test]
    fn a_log_that_was_not_read_yet_says_nothing() {
        let now = Instant::now();
        assert!(!CycleLog::default().is_quiet(now, Duration::ZERO));
        assert!(!CycleLog { opened: Some(now), ..CycleLog::default() }.is_quiet(now, Duration::ZERO));
    }

    #[test]
    fn names_of_files_do_not_count_as_cycles() {
        let now = long_ago();
        let name = "e2e-run-latency.txt";
        let log = log(now, &[(3, SENDING), (3, "Synced error failed.txt"), (2, name), (1, SYNCED)]);
        assert_eq!(log.ends.len(), 1);
        let soon = now - Duration::from_secs(1);
        assert!(log.ended_after(name, 0, soon));
        assert!(!log.ended_after(name, 0, now), "another cycle has brought it");
        assert!(!log.ended_after(name, 1, soon), "that was an earlier copy");
        assert!(log.listings("e2e-run-other.txt").is_empty());
        assert!(!log.ended_after("e2e-run-other.txt", 0, now), "that cycle ended before");
    }
}
