//! The log of a sidecar that is followed: whether a cycle has ended that brought a file, and whether rsync rests.
//!
//! Ages come from the log's own timestamps; for lines that arrive live, from this machine's monotonic clock.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::sync_log::SyncLog;
use super::words::Words;
use crate::cluster::api_error::ApiError;

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

#[derive(Debug, Clone, Default)]
pub struct CycleLog {
    pub(super) opened: Option<Instant>,
    /// When it was last asked what the sidecar had said, because a stream was silent: it had said no more than is known.
    pub(super) heard: Option<Instant>,
    /// When the last cycles ended, oldest first; the newest 16.
    ends: Vec<(Instant, Timestamp)>,
    /// When the sidecar last said anything, and whether no rsync runs since: it ended a cycle, or failed.
    pub(super) last: Option<(Instant, bool)>,
    failed: Option<Timestamp>,
    /// The shortest time seen from the end of a cycle to the next thing that the sidecar said: its sleep.
    pause: Option<Duration>,
    /// Its interval is what its sleep will be, before one was seen.
    pub said: SyncLog,
    /// Lines that mention this run's files, or their ends.
    marked: Vec<(String, Timestamp)>,
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

    /// How many of the last 16 ends of cycles came after the moment.
    pub fn ends_after(&self, moment: Timestamp) -> usize {
        self.ends.iter().filter(|(_, stamp)| *stamp > moment).count()
    }

    pub fn moments(&self) -> impl Iterator<Item = Instant> {
        self.ends.iter().map(|(at, _)| *at)
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
        let pause = self.pause.or(self.said.interval);
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
        let cycle = self.pause.or(self.said.interval).map_or(SILENT, |pause| pause + GUARD);
        Some((last + cycle).saturating_duration_since(now)).filter(|left| !left.is_zero()).unwrap_or(again)
    }

    /// Takes in a line; those that mention this run, which its files have in their names, are kept.
    pub(super) fn take(&mut self, line: &str, at: Instant, stamp: Timestamp, words: &Words, run: &str) {
        let is_end = words.end.is_match(line);
        self.said.take(line, stamp, words);
        if line.contains(run) && !line.starts_with("deleting ") && self.marked.len() < MARKED {
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
        let is_failure = words.fails(line);
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::tests::words;
    use super::*;

    const RUN: &str = "e2e-run";

    const SENDING: &str = "sending incremental file list";
    const SYNCED: &str = "[03:00:30] Synced to Windows in 0s";

    /// A log that was opened long ago, with lines written so many seconds before `now`.
    fn log(now: Instant, lines: &[(u64, &str)]) -> CycleLog {
        let mut log =
            CycleLog { opened: Some(now - Duration::from_secs(300)), heard: Some(now), ..CycleLog::default() };
        let clock: Timestamp = "2026-11-21T03:01:10Z".parse().unwrap();
        for (age, line) in lines {
            let age = Duration::from_secs(*age);
            log.take(line, now - age, clock - age, &words(), RUN);
        }
        log
    }

    fn long_ago() -> Instant {
        // The monotonic clock may have started only minutes ago.
        Instant::now() + Duration::from_secs(600)
    }

    #[test]
    fn between_cycles_it_is_quiet_until_the_next_is_near() {
        const SAID: &str = "Sync interval: 30s";
        const FAILED: &str = "rsync error: some files were not transferred (code 23) at main.c(1338) [sender=3.4.1]";
        let cycles = |since: u64| [(since + 40, SENDING), (since + 40, SYNCED), (since + 10, SENDING), (since, SYNCED)];
        let first = |since: u64, interval| [(since, interval), (since, SENDING), (since, SYNCED)];
        let failed = |last| [(20, SAID), (20, SENDING), (10, FAILED), (10, last)];
        let of_no_rsync = [(9, SAID), (9, SENDING), (8, "rsync error: failed (code 23)")];
        let silent = [(90, SENDING), (90, SYNCED), (60, SENDING)];
        let (now, just) = (long_ago(), Some(0));
        for (why, lines, heard, lag, is_quiet) in [
            ("a cycle has just ended", &cycles(0)[..], just, 0, true),
            ("it sleeps for 30 s", &cycles(20), just, 0, true),
            ("it ends its sleep soon", &cycles(28), just, 0, false),
            ("it takes 10 s to copy", &cycles(31), just, 0, false),
            ("the next cycle is farther than a command takes", &first(20, SAID), just, 9, true),
            ("it is nearer", &first(22, SAID), just, 9, false),
            ("half of the sleep has to do", &first(14, SAID), just, 81, true),
            ("the second half is too near", &first(15, SAID), just, 81, false),
            ("after its first cycle it has said what it will sleep", &first(27, SAID), just, 0, true),
            ("the first sleep ends", &first(29, SAID), just, 0, false),
            ("less than the guard is known to be left", &first(0, "no word of it"), just, 0, true),
            ("nothing is known to be left", &first(1, "no word of it"), just, 0, false),
            ("it copies, however long it lists files", &[(60, SYNCED), (30, SENDING), (3, "a.txt")], just, 0, false),
            ("its first cycle", &[(1, "=== Starting ==="), (0, SENDING)], just, 0, false),
            ("rsync has failed", &failed(FAILED), just, 0, true),
            ("what it says of that begins no cycle", &failed("[03:00:50] Not all was synced"), just, 0, true),
            ("a file of that name is no failure", &of_no_rsync, just, 0, false),
            ("it copies again after a failure", &[(20, SAID), (20, FAILED), (10, SENDING)], just, 0, false),
            ("it has said nothing yet", &[], just, 0, true),
            ("the stream may be mute", &[], None, 0, false),
            ("it says nothing any more", &silent, just, 0, true),
            ("so it was just now", &silent, Some(3), 0, true),
            ("it may have begun since", &silent, Some(30), 0, false),
            ("the stream may have become mute", &silent, None, 0, false),
            ("31 s of silence were heard", &[(60, SYNCED), (40, SENDING)], Some(9), 0, false),
            ("a sleep needs no asking", &[(60, SAID), (10, SYNCED)], None, 0, true),
        ] {
            let heard = heard.map(|ago| now - Duration::from_secs(ago));
            let log = CycleLog { heard, ..log(now, lines) };
            assert_eq!(log.is_quiet(now, Duration::from_secs(lag)), is_quiet, "{why}: {lines:?}");
        }
        for opened in [None, Some(now)] {
            assert!(!CycleLog { opened, ..CycleLog::default() }.is_quiet(now, Duration::ZERO), "nothing was read yet");
        }
    }

    #[test]
    fn ends_after_a_moment_are_counted_without_it() {
        let log = log(long_ago(), &[(40, SYNCED), (20, SYNCED), (10, SYNCED)]);
        assert_eq!(log.ends_after(log.ends[0].1), 2);
    }

    #[test]
    fn a_late_line_belongs_to_the_cycle_that_ended() {
        let now = long_ago();
        let mut log = log(now, &[(40, SENDING), (40, SYNCED), (10, SENDING), (10, SYNCED)]);
        let (at, stamp) = log.ends[1];
        let soon = Duration::from_millis(100);
        log.take("next sync in 30s", at + soon, stamp + soon, &words(), RUN);
        assert!(log.is_quiet(now, Duration::ZERO));
        assert_eq!(log.pause, Some(Duration::from_secs(30)));
        log.take(SENDING, at + AFTERMATH, stamp + AFTERMATH, &words(), RUN);
        assert_eq!(log.pause, Some(AFTERMATH), "that is the next one");
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
    fn a_sidecar_that_never_rests_is_not_waited_for() {
        let now = long_ago();
        let mut log = log(now, &[(1, SENDING), (0, SYNCED)]);
        let (at, stamp) = log.ends[0];
        let soon = Duration::from_millis(80);
        log.take("e2e-run-a.txt", at + soon, stamp + soon, &words(), RUN);
        log.take(SYNCED, at + soon, stamp + soon, &words(), RUN);
        log.take(SENDING, at + soon * 4, stamp + soon * 4, &words(), RUN);
        assert!(log.is_quiet(now + soon * 4, Duration::ZERO));
        assert_eq!(log.listings("e2e-run-a.txt").len(), 1, "soon after a cycle's end, and yet not lost");
    }

    #[test]
    fn the_cycle_that_brought_a_file_is_told_from_others() {
        let now = long_ago();
        let name = "e2e-run-latency.txt";
        let log = log(now, &[(3, SENDING), (3, "Synced error failed.txt"), (2, name), (1, SYNCED)]);
        assert_eq!(log.ends.len(), 1, "a name is no end");
        let soon = now - Duration::from_secs(1);
        for (name, before, noticed, has_ended) in [
            (name, 0, soon, true),
            // Another cycle has brought it.
            (name, 0, now, false),
            // That was an earlier copy.
            (name, 1, soon, false),
            // It was not listed, and that cycle ended before.
            ("e2e-run-other.txt", 0, now, false),
        ] {
            assert_eq!(log.ended_after(name, before, noticed), has_ended, "{name}, {before}");
        }
    }
}
