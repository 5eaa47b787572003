//! A sidecar's log as a list of sync cycles. Pure.

use jiff::Timestamp;
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::tail::is_error;
use crate::cluster::LogLine;

/// So many errors of a cycle are kept.
const ERRORS: usize = 3;

/// What tells the lines of a log apart.
#[derive(Debug, Clone, Copy)]
pub struct Marks<'a> {
    /// A cycle begins.
    pub begin: &'a Regex,
    /// A cycle ends.
    pub end: &'a Regex,
    /// Something went wrong.
    pub error: &'a Regex,
    /// It went wrong because a client wrote to a file while it was copied, which is the client's good right.
    pub excuse: &'a Regex,
}

/// One cycle, on the cluster's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// When it began.
    pub began: Timestamp,
    /// When it ended; `None` if the log does not say.
    pub ended: Option<Timestamp>,
    /// How long the sidecar had paused since the end of the cycle before, in milliseconds; `None` where that is not
    /// known, as after a restart.
    pub paused: Option<i64>,
    /// Lines that tell of errors.
    pub errors: Vec<String>,
    /// A line that excuses them.
    pub excuse: Option<String>,
}

impl Cycle {
    /// How long it took, in milliseconds; `None` if the log does not say.
    pub fn copying(&self) -> Option<i64> {
        i64::try_from(self.ended?.duration_since(self.began).as_millis()).ok()
    }
}

/// The cycles in the lines of a log.
pub fn cycles(lines: &[LogLine], marks: Marks) -> Vec<Cycle> {
    let mut cycles: Vec<Cycle> = Vec::new();
    // What rsync said went wrong, before its last word, which has the exit code alone.
    let mut cause: Option<&str> = None;
    // When the last cycle ended, if nothing was said since.
    let mut paused_since: Option<Timestamp> = None;
    for (stamp, line) in lines {
        if marks.begin.is_match(line) {
            let paused = paused_since.take().and_then(|end| i64::try_from(stamp.duration_since(end).as_millis()).ok());
            cycles.push(Cycle { began: *stamp, ended: None, paused, errors: Vec::new(), excuse: None });
        } else if marks.end.is_match(line) {
            if let Some(cycle) = cycles.last_mut().filter(|cycle| cycle.ended.is_none()) {
                cycle.ended = Some(*stamp);
            }
            (cause, paused_since) = (None, Some(*stamp));
        } else if marks.error.is_match(line) {
            // Of a cycle that did not even begin to list files, the error is all there is.
            if cycles.last().is_none_or(|cycle| cycle.ended.is_some()) {
                cycles.push(Cycle { began: *stamp, ended: None, paused: None, errors: Vec::new(), excuse: None });
            }
            let error = cause.take().map_or_else(|| line.clone(), |cause| format!("{cause}; {line}"));
            if let Some(cycle) = cycles.last_mut().filter(|cycle| cycle.errors.len() < ERRORS) {
                cycle.errors.push(error);
            }
            paused_since = None;
        } else if !line.trim().is_empty() {
            cause = is_error(line).then_some(line.as_str()).or(cause);
            if let Some(cycle) = cycles.last_mut().filter(|cycle| cycle.ended.is_none() && marks.excuse.is_match(line))
            {
                cycle.excuse = Some(line.clone());
            }
            // Something else was said, such as by a sidecar that starts again: what follows is no plain pause.
            paused_since = None;
        }
    }
    cycles
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log with lines written so many milliseconds after a moment.
    fn lines(lines: &[(i64, &str)]) -> Vec<LogLine> {
        let start: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        lines.iter().map(|(at, line)| (start + jiff::SignedDuration::from_millis(*at), (*line).to_owned())).collect()
    }

    fn read(text: &[(i64, &str)]) -> Vec<Cycle> {
        let [begin, end, error, excuse] = [
            "^sending incremental file list$",
            r"^\[\d\d:\d\d:\d\d\] Synced\b",
            r"^rsync error: .*\(code \d+\)",
            "^ERROR: .* failed verification",
        ]
        .map(|pattern| Regex::new(pattern).unwrap());
        cycles(&lines(text), Marks { begin: &begin, end: &end, error: &error, excuse: &excuse })
    }

    const BEGIN: &str = "sending incremental file list";
    const END: &str = "[03:00:00] Synced to Windows in 0s";

    #[test]
    fn a_pause_is_from_the_end_of_a_cycle_to_the_next_beginning() {
        let cycles =
            read(&[(0, BEGIN), (10, "a rsync error: failed.txt"), (40, ""), (50, END), (5_090, BEGIN), (5_100, END)]);
        let pauses: Vec<_> = cycles.iter().map(|cycle| cycle.paused).collect();
        assert_eq!(pauses, [None, Some(5_040)]);
        assert!(cycles.iter().all(|cycle| cycle.errors.is_empty() && cycle.ended.is_some()), "names are no errors");
    }

    #[test]
    fn the_clock_in_a_line_means_nothing() {
        let elsewhere = "[12:59:59] Synced to Windows in 0s";
        let cycles = read(&[(0, BEGIN), (50, elsewhere), (5_050, BEGIN), (5_100, END)]);
        assert_eq!(cycles[1].paused, Some(5_000));
    }

    #[test]
    fn a_restart_makes_no_pause() {
        let cycles = read(&[(0, BEGIN), (50, END), (900, "=== Starting ==="), (950, BEGIN), (990, END)]);
        assert_eq!(cycles[1].paused, None);
    }

    #[test]
    fn an_error_is_seen_although_the_cycle_says_that_it_ended_well() {
        let error = "rsync error: error in file IO (code 11) at main.c(808)";
        let cause = "rsync: [receiver] write failed on \"/windows-mount/a.txt\": No space left on device (28)";
        let gone = "rsync: [sender] write error: Broken pipe (32)";
        let caused = read(&[(0, BEGIN), (15, cause), (20, error), (21, gone), (900, BEGIN), (910, error)]);
        assert_eq!(caused[0].errors, [format!("{cause}; {error}")]);
        assert_eq!(caused[1].errors, [error], "a cause is told once");
        let past = read(&[(0, BEGIN), (15, cause), (20, END), (900, BEGIN), (910, error)]);
        assert_eq!(past[1].errors, [error], "that was another cycle's");
        let during = read(&[(0, BEGIN), (10, "a.txt"), (20, error), (50, END)]);
        assert_eq!((during[0].errors.as_slice(), &during[0].excuse), (&[error.to_owned()][..], &None));
        let instead = read(&[(0, error), (50, END), (5_000, error), (5_050, END)]);
        assert_eq!((instead.len(), instead[1].errors.len()), (2, 1));
    }

    #[test]
    fn a_file_that_a_client_wrote_to_meanwhile_is_an_excuse() {
        let discarded = "ERROR: busy.bin failed verification -- update discarded.";
        let error =
            "rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1338)";
        let cycles = read(&[(0, BEGIN), (5, "busy.bin"), (20, discarded), (30, error), (60, END)]);
        assert_eq!((cycles[0].excuse.as_deref(), cycles[0].errors.len()), (Some(discarded), 1));
    }

    #[test]
    fn of_many_errors_the_first_are_kept() {
        let error = "rsync error: error in file IO (code 11) at main.c(808)";
        let cycles = read(&[(0, BEGIN), (1, error), (2, error), (3, error), (4, error), (5, error), (50, END)]);
        assert_eq!(cycles[0].errors.len(), ERRORS);
    }
}
