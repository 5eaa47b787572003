//! Statistics of several durations: minimum, median, 95th percentile, maximum. Pure; imports no other module.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// Statistics of durations, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Profile {
    /// The number of durations.
    pub count: usize,
    /// The minimum.
    pub least: u64,
    /// The median.
    pub median: u64,
    /// The 95th percentile by nearest rank, which is always a measured value.
    pub p95: u64,
    /// The maximum.
    pub most: u64,
}

impl Profile {
    /// `None` if there are no times.
    pub fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let (count, least, most) = (times.len(), *times.first()?, *times.last()?);
        let median = u64::midpoint(times[(count - 1) / 2], times[count / 2]);
        let p95 = times[(count * 95).div_ceil(100) - 1];
        Some(Self { count, least, median, p95, most })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = if self.count == 1 { "1 file".to_owned() } else { format!("{} files", self.count) };
        let [least, median, p95, most] = [self.least, self.median, self.p95, self.most].map(tenths);
        write!(f, "{files}: {least} to {most} s, median {median} s, p95 {p95} s")
    }
}

fn tenths(millis: u64) -> String {
    let tenths = millis.saturating_add(50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_times_are_measured_times() {
        let text = |times: &[u64]| Profile::of(times.to_vec()).unwrap().to_string();
        assert_eq!(text(&[20_600, 320, 28_149, 7_800]), "4 files: 0.3 to 28.1 s, median 14.2 s, p95 28.1 s");
        assert_eq!(text(&[1_000]), "1 file: 1.0 to 1.0 s, median 1.0 s, p95 1.0 s");
        let twenty: Vec<u64> = (1..=20).map(|number| number * 1_000).collect();
        assert_eq!(text(&twenty), "20 files: 1.0 to 20.0 s, median 10.5 s, p95 19.0 s");
        assert_eq!(Profile::of(Vec::new()), None);
    }
}
