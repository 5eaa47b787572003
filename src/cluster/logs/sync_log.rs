//! Reads a sidecar's log, followed or fetched: its sync cycles, their period, and rsync's errors. Pure.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::log::LogLine;
use super::patterns::LogPatterns;

const MAX_ERRORS: usize = 3;
const MAX_CYCLES: usize = 256;
/// How much of a line to quote, in characters.
const MAX_QUOTE: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    /// The pause before it, since the end of the previous cycle, in milliseconds; `None` if unknown, as after a restart.
    pub paused: Option<i64>,
    pub errors: Vec<String>,
    pub excuse: Option<String>,
}

impl Cycle {
    /// Its duration in milliseconds.
    pub fn copying(&self) -> Option<i64> {
        Some(millis(self.began, self.ended?))
    }
}

#[derive(Debug, Clone, Default)]
pub struct SyncLog {
    /// Oldest first.
    pub cycles: Vec<Cycle>,
    /// The interval that the sidecar logged when it started.
    pub interval: Option<Duration>,
    last_end: Option<Timestamp>,
    /// The shortest time from the end of a cycle to the next end: a suspended machine makes single ones long.
    shortest: Option<Duration>,
    /// When the last cycle ended, if nothing was logged since.
    paused_since: Option<Timestamp>,
    /// rsync's explanation of an error, which precedes its final error line with the exit code.
    cause: Option<String>,
    /// The last explanation and the last final error: since the end of the last cycle, and in the cycle before.
    causes: [Option<LogLine>; 2],
    failures: [Option<LogLine>; 2],
    /// Whether lines are currently names of copied files.
    is_listing: bool,
    pub copied: Option<LogLine>,
}

impl SyncLog {
    pub fn read(lines: &[LogLine], patterns: &LogPatterns) -> Self {
        Self::default().extended(lines, patterns)
    }

    /// Reads a log whose beginning is missing: its first lines may be names of copied files.
    pub fn read_tail(lines: &[LogLine], patterns: &LogPatterns) -> Self {
        Self { is_listing: true, ..Self::default() }.extended(lines, patterns)
    }

    fn extended(mut self, lines: &[LogLine], patterns: &LogPatterns) -> Self {
        for (stamp, line) in lines {
            self.push(line, *stamp, patterns);
        }
        self
    }

    pub(super) fn push(&mut self, line: &str, stamp: Timestamp, patterns: &LogPatterns) {
        let paused_since = self.paused_since;
        if !line.trim().is_empty() {
            // A line between two cycles, such as after a restart: the pause is not a plain one.
            self.paused_since = None;
        }
        if patterns.is_begin(line) {
            self.is_listing = true;
            self.begin(stamp, paused_since.map(|end| millis(end, stamp)));
        } else if patterns.end.is_match(line) {
            self.end(stamp);
        } else if patterns.is_error(line) {
            self.push_error(line, stamp);
        } else {
            self.push_other(line, stamp, patterns);
        }
    }

    fn begin(&mut self, began: Timestamp, paused: Option<i64>) {
        self.cycles.drain(..(self.cycles.len() + 1).saturating_sub(MAX_CYCLES));
        self.cycles.push(Cycle { began, ended: None, paused, errors: Vec::new(), excuse: None });
    }

    fn end(&mut self, stamp: Timestamp) {
        if let Some(cycle) = self.open_cycle() {
            cycle.ended = Some(stamp);
        }
        let period = self.last_end.and_then(|end| Duration::try_from(stamp.duration_since(end)).ok());
        self.shortest = [self.shortest, period].into_iter().flatten().min();
        self.is_listing = false;
        (self.last_end, self.paused_since, self.cause) = (Some(stamp), Some(stamp), None);
        self.causes = [None, self.causes[0].take()];
        self.failures = [None, self.failures[0].take()];
    }

    fn push_error(&mut self, line: &str, stamp: Timestamp) {
        // A cycle that failed before it listed files logs nothing but the error.
        if self.open_cycle().is_none() {
            self.begin(stamp, None);
        }
        self.failures[0] = Some((stamp, quoted(line)));
        let error = self.cause.take().map_or_else(|| line.to_owned(), |cause| format!("{cause}; {line}"));
        if let Some(cycle) = self.open_cycle().filter(|cycle| cycle.errors.len() < MAX_ERRORS) {
            cycle.errors.push(error);
        }
    }

    fn push_other(&mut self, line: &str, stamp: Timestamp, patterns: &LogPatterns) {
        self.is_listing &= !line.starts_with("sent ");
        // rsync's own lines, and the folder itself.
        let is_own = line.is_empty() || line == "./" || line.starts_with("rsync") || line.starts_with("total size ");
        if self.is_listing && !is_own {
            self.copied = Some((stamp, quoted(line)));
        }
        if is_cause(line) {
            self.cause = Some(line.to_owned());
            self.causes[0] = Some((stamp, quoted(line)));
        }
        if patterns.excuse.as_ref().is_some_and(|excuse| excuse.is_match(line))
            && let Some(cycle) = self.open_cycle()
        {
            cycle.excuse = Some(line.to_owned());
        }
        let interval = patterns.interval.captures(line).and_then(|found| found.get(1)?.as_str().parse().ok());
        self.interval = interval.map(|seconds: u32| Duration::from_secs(seconds.into())).or(self.interval);
    }

    fn open_cycle(&mut self) -> Option<&mut Cycle> {
        self.cycles.last_mut().filter(|cycle| cycle.ended.is_none())
    }

    /// The time between two cycles: observed, else the logged interval; `None` if unknown.
    pub fn period(&self) -> Option<Duration> {
        self.shortest.or(self.interval).filter(|period| !period.is_zero())
    }

    /// rsync's last error in the last ended cycle or since; an error before a successful cycle is past.
    pub fn last_error(&self) -> Option<&LogLine> {
        // A cause names the file and the error, a final error only the exit code.
        self.causes.iter().chain(&self.failures).flatten().next()
    }
}

/// Whether the line is rsync's explanation of an error, which ends with its number. A broken pipe is only a consequence.
fn is_cause(line: &str) -> bool {
    let line = line.trim_end();
    line.starts_with("rsync: ") && line.ends_with(')') && !line.ends_with("Broken pipe (32)")
}

fn quoted(line: &str) -> String {
    line.trim().chars().take(MAX_QUOTE).collect()
}

fn millis(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;

    use super::super::patterns::tests::patterns;
    use super::*;

    const BEGIN: &str = "sending incremental file list";
    const END: &str = "[03:00:00] Synced to Windows in 0s";
    const ERROR: &str = "rsync error: some files were not transferred (code 23) at main.c(1338) [sender=3.4.1]";
    const CAUSE: &str = "rsync: [receiver] write failed on \"/windows-mount/a.txt\": No space left on device (28)";
    const GONE: &str = "rsync: [sender] write error: Broken pipe (32)";

    /// A log of lines with their times in milliseconds.
    fn read(lines: &[(i64, &str)]) -> SyncLog {
        let start: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let line = |(at, line): &(i64, &str)| (start + SignedDuration::from_millis(*at), (*line).to_owned());
        SyncLog::read(&lines.iter().map(line).collect::<Vec<_>>(), &patterns())
    }

    #[test]
    fn a_pause_lasts_from_the_end_of_a_cycle_to_the_next_begin() {
        let elsewhere = "[12:59:59] Synced to Windows in 0s";
        for (text, pause) in [
            (
                &[(0, BEGIN), (10, "a rsync error: failed.txt"), (40, ""), (50, END), (5_090, BEGIN), (5_100, END)][..],
                Some(5_040),
            ),
            // A clock in a line does not count, and a restart is not a pause.
            (&[(0, BEGIN), (50, elsewhere), (5_050, BEGIN), (5_100, END)], Some(5_000)),
            (&[(0, BEGIN), (50, END), (900, "=== Starting ==="), (950, BEGIN), (990, END)], None),
        ] {
            let cycles = read(text).cycles;
            assert_eq!(cycles.iter().map(|cycle| cycle.paused).collect::<Vec<_>>(), [None, pause], "{text:?}");
            assert!(
                cycles.iter().all(|cycle| cycle.errors.is_empty() && cycle.ended.is_some()),
                "a file's name is no error"
            );
        }
    }

    #[test]
    fn an_error_counts_even_if_the_cycle_ends_as_synced() {
        let errors = |text: &[(i64, &str)]| -> Vec<Vec<String>> {
            read(text).cycles.into_iter().map(|cycle| cycle.errors).collect()
        };
        let caused = errors(&[(0, BEGIN), (15, CAUSE), (20, ERROR), (21, GONE), (900, BEGIN), (910, ERROR)]);
        assert_eq!(caused, [vec![format!("{CAUSE}; {ERROR}")], vec![ERROR.to_owned()]], "a cause is reported once");
        let past = errors(&[(0, BEGIN), (15, CAUSE), (20, END), (900, BEGIN), (910, ERROR)]);
        assert_eq!(past[1], [ERROR], "the cause belongs to another cycle");
        let instead = errors(&[(0, ERROR), (50, END), (5_000, ERROR), (5_050, END)]);
        assert_eq!((instead.len(), instead[1].len()), (2, 1));
        let discarded = "ERROR: busy.bin failed verification -- update discarded.";
        let excused = read(&[(0, BEGIN), (5, "busy.bin"), (20, discarded), (30, ERROR), (60, END)]);
        let [cycle] = &excused.cycles[..] else { panic!("{excused:?}") };
        assert_eq!((cycle.excuse.as_deref(), cycle.errors.len()), (Some(discarded), 1));
    }

    #[test]
    fn an_error_is_the_last_one_until_a_cycle_ends_without_errors() {
        for (text, error, why) in [
            (&[(0, END), (30, CAUSE), (30, ERROR), (30, GONE)][..], Some(CAUSE), "a cause has more details"),
            (&[(0, END), (30, ERROR), (30, END)], Some(ERROR), "although the sidecar logs Synced"),
            (&[(0, CAUSE), (0, END), (30, ERROR)], Some(CAUSE), "an older cause still has more details"),
            (&[(0, ERROR), (0, END), (30, END)], None, "past"),
            (&[(0, "rsync error: failed (code 23)"), (0, END)], None, "a file's name"),
        ] {
            assert_eq!(read(text).last_error().map(|(_, line)| line.as_str()), error, "{why}");
        }
    }

    #[test]
    fn names_in_the_list_of_a_cycle_are_copied_files() {
        let copied = |log: SyncLog| log.copied.map(|(_, name)| name);
        let at = |lines: &[&'static str]| lines.iter().map(|line| (0, *line)).collect::<Vec<_>>();
        let idle = at(&["=== Starting ===", BEGIN, "", "sent 5 bytes", "total size is 0", END, "next sync soon"]);
        let copying = at(&[BEGIN, "./", "total error.bin", "", "sent 5 bytes"]);
        let failing = at(&[BEGIN, "rsync: mkdir failed", "rsync error: code 11"]);
        assert_eq!(
            [idle, copying, failing].map(|lines| copied(read(&lines))),
            [None, Some("total error.bin".into()), None]
        );
        let cut = [(Timestamp::UNIX_EPOCH, "one.bin".to_owned()), (Timestamp::UNIX_EPOCH, "two.bin".to_owned())];
        assert_eq!(copied(SyncLog::read_tail(&cut, &patterns())).as_deref(), Some("two.bin"));
    }

    #[test]
    fn the_period_is_the_shortest_observed_or_the_logged_interval() {
        let period = |text: &[(i64, &str)]| read(text).period().map(|period| period.as_secs());
        assert_eq!(period(&[(0, "Sync interval: 9s"), (1_000, END), (31_000, END), (900_000, END)]), Some(30));
        assert_eq!(period(&[(0, "Sync interval: 9s"), (1_000, END)]), Some(9));
        assert_eq!((period(&[(0, "Sync interval: 0s")]), period(&[])), (None, None));
    }
}
