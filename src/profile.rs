//! Times of several files as a profile: least, median, 95th percentile, most. Pure; imports nothing of ours.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// What times are like, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Profile {
    /// How many there are.
    pub count: usize,
    /// The shortest.
    pub least: u64,
    /// Half of them are no longer.
    pub median: u64,
    /// 95 of a hundred are no longer: by nearest rank, so that it was measured.
    pub p95: u64,
    /// The longest.
    pub most: u64,
}

impl Profile {
    /// Of these times; `None` if there are none.
    pub fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let (count, least, most) = (times.len(), *times.first()?, *times.last()?);
        let median = u64::midpoint(times[(count - 1) / 2], times[count / 2]);
        // By nearest rank: a time that was measured.
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

/// Milliseconds in seconds, rounded to tenths.
fn tenths(millis: u64) -> String {
    let tenths = millis.saturating_add(50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_times_are_times_that_were_measured() {
        let said = |times: &[u64]| Profile::of(times.to_vec()).unwrap().to_string();
        assert_eq!(said(&[20_600, 320, 28_149, 7_800]), "4 files: 0.3 to 28.1 s, median 14.2 s, p95 28.1 s");
        assert_eq!(said(&[1_000]), "1 file: 1.0 to 1.0 s, median 1.0 s, p95 1.0 s");
        let twenty: Vec<u64> = (1..=20).map(|number| number * 1_000).collect();
        assert_eq!(said(&twenty), "20 files: 1.0 to 20.0 s, median 10.5 s, p95 19.0 s");
        assert_eq!(Profile::of(Vec::new()), None);
    }
}
