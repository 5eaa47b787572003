//! The lines of a sidecar's log that mean something. Pure.

use regex::Regex;

/// How rsync begins.
const BEGIN: &str = "sending incremental file list";

/// The lines that mean something.
#[derive(Debug, Clone)]
pub struct Words {
    /// Else as rsync says it.
    pub begin: Option<Regex>,
    pub end: Regex,
    /// The line that says the interval, in seconds in the first group.
    pub interval: Regex,
    /// The last word of what copies and failed; else as rsync says it.
    pub error: Option<Regex>,
    /// Excuses the errors of its cycle.
    pub excuse: Option<Regex>,
}

impl Words {
    pub(super) fn begins(&self, line: &str) -> bool {
        self.begin.as_ref().map_or(line == BEGIN, |begin| begin.is_match(line))
    }

    /// What begins a cycle, for messages.
    pub fn begin(&self) -> &str {
        self.begin.as_ref().map_or(BEGIN, Regex::as_str)
    }

    pub fn fails(&self, line: &str) -> bool {
        tells_error(self.error.as_ref(), line)
    }
}

/// Whether a line says last that copying failed: as `error` has it, or else as rsync does, with whose words a file's name may begin.
pub fn tells_error(error: Option<&Regex>, line: &str) -> bool {
    let as_rsync = || line.starts_with("rsync error: ") && line.contains(") at ") && line.ends_with(']');
    error.map_or_else(as_rsync, |error| error.is_match(line))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Those of the file simulator.
    pub fn words() -> Words {
        let [end, interval, error] = [
            r"^\[\d\d:\d\d:\d\d\] Synced\b",
            r"^Sync interval: (\d+)s",
            r"^rsync error: .*\(code \d+\) at \w+\.c\(\d+\)",
        ]
        .map(|text| Regex::new(text).unwrap());
        let excuse = Regex::new("^ERROR: .* failed verification").ok();
        Words { begin: None, end, interval, error: Some(error), excuse }
    }

    #[test]
    fn where_no_word_is_given_rsyncs_own_count() {
        let own = Words { begin: None, error: None, ..words() };
        assert!(own.begins(BEGIN) && own.fails("rsync error: failed (code 23) at main.c(1338) [sender=3.4.1]"));
        assert!(!own.begins("a sending incremental file list") && !own.fails("rsync error: failed (code 23)"));
    }
}
