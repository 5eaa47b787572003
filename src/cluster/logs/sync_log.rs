//! What a sidecar says in its log: its sync cycles, how far they are apart, and rsync's errors. The one reader, for logs that are
//! followed and for those that are fetched. Pure.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::log::LogLine;
use super::words::Words;

/// So many errors of a cycle are kept.
const ERRORS: usize = 3;
/// So many cycles are kept: a log goes on for ever.
const CYCLES: usize = 256;
/// So much of a line is quoted.
const QUOTED: usize = 200;

/// One cycle, on the log's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    /// How long the sidecar had paused since the end of the cycle before, in milliseconds; `None` where that is not
    /// known, as after a restart.
    pub paused: Option<i64>,
    pub errors: Vec<String>,
    pub excuse: Option<String>,
}

impl Cycle {
    /// How long it took, in milliseconds.
    pub fn copying(&self) -> Option<i64> {
        Some(millis(self.began, self.ended?))
    }
}

#[derive(Debug, Clone, Default)]
pub struct SyncLog {
    /// Oldest first.
    pub cycles: Vec<Cycle>,
    /// The interval that the sidecar said when it started.
    pub interval: Option<Duration>,
    /// When the last cycle ended, and the shortest time from such an end to the next: a machine that slept makes one long.
    last_end: Option<Timestamp>,
    apart: Option<Duration>,
    /// When the last cycle ended, if nothing was said since.
    paused_since: Option<Timestamp>,
    /// What rsync said went wrong, before its last word, which has the exit code alone.
    cause: Option<String>,
    /// Such a cause, and such a last word, since the last end of a cycle and in the cycle before it.
    causes: [Option<LogLine>; 2],
    failures: [Option<LogLine>; 2],
    /// Whether what is said is the list of a cycle, and the newest file in one.
    is_listing: bool,
    pub copied: Option<LogLine>,
}

impl SyncLog {
    pub fn read(lines: &[LogLine], words: &Words) -> Self {
        Self::default().and(lines, words)
    }

    /// The same of a log whose beginning is cut off: it begins in a list.
    pub fn read_cut(lines: &[LogLine], words: &Words) -> Self {
        Self { is_listing: true, ..Self::default() }.and(lines, words)
    }

    fn and(mut self, lines: &[LogLine], words: &Words) -> Self {
        for (stamp, line) in lines {
            self.take(line, *stamp, words);
        }
        self
    }

    pub(super) fn take(&mut self, line: &str, stamp: Timestamp, words: &Words) {
        let paused_since = self.paused_since;
        if !line.trim().is_empty() {
            // What is said, such as by a sidecar that starts again, makes what follows no plain pause.
            self.paused_since = None;
        }
        if words.begins(line) {
            self.is_listing = true;
            self.begin(stamp, paused_since.map(|end| millis(end, stamp)));
        } else if words.end.is_match(line) {
            self.end(stamp);
        } else if words.fails(line) {
            self.fail(line, stamp);
        } else {
            self.remark(line, stamp, words);
        }
    }

    fn begin(&mut self, began: Timestamp, paused: Option<i64>) {
        self.cycles.drain(..(self.cycles.len() + 1).saturating_sub(CYCLES));
        self.cycles.push(Cycle { began, ended: None, paused, errors: Vec::new(), excuse: None });
    }

    fn end(&mut self, stamp: Timestamp) {
        if let Some(cycle) = self.open() {
            cycle.ended = Some(stamp);
        }
        let apart = self.last_end.and_then(|end| Duration::try_from(stamp.duration_since(end)).ok());
        self.apart = [self.apart, apart].into_iter().flatten().min();
        self.is_listing = false;
        (self.last_end, self.paused_since, self.cause) = (Some(stamp), Some(stamp), None);
        self.causes = [None, self.causes[0].take()];
        self.failures = [None, self.failures[0].take()];
    }

    fn fail(&mut self, line: &str, stamp: Timestamp) {
        // Of a cycle that did not even begin to list files, the error is all there is.
        if self.open().is_none() {
            self.begin(stamp, None);
        }
        self.failures[0] = Some((stamp, quoted(line)));
        let error = self.cause.take().map_or_else(|| line.to_owned(), |cause| format!("{cause}; {line}"));
        if let Some(cycle) = self.open().filter(|cycle| cycle.errors.len() < ERRORS) {
            cycle.errors.push(error);
        }
    }

    fn remark(&mut self, line: &str, stamp: Timestamp, words: &Words) {
        self.is_listing &= !line.starts_with("sent ");
        // rsync's own words, and the folder itself.
        let is_own = line.is_empty() || line == "./" || line.starts_with("rsync") || line.starts_with("total size ");
        if self.is_listing && !is_own {
            self.copied = Some((stamp, quoted(line)));
        }
        if is_cause(line) {
            self.cause = Some(line.to_owned());
            self.causes[0] = Some((stamp, quoted(line)));
        }
        if words.excuse.as_ref().is_some_and(|excuse| excuse.is_match(line))
            && let Some(cycle) = self.open()
        {
            cycle.excuse = Some(line.to_owned());
        }
        let interval = words.interval.captures(line).and_then(|found| found.get(1)?.as_str().parse().ok());
        self.interval = interval.map(|seconds: u32| Duration::from_secs(seconds.into())).or(self.interval);
    }

    fn open(&mut self) -> Option<&mut Cycle> {
        self.cycles.last_mut().filter(|cycle| cycle.ended.is_none())
    }

    /// How far two cycles are apart: as they were, or else as the sidecar said when it started; `None` if it is not known.
    pub fn period(&self) -> Option<Duration> {
        self.apart.or(self.interval).filter(|period| !period.is_zero())
    }

    /// rsync's last error, in the last cycle that ended or since: one that a later cycle did without is past.
    pub fn last_error(&self) -> Option<&LogLine> {
        // A cause names the file and the error, a last word only the exit code.
        self.causes.iter().chain(&self.failures).flatten().next()
    }
}

/// Whether rsync says what went wrong, with the number of the error at the end; that its other half is gone is no cause.
fn is_cause(line: &str) -> bool {
    let line = line.trim_end();
    line.starts_with("rsync: ") && line.ends_with(')') && !line.ends_with("Broken pipe (32)")
}

fn quoted(line: &str) -> String {
    line.trim().chars().take(QUOTED).collect()
}

fn millis(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;

    use super::super::words::tests::words;
    use super::*;

    const BEGIN: &str = "sending incremental file list";
    const END: &str = "[03:00:00] Synced to Windows in 0s";
    const ERROR: &str = "rsync error: some files were not transferred (code 23) at main.c(1338) [sender=3.4.1]";
    const CAUSE: &str = "rsync: [receiver] write failed on \"/windows-mount/a.txt\": No space left on device (28)";
    const GONE: &str = "rsync: [sender] write error: Broken pipe (32)";

    /// A log with lines written so many milliseconds after a moment.
    fn read(lines: &[(i64, &str)]) -> SyncLog {
        let start: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let line = |(at, line): &(i64, &str)| (start + SignedDuration::from_millis(*at), (*line).to_owned());
        SyncLog::read(&lines.iter().map(line).collect::<Vec<_>>(), &words())
    }

    #[test]
    fn a_pause_is_from_the_end_of_a_cycle_to_the_next_beginning() {
        let elsewhere = "[12:59:59] Synced to Windows in 0s";
        for (text, pause) in [
            (
                &[(0, BEGIN), (10, "a rsync error: failed.txt"), (40, ""), (50, END), (5_090, BEGIN), (5_100, END)][..],
                Some(5_040),
            ),
            // The clock in a line means nothing, and a restart makes no pause.
            (&[(0, BEGIN), (50, elsewhere), (5_050, BEGIN), (5_100, END)], Some(5_000)),
            (&[(0, BEGIN), (50, END), (900, "=== Starting ==="), (950, BEGIN), (990, END)], None),
        ] {
            let cycles = read(text).cycles;
            assert_eq!(cycles.iter().map(|cycle| cycle.paused).collect::<Vec<_>>(), [None, pause], "{text:?}");
            assert!(cycles.iter().all(|cycle| cycle.errors.is_empty() && cycle.ended.is_some()), "names are no errors");
        }
    }

    #[test]
    fn an_error_is_seen_although_the_cycle_says_that_it_ended_well() {
        let errors = |text: &[(i64, &str)]| -> Vec<Vec<String>> {
            read(text).cycles.into_iter().map(|cycle| cycle.errors).collect()
        };
        let caused = errors(&[(0, BEGIN), (15, CAUSE), (20, ERROR), (21, GONE), (900, BEGIN), (910, ERROR)]);
        assert_eq!(caused, [vec![format!("{CAUSE}; {ERROR}")], vec![ERROR.to_owned()]], "a cause is told once");
        let past = errors(&[(0, BEGIN), (15, CAUSE), (20, END), (900, BEGIN), (910, ERROR)]);
        assert_eq!(past[1], [ERROR], "that was another cycle's");
        let instead = errors(&[(0, ERROR), (50, END), (5_000, ERROR), (5_050, END)]);
        assert_eq!((instead.len(), instead[1].len()), (2, 1));
        let discarded = "ERROR: busy.bin failed verification -- update discarded.";
        let excused = read(&[(0, BEGIN), (5, "busy.bin"), (20, discarded), (30, ERROR), (60, END)]);
        let [cycle] = &excused.cycles[..] else { panic!("{excused:?}") };
        assert_eq!((cycle.excuse.as_deref(), cycle.errors.len()), (Some(discarded), 1));
    }

    #[test]
    fn an_error_counts_until_a_cycle_ends_without_one() {
        for (text, error, why) in [
            (&[(0, END), (30, CAUSE), (30, ERROR), (30, GONE)][..], Some(CAUSE), "the cause says more"),
            (&[(0, END), (30, ERROR), (30, END)], Some(ERROR), "the sidecar says Synced anyway"),
            (&[(0, CAUSE), (0, END), (30, ERROR)], Some(CAUSE), "the cause still says more"),
            (&[(0, ERROR), (0, END), (30, END)], None, "it is past"),
            (&[(0, "rsync error: failed (code 23)"), (0, END)], None, "that is a file's name"),
        ] {
            assert_eq!(read(text).last_error().map(|(_, line)| line.as_str()), error, "{why}");
        }
    }

    #[test]
    fn names_between_the_beginning_and_the_end_of_a_list_are_copied() {
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
        assert_eq!(copied(SyncLog::read_cut(&cut, &words())).as_deref(), Some("two.bin"));
    }

    #[test]
    fn the_period_is_the_shortest_seen_or_the_interval_that_was_said() {
        let period = |text: &[(i64, &str)]| read(text).period().map(|period| period.as_secs());
        assert_eq!(period(&[(0, "Sync interval: 9s"), (1_000, END), (31_000, END), (900_000, END)]), Some(30));
        assert_eq!(period(&[(0, "Sync interval: 9s"), (1_000, END)]), Some(9));
        assert_eq!((period(&[(0, "Sync interval: 0s")]), period(&[])), (None, None));
    }
}
