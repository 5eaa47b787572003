//! The followed log of a sidecar: whether the cycle that copied a file has ended, and whether the sidecar pauses.
//!
//! Backlog lines are dated by their timestamps, live lines by this machine's monotonic clock.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::patterns::LogPatterns;
use super::sync_log::SyncLog;
use crate::cluster::api_error::ApiError;

/// How long the backlog of a log may take to arrive.
pub(super) const BACKLOG: Duration = Duration::from_secs(1);
/// Remove no file from an export when the next cycle is nearer than this: a file that vanishes under a running rsync makes
/// it exit with 24, which ends a sidecar that runs under `set -e` (observed: 23 of 117 cycles).
const GUARD: Duration = Duration::from_secs(2);
/// A line this soon after the end of a cycle still belongs to it, such as delayed standard error.
const TRAILING_LINES: Duration = Duration::from_millis(250);
/// With shorter pauses than this, waiting for one is pointless.
const MIN_PAUSE: Duration = Duration::from_millis(500);
/// A sidecar that logs nothing for this long is not in the middle of a cycle.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(35);
/// How often to fetch the log of a silent sidecar; silence counts for twice as long after a fetch.
const FETCH_INTERVAL: Duration = Duration::from_secs(5);
/// How many lines that mention this run's files to keep, and how much of each.
const MAX_MENTIONS: usize = 20_000;
const MAX_MENTION: usize = 512;

#[derive(Debug, Clone, Default)]
pub struct LogState {
    pub(super) opened: Option<Instant>,
    /// When the log was last fetched without following: up to then, the sidecar logged no more than is known.
    pub(super) fetched: Option<Instant>,
    /// When the last cycles ended, oldest first; the newest 16.
    ends: Vec<(Instant, Timestamp)>,
    pub(super) last_line: Option<LastLine>,
    failed: Option<Timestamp>,
    /// The shortest time from the end of a cycle to the next line.
    pause: Option<Duration>,
    /// Its interval stands in for `pause` until there was one.
    pub sync_log: SyncLog,
    /// The ends of lines that mention this run's files.
    mentions: Vec<(String, Timestamp)>,
    pub error: Option<ApiError>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LastLine {
    at: Instant,
    /// Whether the sidecar pauses since: a cycle ended, or rsync failed.
    is_pausing: bool,
}

impl LogState {
    /// Each time at which the log listed the file as copied, including previous runs of the container.
    pub fn listings(&self, name: &str) -> Vec<Timestamp> {
        let listed = self.mentions.iter().filter(|(line, _)| line.ends_with(name));
        listed.map(|(_, stamp)| *stamp).collect()
    }

    /// Whether the cycle that copied the file has ended. The file was listed `before` times when it was written, and arrived
    /// at `noticed`.
    pub fn copying_cycle_ended(&self, name: &str, before: usize, noticed: Instant) -> bool {
        match self.listings(name).as_slice() {
            // rsync without -v lists nothing.
            [] => self.any_cycle_ended_since(noticed),
            listings @ [.., last] if listings.len() > before => {
                let Some((at, _)) = self.ends.iter().find(|(_, stamp)| stamp > last) else { return false };
                // A file that arrived long after this cycle may come from another one.
                *at + TRAILING_LINES >= noticed || self.any_cycle_ended_since(noticed)
            }
            _ => false,
        }
    }

    pub fn any_cycle_ended_since(&self, moment: Instant) -> bool {
        self.ends.iter().any(|(at, _)| *at >= moment)
    }

    /// How many of the last 16 cycles ended after the moment.
    pub fn ends_after(&self, moment: Timestamp) -> usize {
        self.ends.iter().filter(|(_, stamp)| *stamp > moment).count()
    }

    pub fn cycle_ends(&self) -> impl Iterator<Item = Instant> {
        self.ends.iter().map(|(at, _)| *at)
    }

    /// Whether the user may not read the log; after other errors, it is opened again.
    pub fn is_denied(&self) -> bool {
        matches!(self.error, Some(ApiError::Forbidden { .. } | ApiError::Unauthorized { .. }))
    }

    /// Whether a file can be removed from the export now without vanishing under a running rsync. A command takes `lag`.
    pub(super) fn is_pausing(&self, now: Instant, lag: Duration) -> bool {
        if let Some(ApiError::NotFound { .. }) = self.error {
            // The sidecar is gone with its pod.
            return true;
        }
        // Something on the way may mute a stream, so only a recent fetch proves silence.
        let fetched = self.fetched.filter(|fetched| now.saturating_duration_since(*fetched) < 2 * FETCH_INTERVAL);
        let Some(LastLine { at: last, is_pausing }) = self.last_line else { return fetched.is_some() };
        let silence = now.saturating_duration_since(last);
        let pause = self.pause.or(self.sync_log.interval);
        let is_silent = |fetched| fetched >= last + MAX_SILENCE.max(pause.unwrap_or_default() + GUARD);
        match pause {
            _ if fetched.is_some_and(is_silent) => true,
            Some(pause) if pause < MIN_PAUSE => true,
            _ if !is_pausing => false,
            // Use at least the first half of a short pause.
            Some(pause) => silence + GUARD.max(lag).min(pause / 2) < pause,
            None => silence < GUARD / 2,
        }
    }

    /// How long the stream may be silent before the log has to be fetched.
    pub(super) fn silence_limit(&self, now: Instant, lag: Duration) -> Duration {
        let next_fetch = if self.fetched.is_none() { BACKLOG.max(lag) } else { FETCH_INTERVAL };
        let Some(LastLine { at: last, .. }) = self.last_line else { return next_fetch };
        let cycle = self.pause.or(self.sync_log.interval).map_or(MAX_SILENCE, |pause| pause + GUARD);
        Some((last + cycle).saturating_duration_since(now)).filter(|left| !left.is_zero()).unwrap_or(next_fetch)
    }

    pub(super) fn push(&mut self, line: &str, at: Instant, stamp: Timestamp, patterns: &LogPatterns, run: &str) {
        let is_end = patterns.end.is_match(line);
        self.sync_log.push(line, stamp, patterns);
        if line.contains(run) && !line.starts_with("deleting ") && self.mentions.len() < MAX_MENTIONS {
            let tail = line.char_indices().rev().nth(MAX_MENTION).map_or(0, |(at, _)| at);
            self.mentions.push((line[tail..].to_owned(), stamp));
        }
        let was_pausing = self.last_line.is_some_and(|last| last.is_pausing);
        if let (true, Some((_, end))) = (was_pausing, self.ends.last())
            && let Ok(pause) = Duration::try_from(stamp.duration_since(*end))
        {
            if pause < TRAILING_LINES && !is_end {
                return;
            }
            self.pause = Some(self.pause.map_or(pause, |shortest| shortest.min(pause)));
        }
        let is_error = patterns.is_error(line);
        // A comment of the sidecar right after an error does not begin a cycle.
        let is_comment = |failed: Timestamp| {
            Duration::try_from(stamp.duration_since(failed)).is_ok_and(|since| since < TRAILING_LINES)
        };
        let is_pausing = is_end || is_error || was_pausing && self.failed.is_some_and(is_comment);
        self.last_line = Some(LastLine { at, is_pausing });
        if is_error {
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
    use super::super::patterns::tests::patterns;
    use super::*;

    const RUN: &str = "e2e-run";

    const SENDING: &str = "sending incremental file list";
    const SYNCED: &str = "[03:00:30] Synced to Windows in 0s";

    /// A log that was opened long ago, with lines and their ages in seconds.
    fn log(now: Instant, lines: &[(u64, &str)]) -> LogState {
        let mut log =
            LogState { opened: Some(now - Duration::from_secs(300)), fetched: Some(now), ..LogState::default() };
        let clock: Timestamp = "2026-11-21T03:01:10Z".parse().unwrap();
        for (age, line) in lines {
            let age = Duration::from_secs(*age);
            log.push(line, now - age, clock - age, &patterns(), RUN);
        }
        log
    }

    /// In the future, so that times before it exist even if the monotonic clock started minutes ago.
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    #[test]
    fn a_pause_is_quiet_until_the_next_cycle_is_near() {
        const INTERVAL: &str = "Sync interval: 30s";
        const FAILED: &str = "rsync error: some files were not transferred (code 23) at main.c(1338) [sender=3.4.1]";
        let cycles = |since: u64| [(since + 40, SENDING), (since + 40, SYNCED), (since + 10, SENDING), (since, SYNCED)];
        let first = |since: u64, interval| [(since, interval), (since, SENDING), (since, SYNCED)];
        let failed = |last| [(20, INTERVAL), (20, SENDING), (10, FAILED), (10, last)];
        let not_rsyncs = [(9, INTERVAL), (9, SENDING), (8, "rsync error: failed (code 23)")];
        let silent = [(90, SENDING), (90, SYNCED), (60, SENDING)];
        let (now, just) = (later(), Some(0));
        for (why, lines, fetched, lag, is_pausing) in [
            ("a cycle has just ended", &cycles(0)[..], just, 0, true),
            ("pauses for 30 s", &cycles(20), just, 0, true),
            ("the pause ends soon", &cycles(28), just, 0, false),
            ("copies for 10 s", &cycles(31), just, 0, false),
            ("time left for a slow command", &first(20, INTERVAL), just, 9, true),
            ("no time left for a slow command", &first(22, INTERVAL), just, 9, false),
            ("the first half of the pause always counts", &first(14, INTERVAL), just, 81, true),
            ("the second half does not", &first(15, INTERVAL), just, 81, false),
            ("the first pause, known from the interval", &first(27, INTERVAL), just, 0, true),
            ("the first pause ends soon", &first(29, INTERVAL), just, 0, false),
            ("unknown interval, right after the end", &first(0, "no interval"), just, 0, true),
            ("unknown interval, later", &first(1, "no interval"), just, 0, false),
            ("still lists files", &[(60, SYNCED), (30, SENDING), (3, "a.txt")], just, 0, false),
            ("the first cycle", &[(1, "=== Starting ==="), (0, SENDING)], just, 0, false),
            ("rsync has failed", &failed(FAILED), just, 0, true),
            ("a comment on the failure", &failed("[03:00:50] Not all was synced"), just, 0, true),
            ("a file named like a failure", &not_rsyncs, just, 0, false),
            ("copies again after a failure", &[(20, INTERVAL), (20, FAILED), (10, SENDING)], just, 0, false),
            ("nothing logged yet", &[], just, 0, true),
            ("nothing logged, or a muted stream", &[], None, 0, false),
            ("logs nothing any more", &silent, just, 0, true),
            ("was silent a moment ago", &silent, Some(3), 0, true),
            ("may have begun since", &silent, Some(30), 0, false),
            ("silent, or a muted stream", &silent, None, 0, false),
            ("31 s of silence are too few", &[(60, SYNCED), (40, SENDING)], Some(9), 0, false),
            ("a pause needs no fetch", &[(60, INTERVAL), (10, SYNCED)], None, 0, true),
        ] {
            let fetched = fetched.map(|ago| now - Duration::from_secs(ago));
            let log = LogState { fetched, ..log(now, lines) };
            assert_eq!(log.is_pausing(now, Duration::from_secs(lag)), is_pausing, "{why}: {lines:?}");
        }
        for opened in [None, Some(now)] {
            assert!(
                !LogState { opened, ..LogState::default() }.is_pausing(now, Duration::ZERO),
                "nothing was read yet"
            );
        }
    }

    #[test]
    fn ends_after_a_moment_exclude_the_moment() {
        let log = log(later(), &[(40, SYNCED), (20, SYNCED), (10, SYNCED)]);
        assert_eq!(log.ends_after(log.ends[0].1), 2);
    }

    #[test]
    fn a_delayed_line_belongs_to_the_cycle_that_ended() {
        let now = later();
        let mut log = log(now, &[(40, SENDING), (40, SYNCED), (10, SENDING), (10, SYNCED)]);
        let (at, stamp) = log.ends[1];
        let soon = Duration::from_millis(100);
        log.push("next sync in 30s", at + soon, stamp + soon, &patterns(), RUN);
        assert!(log.is_pausing(now, Duration::ZERO));
        assert_eq!(log.pause, Some(Duration::from_secs(30)));
        log.push(SENDING, at + TRAILING_LINES, stamp + TRAILING_LINES, &patterns(), RUN);
        assert_eq!(log.pause, Some(TRAILING_LINES), "the next cycle");
    }

    #[test]
    fn a_stream_may_be_silent_as_long_as_the_sidecar_usually_is() {
        let now = later();
        let limit = |log: &LogState| log.silence_limit(now, Duration::ZERO).as_secs();
        assert_eq!(limit(&log(now, &[(20, "Sync interval: 30s"), (10, SYNCED)])), 22);
        assert_eq!(limit(&log(now, &[(50, SYNCED), (10, SENDING)])), 32, "as long as the last pause");
        assert_eq!(limit(&log(now, &[(10, "no interval")])), 25);
        assert_eq!(limit(&log(now, &[(90, "no interval")])), FETCH_INTERVAL.as_secs(), "until the next fetch");
        let limits = [limit(&LogState::default()), limit(&log(now, &[]))];
        assert_eq!(limits, [BACKLOG, FETCH_INTERVAL].map(|it| it.as_secs()));
    }

    #[test]
    fn a_sidecar_without_pauses_is_always_quiet() {
        let now = later();
        let mut log = log(now, &[(1, SENDING), (0, SYNCED)]);
        let (at, stamp) = log.ends[0];
        let soon = Duration::from_millis(80);
        log.push("e2e-run-a.txt", at + soon, stamp + soon, &patterns(), RUN);
        log.push(SYNCED, at + soon, stamp + soon, &patterns(), RUN);
        log.push(SENDING, at + soon * 4, stamp + soon * 4, &patterns(), RUN);
        assert!(log.is_pausing(now + soon * 4, Duration::ZERO));
        assert_eq!(log.listings("e2e-run-a.txt").len(), 1, "kept, although soon after the end of a cycle");
    }

    #[test]
    fn the_cycle_that_copied_a_file_is_distinguished_from_others() {
        let now = later();
        let name = "e2e-run-latency.txt";
        let log = log(now, &[(3, SENDING), (3, "Synced error failed.txt"), (2, name), (1, SYNCED)]);
        assert_eq!(log.ends.len(), 1, "a file's name does not end a cycle");
        let soon = now - Duration::from_secs(1);
        for (name, before, noticed, has_ended) in [
            (name, 0, soon, true),
            // Another cycle copied it.
            (name, 0, now, false),
            // The listing is of an earlier copy.
            (name, 1, soon, false),
            // Not listed, and the cycle ended before.
            ("e2e-run-other.txt", 0, now, false),
        ] {
            assert_eq!(log.copying_cycle_ended(name, before, noticed), has_ended, "{name}, {before}");
        }
    }
}
