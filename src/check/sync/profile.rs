//! Times of several files as a profile: least, median, 95th percentile, most. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most files that a profile is made of: each costs the cluster a command.
const MOST: u16 = 20;

/// How many files a profile is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "u16")]
#[schemars(extend("minimum" = 1, "maximum" = MOST))]
pub struct Samples(u16);

impl Default for Samples {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u16> for Samples {
    type Error = String;

    fn try_from(count: u16) -> Result<Self, String> {
        let is_allowed = (1..=MOST).contains(&count);
        is_allowed.then_some(Self(count)).ok_or_else(|| format!("samples must be from 1 to {MOST}, not {count}"))
    }
}

impl Samples {
    /// The number.
    pub fn count(self) -> u32 {
        self.0.into()
    }
}

/// What times are like, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    count: usize,
    least: u64,
    median: u64,
    p95: u64,
    most: u64,
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
