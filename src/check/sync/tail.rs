//! What the last lines of a sidecar's log say of its cycles and of one file. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::parameter::Sidecar;
use crate::cluster::LogLine;

/// So much of a line is quoted.
const QUOTED: usize = 200;

/// The end of a sidecar's log; times are the log's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// When the last cycle ended; `None` if none did.
    pub last_end: Option<Timestamp>,
    /// Whether a cycle has ended since the file was written.
    pub has_ended_since: bool,
    /// The last thing it said.
    pub last: Option<LogLine>,
    /// What looks like rsync's last error, in the last cycle that ended or since.
    pub error: Option<LogLine>,
    /// Whether it says that the file was deleted.
    pub has_deleted: bool,
}

impl Tail {
    /// Reads the last lines; that a cycle has ended since the write is known from elsewhere, by this machine's clock.
    pub fn read(lines: &[LogLine], sidecar: &Sidecar, file: &str, has_ended_since: bool) -> Self {
        let is_end = |line: &str| sidecar.cycle_end.0.is_match(line);
        let ends: Vec<usize> = (0..lines.len()).filter(|index| is_end(&lines[*index].1)).collect();
        // An error that a later cycle did without is past.
        let recent = match ends.as_slice() {
            [.., before, _] => &lines[before + 1..],
            _ => lines,
        };
        let quoted = |(stamp, line): &LogLine| (*stamp, line.trim().chars().take(QUOTED).collect());
        let says = |is_it: fn(&str) -> bool| recent.iter().rev().find(|(_, line)| is_it(line)).map(quoted);
        let deleted = format!("deleting {file}");
        Self {
            last_end: ends.last().map(|index| lines[*index].0),
            has_ended_since,
            last: lines.iter().rev().find(|(_, line)| !line.trim().is_empty()).map(quoted),
            // The first names the file and the error, the second only the exit code.
            error: says(is_error).or_else(|| says(is_last_word)),
            has_deleted: lines.iter().any(|(_, line)| line.trim_end() == deleted),
        }
    }
}

/// Whether rsync says what went wrong, with the number of the error at the end; that its other half is gone is no cause.
pub(super) fn is_error(line: &str) -> bool {
    let line = line.trim_end();
    line.starts_with("rsync: ") && line.ends_with(')') && !line.ends_with("Broken pipe (32)")
}

/// Whether an rsync that failed says so with its last line; files may have names that begin like it.
fn is_last_word(line: &str) -> bool {
    line.starts_with("rsync error: ") && line.contains(") at ") && line.trim_end().ends_with(']')
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
    use serde_json::json;

    use super::*;

    const END: &str = "[03:00:00] Synced to Windows in 0s";

    fn lines(lines: &[(i64, &str)]) -> Vec<LogLine> {
        let start: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        lines.iter().map(|(at, line)| (start + SignedDuration::from_secs(*at), (*line).to_owned())).collect()
    }

    fn sidecar() -> Sidecar {
        let text = json!({"container": "c", "cycle-end": r"^\[\d\d:\d\d:\d\d\] Synced\b", "interval": r"^Sync interval: (\d+)s"});
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn an_error_counts_until_a_cycle_ends_without_one() {
        let said = "rsync: [receiver] mkstemp failed: Read-only file system (30)";
        let error = |text: &[(i64, &str)]| Tail::read(&lines(text), &sidecar(), "x", true).error.map(|(_, line)| line);
        let code = "rsync error: some files were not transferred (code 23) at main.c(1338) [sender=3.4.1]";
        assert_eq!(error(&[(0, END), (30, said), (30, code)]).as_deref(), Some(said));
        let gone = "rsync: [sender] write error: Broken pipe (32)";
        assert_eq!(error(&[(0, END), (30, said), (30, code), (30, gone)]).as_deref(), Some(said));
        assert_eq!(error(&[(0, END), (30, code), (30, END)]).as_deref(), Some(code), "the sidecar says Synced anyway");
        assert_eq!(error(&[(0, code), (0, END), (30, END)]), None);
        assert_eq!(error(&[(0, "rsync error: failed (code 23)"), (0, END)]), None, "that is a file's name");
    }

    #[test]
    fn a_log_tells_its_last_cycle_and_what_was_deleted() {
        let tail = Tail::read(&lines(&[(0, END), (30, "deleting x"), (30, END), (31, " ")]), &sidecar(), "x", true);
        assert_eq!((tail.last_end, tail.has_deleted), (Some("2026-11-21T03:00:30Z".parse().unwrap()), true));
        assert_eq!(tail.last.unwrap().1, END);
        let none = Tail::read(&lines(&[(0, "deleting x.txt")]), &sidecar(), "x", false);
        assert_eq!((none.last_end, none.has_deleted), (None, false));
    }

    #[test]
    fn the_period_is_the_shortest_seen_or_the_interval_that_was_said() {
        let period = |text: &[(i64, &str)]| period(&lines(text), &sidecar()).map(|period| period.as_secs());
        assert_eq!(period(&[(0, "Sync interval: 9s"), (1, END), (31, END), (900, END)]), Some(30));
        assert_eq!(period(&[(0, "Sync interval: 9s"), (1, END)]), Some(9));
        assert_eq!((period(&[(0, "Sync interval: 0s")]), period(&[])), (None, None));
    }
}
