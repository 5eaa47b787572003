//! Whether a sidecar pauses as long as it should between two cycles. Pure.

use jiff::SignedDuration;

/// What the pause is measured by.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long it should be.
    pub interval: SignedDuration,
    /// How far it may be from that.
    pub tolerance: SignedDuration,
    /// How long a file may take.
    pub within: SignedDuration,
}

/// What a pause is.
#[derive(Debug, PartialEq, Eq)]
pub enum Pause {
    /// As it should be.
    Right,
    /// Longer, and yet files arrive in time; in words.
    Late(String),
    /// Shorter, or so long that files do not arrive in time: what was expected, and what was seen.
    Wrong(String, String),
}

/// Judges the usual pause and the usual time of copying, in milliseconds, by what `source` says. That a wrong interval is set is
/// not said here: a node that is short of CPU makes pauses longer, too.
pub fn judge([pause, copying]: [i64; 2], limits: Limits, source: &str) -> Pause {
    let Limits { interval, tolerance, within } = limits;
    // No pause at all must never be within it.
    let tolerance = tolerance.min(interval / 2);
    let paused = SignedDuration::from_millis(pause);
    if (paused - interval).abs() <= tolerance {
        return Pause::Right;
    }
    let wanted = format!("a pause of {interval:#} between two cycles ({source})");
    if paused < interval {
        return Pause::Wrong(format!("{wanted}, give or take {tolerance:#}"), format!("{pause} ms"));
    }
    if paused + SignedDuration::from_millis(copying) <= within {
        return Pause::Late(format!(
            "{pause} ms instead of {wanted}: it is slow, and yet files arrive within {within:#}"
        ));
    }
    let seen = format!("{pause} ms, and {copying} ms of copying");
    Pause::Wrong(format!("{wanted}, so that files arrive within {within:#}"), seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(pause: i64, copying: i64) -> Pause {
        let [interval, tolerance, within] = [30, 3, 60].map(SignedDuration::from_secs);
        judge([pause, copying], Limits { interval, tolerance, within }, "test")
    }

    #[test]
    fn the_tolerance_itself_is_within_it() {
        assert_eq!([judged(27_000, 0), judged(33_000, 0)], [Pause::Right, Pause::Right]);
        assert!(matches!(judged(26_999, 0), Pause::Wrong(..)));
        let [interval, tolerance, within] = [2, 3, 60].map(SignedDuration::from_secs);
        let short = |pause| judge([pause, 0], Limits { interval, tolerance, within }, "test");
        assert_eq!(short(1000), Pause::Right);
        assert!(matches!(short(999), Pause::Wrong(..)), "no more than half of a short interval");
    }

    #[test]
    fn a_longer_one_is_late_as_long_as_files_arrive_in_time() {
        for (pause, copying) in [(33_001, 0), (50_000, 10_000), (60_000, 0)] {
            assert!(matches!(judged(pause, copying), Pause::Late(_)), "{pause} {copying}");
        }
        let beyond = judged(50_000, 10_001);
        assert!(matches!(&beyond, Pause::Wrong(_, seen) if seen == "50000 ms, and 10001 ms of copying"), "{beyond:?}");
    }
}
