//! A sidecar's log: its sync cycles, how far they are apart, and rsync's errors. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::{Sidecar, System};
use crate::cluster::{LogLine, is_last_word};

const ERRORS: usize = 3;

/// So much of a line is quoted.
const QUOTED: usize = 200;

/// One cycle, on the cluster's clock.
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
        i64::try_from(self.ended?.duration_since(self.began).as_millis()).ok()
    }
}

pub fn cycles(lines: &[LogLine], system: &System, sidecar: &Sidecar) -> Vec<Cycle> {
    let is_excuse = |line: &str| sidecar.excuse.as_ref().is_some_and(|excuse| excuse.0.is_match(line));
    let mut cycles: Vec<Cycle> = Vec::new();
    // What rsync said went wrong, before its last word, which has the exit code alone.
    let mut cause: Option<&str> = None;
    // When the last cycle ended, if nothing was said since.
    let mut paused_since: Option<Timestamp> = None;
    for (stamp, line) in lines {
        if sidecar.cycle_begin.0.is_match(line) {
            let paused = paused_since.take().and_then(|end| i64::try_from(stamp.duration_since(end).as_millis()).ok());
            cycles.push(Cycle { began: *stamp, ended: None, paused, errors: Vec::new(), excuse: None });
        } else if sidecar.cycle_end.0.is_match(line) {
            if let Some(cycle) = cycles.last_mut().filter(|cycle| cycle.ended.is_none()) {
                cycle.ended = Some(*stamp);
            }
            (cause, paused_since) = (None, Some(*stamp));
        } else if system.tells_error(line) {
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
            if let Some(cycle) = cycles.last_mut().filter(|cycle| cycle.ended.is_none() && is_excuse(line)) {
                cycle.excuse = Some(line.clone());
            }
            // Something else was said, such as by a sidecar that starts again: what follows is no plain pause.
            paused_since = None;
        }
    }
    cycles
}

/// rsync's last error, in the last cycle that ended or since: one that a later cycle did without is past.
pub fn last_error(lines: &[LogLine], sidecar: &Sidecar) -> Option<LogLine> {
    let ends = lines.iter().enumerate().filter(|(_, (_, line))| sidecar.cycle_end.0.is_match(line));
    let begin = ends.rev().nth(1).map_or(0, |(before, _)| before + 1);
    let last = |is_it: fn(&str) -> bool| lines[begin..].iter().rev().find(|(_, line)| is_it(line.trim_end()));
    // The first names the file and the error, the second only the exit code.
    let (stamp, line) = last(is_error).or_else(|| last(is_last_word))?;
    Some((*stamp, line.trim().chars().take(QUOTED).collect()))
}

/// Whether rsync says what went wrong, with the number of the error at the end; that its other half is gone is no cause.
fn is_error(line: &str) -> bool {
    let line = line.trim_end();
    line.starts_with("rsync: ") && line.ends_with(')') && !line.ends_with("Broken pipe (32)")
}

/// How far two cycles are apart: as they were, or else as the sidecar said when it started; `None` if it is not known.
pub fn period(lines: &[LogLine], sidecar: &Sidecar) -> Option<Duration> {
    let ends: Vec<_> =
        lines.iter().filter(|(_, line)| sidecar.cycle_end.0.is_match(line)).map(|(stamp, _)| *stamp).collect();
    let apart = ends.windows(2).filter_map(|pair| Duration::try_from(pair[1].duration_since(pair[0])).ok());
    let said = || {
        let found = lines.iter().rev().find_map(|(_, line)| sidecar.interval.0.captures(line))?;
        found.get(1)?.as_str().parse().ok().map(Duration::from_secs)
    };
    // The shortest: a machine that slept makes one long.
    apart.min().or_else(said).filter(|period| !period.is_zero())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::check::system::tests::system;

    const BEGIN: &str = "sending incremental file list";
    const END: &str = "[03:00:00] Synced to Windows in 0s";
    const ERROR: &str = "rsync error: some files were not transferred (code 23) at main.c(1338) [sender=3.4.1]";
    const CAUSE: &str = "rsync: [receiver] write failed on \"/windows-mount/a.txt\": No space left on device (28)";
    const GONE: &str = "rsync: [sender] write error: Broken pipe (32)";

    /// A log with lines written so many milliseconds after a moment.
    fn lines(lines: &[(i64, &str)]) -> Vec<LogLine> {
        let start: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        lines.iter().map(|(at, line)| (start + SignedDuration::from_millis(*at), (*line).to_owned())).collect()
    }

    fn read(text: &[(i64, &str)]) -> Vec<Cycle> {
        cycles(&lines(text), &system(), system().sidecar().unwrap())
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
            let cycles = read(text);
            assert_eq!(cycles.iter().map(|cycle| cycle.paused).collect::<Vec<_>>(), [None, pause], "{text:?}");
            assert!(cycles.iter().all(|cycle| cycle.errors.is_empty() && cycle.ended.is_some()), "names are no errors");
        }
    }

    #[test]
    fn an_error_is_seen_although_the_cycle_says_that_it_ended_well() {
        let caused = read(&[(0, BEGIN), (15, CAUSE), (20, ERROR), (21, GONE), (900, BEGIN), (910, ERROR)]);
        assert_eq!(caused[0].errors, [format!("{CAUSE}; {ERROR}")]);
        assert_eq!(caused[1].errors, [ERROR], "a cause is told once");
        let past = read(&[(0, BEGIN), (15, CAUSE), (20, END), (900, BEGIN), (910, ERROR)]);
        assert_eq!(past[1].errors, [ERROR], "that was another cycle's");
        let instead = read(&[(0, ERROR), (50, END), (5_000, ERROR), (5_050, END)]);
        assert_eq!((instead.len(), instead[1].errors.len()), (2, 1));
        let discarded = "ERROR: busy.bin failed verification -- update discarded.";
        let excused = read(&[(0, BEGIN), (5, "busy.bin"), (20, discarded), (30, ERROR), (60, END)]);
        assert_eq!((excused[0].excuse.as_deref(), excused[0].errors.len()), (Some(discarded), 1));
    }

    #[test]
    fn an_error_counts_until_a_cycle_ends_without_one() {
        let error = |text: &[(i64, &str)]| last_error(&lines(text), system().sidecar().unwrap()).map(|(_, line)| line);
        assert_eq!(error(&[(0, END), (30, CAUSE), (30, ERROR), (30, GONE)]).as_deref(), Some(CAUSE));
        assert_eq!(
            error(&[(0, END), (30, ERROR), (30, END)]).as_deref(),
            Some(ERROR),
            "the sidecar says Synced anyway"
        );
        assert_eq!(error(&[(0, ERROR), (0, END), (30, END)]), None);
        assert_eq!(error(&[(0, "rsync error: failed (code 23)"), (0, END)]), None, "that is a file's name");
    }

    #[test]
    fn the_period_is_the_shortest_seen_or_the_interval_that_was_said() {
        let period =
            |text: &[(i64, &str)]| period(&lines(text), system().sidecar().unwrap()).map(|period| period.as_secs());
        assert_eq!(period(&[(0, "Sync interval: 9s"), (1_000, END), (31_000, END), (900_000, END)]), Some(30));
        assert_eq!(period(&[(0, "Sync interval: 9s"), (1_000, END)]), Some(9));
        assert_eq!((period(&[(0, "Sync interval: 0s")]), period(&[])), (None, None));
    }
}
