//! Recognizes the lines of a sidecar's log that have a meaning. Pure.

use regex::Regex;

const BEGIN: &str = "sending incremental file list";

#[derive(Debug, Clone)]
pub struct LogPatterns {
    /// The first line of a cycle; default: rsync's.
    pub begin: Option<Regex>,
    pub end: Regex,
    /// The first group is the interval in seconds.
    pub interval: Regex,
    /// The final error of a failed copy; default: rsync's.
    pub error: Option<Regex>,
    /// Excuses the errors of its cycle.
    pub excuse: Option<Regex>,
}

impl LogPatterns {
    pub(super) fn is_begin(&self, line: &str) -> bool {
        self.begin.as_ref().map_or(line == BEGIN, |begin| begin.is_match(line))
    }

    pub fn begin(&self) -> &str {
        self.begin.as_ref().map_or(BEGIN, Regex::as_str)
    }

    pub fn is_error(&self, line: &str) -> bool {
        is_copy_error(self.error.as_ref(), line)
    }
}

/// Whether the line is the final error of a failed copy: matches `error`, or else looks like rsync's. rsync's prefix alone does
/// not count, because a listed file's name may begin with it.
pub fn is_copy_error(error: Option<&Regex>, line: &str) -> bool {
    let is_rsyncs = || line.starts_with("rsync error: ") && line.contains(") at ") && line.ends_with(']');
    error.map_or_else(is_rsyncs, |error| error.is_match(line))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Those of the file simulator.
    pub fn patterns() -> LogPatterns {
        let [end, interval, error] = [
            r"^\[\d\d:\d\d:\d\d\] Synced\b",
            r"^Sync interval: (\d+)s",
            r"^rsync error: .*\(code \d+\) at \w+\.c\(\d+\)",
        ]
        .map(|text| Regex::new(text).unwrap());
        let excuse = Regex::new("^ERROR: .* failed verification").ok();
        LogPatterns { begin: None, end, interval, error: Some(error), excuse }
    }

    #[test]
    fn without_patterns_rsyncs_own_lines_count() {
        let own = LogPatterns { begin: None, error: None, ..patterns() };
        assert!(own.is_begin(BEGIN) && own.is_error("rsync error: failed (code 23) at main.c(1338) [sender=3.4.1]"));
        assert!(!own.is_begin("a sending incremental file list") && !own.is_error("rsync error: failed (code 23)"));
    }
}
